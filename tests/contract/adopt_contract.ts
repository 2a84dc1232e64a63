/** The contract of engines about runs that go on after a lost link, and about starts that wait after a takeover. */

import { assert, assertEquals } from "@std/assert";
import { MAX_DEATHS } from "../../protocol/limits.ts";
import type { Engine, LeasedTask } from "../../server/engine/engine.ts";
import type { HeldRun } from "../../server/engine/adoption.ts";
import {
  type ContractTest,
  FAILED,
  LEASE_MS,
  leaseIds,
  leaseMany,
  leaseOne,
  NOW,
  OPS,
  reclaim,
  statusOf,
  submit,
  task,
} from "./contract_steps.ts";

async function adopt(
  engine: Engine,
  runs: readonly Partial<HeldRun>[],
  now = NOW,
): Promise<(LeasedTask | undefined)[]> {
  const request = {
    runs: runs.map((run) => ({ id: "", attempt: 1, startedAt: now, ...run })),
    leaseUntil: now + LEASE_MS,
    versions: new Map([["square", "v2"]]),
  };
  return await engine.adopt(request, now);
}

async function adoptOne(engine: Engine, run: Partial<HeldRun>, now = NOW) {
  const [adopted] = await adopt(engine, [run], now);
  return adopted;
}

/** The link of a task's worker is lost, and the server knows it. */
async function lose(engine: Engine, { lease }: LeasedTask, now = NOW): Promise<void> {
  await engine.nack([{ lease, reason: "died" }], now);
}

export const ADOPT_TESTS: Record<string, ContractTest> = {
  async "a run goes on under a new lease, with its own start, and completes once"(engine, ends) {
    const [id] = await submit(engine, task(engine));
    const first = await leaseOne(engine, NOW + 5);
    await lose(engine, first, NOW + 10);
    const adopted = await adoptOne(engine, { id: id!, startedAt: NOW + 6 }, NOW + 20);
    assert(adopted);
    assertEquals([adopted.id, adopted.attempt, adopted.history?.version], [id, 1, "v2"]);
    const [running] = await engine.get([id!]);
    assertEquals([running?.status, running?.startedAt], ["running", NOW + 6]);
    assertEquals((await engine.stats()).tasks.running, 1);
    assertEquals(await leaseIds(engine), []);
    await engine.ack([{ lease: first.lease, result: "1" }], NOW + 25);
    assertEquals(await statusOf(engine, id!), "running");
    const { lease } = adopted;
    await engine.ack([{ lease, result: "16" }], NOW + 30);
    await engine.ack([{ lease, result: "17" }], NOW + 31);
    assertEquals((await ends.committed(engine)).map(({ result }) => result), ["16"]);
    const [record] = await engine.get([id!]);
    assertEquals([record?.attempt, record?.finishedAt], [1, NOW + 30]);
  },

  async "a task that was never leased here can be adopted, wherever it waits"(engine) {
    const tasks = Array.from({ length: 40 }, (_, n) =>
      task(engine, {
        n,
        task: n % 2 === 0 ? { id: `given-${n}` } : { key: `k${n % 5}`, priority: n % 3 },
      }));
    const ids = await submit(engine, ...tasks);
    const adopted = await adopt(engine, ids.map((id) => ({ id })));
    assertEquals(adopted.map((one) => one?.id), ids);
    assertEquals(await leaseIds(engine), []);
    const { tasks: counts, ops } = await engine.stats();
    assertEquals([counts.queued, counts.running], [0, 40]);
    assertEquals(ops.map(({ queued, running }) => [queued, running]), [[0, 40]]);
    await engine.ack(adopted.map((one) => ({ lease: one!.lease, result: "1" })), NOW + 1);
    for (const id of ids) assertEquals(await statusOf(engine, id), "completed");
  },

  async "what has ended, waits, runs already or is in another attempt is lost"(engine) {
    const retried = task(engine, { task: { attempts: 3, backoff: 1000 } });
    const [done, cancelled, attempts, delayed] = await submit(
      engine,
      task(engine),
      task(engine),
      retried,
      task(engine, { task: { delay: 60_000 } }),
    );
    const [first] = await leaseMany(engine, 1);
    await engine.ack([{ lease: first!.lease, result: "1" }], NOW);
    await engine.cancel([cancelled!], NOW);
    const failing = await leaseOne(engine);
    assertEquals(failing.id, attempts);
    await engine.nack([{ lease: failing.lease, reason: "failed", error: FAILED }], NOW);
    const lost = [done, cancelled, attempts, delayed, "no-such-task"];
    assertEquals(await adopt(engine, lost.map((id) => ({ id: id! }))), lost.map(() => undefined));
    await leaseIds(engine, 0, NOW + 2000);
    for (const attempt of [0, 1, 3]) {
      assertEquals(await adoptOne(engine, { id: attempts!, attempt }, NOW + 2000), undefined);
    }
    const second = await leaseOne(engine, NOW + 2000);
    assertEquals([second.id, second.attempt], [attempts, 2]);
    assertEquals(await adoptOne(engine, { id: attempts!, attempt: 2 }, NOW + 2001), undefined);
    await lose(engine, second, NOW + 2002);
    assert(await adoptOne(engine, { id: attempts!, attempt: 2 }, NOW + 2003));
    const twice = await adopt(engine, [{ id: attempts!, attempt: 2 }, {
      id: attempts!,
      attempt: 2,
    }]);
    assertEquals(twice, [undefined, undefined]);
  },

  async "an adopted run fails, is released and runs out like any other"(engine) {
    const [failing, released, silent] = await submit(
      engine,
      task(engine),
      task(engine),
      task(engine),
    );
    const adopted = await adopt(engine, [{ id: failing! }, { id: released! }, { id: silent! }]);
    const [a, b] = adopted.map((one) => one!.lease);
    const statuses = await engine.nack([
      { lease: a!, reason: "failed", error: FAILED },
      { lease: b!, reason: "released" },
    ], NOW + 1);
    assertEquals(statuses, ["failed", "queued"]);
    assertEquals((await reclaim(engine, NOW + LEASE_MS, NOW + LEASE_MS)).length, 1);
    assertEquals((await leaseIds(engine)).sort(), [released!, silent!].sort());
  },

  async "a run that a client has asked to run anew is not adopted"(engine) {
    const [id] = await submit(engine, task(engine));
    const leased = await leaseOne(engine);
    await lose(engine, leased);
    await engine.cancel([id!], NOW);
    await engine.requeue([id!], NOW);
    assertEquals(await adoptOne(engine, { id: id! }), undefined);
    assertEquals(await leaseIds(engine), [id!]);
  },

  async "a death that was none is given back, and only that one"(engine) {
    const [id] = await submit(engine, task(engine));
    for (let links = 0; links <= 2 * MAX_DEATHS; links++) {
      const wasBlamed = links > 0;
      const lease = wasBlamed
        ? (await adoptOne(engine, { id: id!, wasBlamed }))?.lease
        : (await leaseOne(engine)).lease;
      assert(lease);
      assertEquals((await engine.get([id!]))[0]?.deaths, 0);
      await engine.nack([{ lease, reason: "died" }], NOW);
      assertEquals((await engine.get([id!]))[0]?.deaths, 1);
    }
    const { lease } = (await adoptOne(engine, { id: id! }))!;
    await engine.nack([{ lease, reason: "died" }], NOW);
    assertEquals((await engine.get([id!]))[0]?.deaths, 2);
  },

  async "adopted runs count in the limit of their key, and beyond it they are lost"(engine) {
    const keyed = { task: { key: "k", limit: 1 } };
    const [a, b, c] = await submit(
      engine,
      task(engine, keyed),
      task(engine, keyed),
      task(engine, keyed),
    );
    const adopted = await adoptOne(engine, { id: b! });
    assertEquals(adopted?.id, b);
    assertEquals(await adoptOne(engine, { id: a! }), undefined);
    assertEquals(await leaseIds(engine), []);
    await engine.ack([{ lease: adopted!.lease, result: "1" }], NOW);
    const next = await leaseOne(engine);
    assertEquals(next.id, a);
    assertEquals(await adoptOne(engine, { id: c! }), undefined);
  },

  async "adopted runs count in the limit of their op, and beyond it they are lost"(engine) {
    const [a, b, c] = await submit(engine, task(engine), task(engine), task(engine));
    assert(await adoptOne(engine, { id: a! }));
    const request = { ops: OPS, limits: new Map([["square", 2]]), limit: 9, leaseUntil: NOW + 9 };
    const { tasks } = await engine.lease(request, NOW);
    assertEquals(tasks.map(({ id }) => id), [b]);
    assertEquals(await adoptOne(engine, { id: c! }), undefined);
  },

  async "a reservation holds its tasks and those with a limit until its end, and nothing else"(
    engine,
  ) {
    const [long, keyed, free, rated] = await submit(
      engine,
      task(engine),
      task(engine, { task: { key: "k", limit: 1 } }),
      task(engine),
      task(engine, { task: { key: "r", rate: "5/s" } }),
    );
    const until = NOW + 10_000;
    await engine.reserve({ tasks: new Set([long!]), until });
    assertEquals((await leaseIds(engine)).sort(), [free!, rated!].sort());
    for (const id of [long!, keyed!]) {
      const [record] = await engine.get([id], { waitReasonAt: NOW + 1 });
      const { heldBy, until: at } = record!.waitReason!;
      assertEquals([heldBy, at], ["takeover", until]);
    }
    const { nextDueAt } = await engine.lease({ ops: OPS, limit: 9, leaseUntil: NOW }, NOW + 2);
    assert(nextDueAt <= until);
    assertEquals(await leaseIds(engine, 9, until - 1), []);
    assertEquals((await leaseIds(engine, 9, until)).sort(), [long!, keyed!].sort());
  },

  async "a reservation that is over early lets everything start, and reserved tasks be adopted"(
    engine,
  ) {
    const limits = new Map([["echo", 1]]);
    const lease = async () => {
      const { tasks } = await engine.lease({ ops: OPS, limits, limit: 9, leaseUntil: NOW }, NOW);
      return tasks.map(({ id }) => id);
    };
    const [long, other, echo] = await submit(
      engine,
      task(engine),
      task(engine),
      task(engine, { op: "echo" }),
    );
    await engine.reserve({ tasks: new Set([long!, other!]), until: NOW + 10_000 });
    assertEquals(await lease(), []);
    assert(await adoptOne(engine, { id: long! }));
    await engine.cancel([other!], NOW);
    assertEquals(await lease(), []);
    await engine.reserve(undefined);
    assertEquals(await lease(), [echo!]);
  },

  async "a reserved task does not expire before its run is back, and does when it is not"(engine) {
    const expires = { task: { expires: 1000 } };
    const [back, gone] = await submit(engine, task(engine, expires), task(engine, expires));
    await engine.reserve({ tasks: new Set([back!, gone!]), until: NOW + 10_000 });
    await engine.prune(NOW + 5000);
    assert(await adoptOne(engine, { id: back!, startedAt: NOW + 10 }, NOW + 6000));
    await engine.reserve(undefined);
    await engine.prune(NOW + 7000);
    assertEquals([await statusOf(engine, back!), await statusOf(engine, gone!)], [
      "running",
      "expired",
    ]);
  },
};
