/**
 * The contract of engines: one test for each claim. An engine's test file calls `testEngine` with a way to open an empty
 * one. A claim that an engine cannot keep by its nature is ignored by name, with the reason in the title of its test.
 */

import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { SdError } from "../../protocol/errors.ts";
import { MAX_DEATHS } from "../../protocol/limits.ts";
import type { EndedSink, Engine, ListRequest } from "../../server/engine/engine.ts";
import { newTask } from "../../server/task/new_task.ts";
import { ADOPT_TESTS } from "./adopt_contract.ts";
import { AFTER_TESTS } from "./after_contract.ts";
import {
  type ContractTest,
  Ends,
  FAILED,
  LEASE_MS,
  leaseIds,
  leaseMany,
  leaseOne,
  leaseSuspect,
  NOW,
  OPS,
  reclaim,
  statusOf,
  submit,
  task,
} from "./contract_steps.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { KEY_TESTS } from "./key_contract.ts";
import { OP_TESTS } from "./op_contract.ts";
import { LOG_TESTS } from "./log_contract.ts";
import { SETTING_TESTS } from "./settings_contract.ts";
import { TIME_TESTS } from "./time_contract.ts";

export interface EngineContract {
  /** Stands before each claim in the name of its test. */
  readonly name: string;
  /** Opens an empty engine whose backoff has no jitter. `random` is for an engine with faults. */
  readonly open: (random: Random, ended: EndedSink) => Promise<Engine>;
  /** Tests that do not apply, and why. */
  readonly lacks?: readonly { readonly test: string; readonly reason: string }[];
  /** For a library that keeps timers of its own beyond a connection. */
  readonly sanitizeOps?: boolean;
  /** Skips all of it. */
  readonly ignore?: boolean;
}

type Tests = Record<string, ContractTest>;

const LIFE: Tests = {
  async "a task goes from queued to running to completed, with its result"(engine, ends) {
    const [id] = await submit(engine, task(engine));
    assertEquals(await statusOf(engine, id!), "queued");
    const leased = await leaseOne(engine, NOW + 5);
    assertEquals([leased.id, leased.op, leased.attempt], [id, "square", 1]);
    assertEquals(JSON.parse(leased.payload), { op: "square", n: 4 });
    assertEquals(await statusOf(engine, id!), "running");
    assertEquals(ends.take(), []);
    await engine.ack([{ lease: leased.lease, result: "16" }], NOW + 9);
    assertEquals(ends.take().map((one) => [one.id, one.status, one.result]), [[
      id,
      "completed",
      "16",
    ]]);
    const [record] = await engine.get([id!]);
    assertEquals(record?.result, "16");
    assertEquals([record?.createdAt, record?.startedAt, record?.finishedAt], [
      NOW,
      NOW + 5,
      NOW + 9,
    ]);
  },

  async "a read during a submit sees its task"(engine) {
    for (const id of ["mine", undefined]) {
      const one = task(engine, id === undefined ? {} : { task: { id } });
      const submitting = engine.enqueue([one], NOW);
      const [[record], { tasks }] = await Promise.all([
        engine.get([one.id]),
        engine.list({ limit: 1 }),
      ]);
      assertEquals([record?.status, tasks.map((listed) => listed.id)], ["queued", [one.id]]);
      await submitting;
    }
  },

  async "an unknown id has no record"(engine) {
    assertEquals(await engine.get(["nobody"]), [undefined]);
  },

  async "tasks of one priority are leased first in first out, whatever their ops"(engine) {
    const ids = await submit(
      engine,
      task(engine, { n: 1 }),
      task(engine, { op: "echo" }),
      task(engine, { n: 3 }),
      task(engine, { op: "echo" }),
    );
    assertEquals(await leaseIds(engine), ids);
  },

  async "a higher priority is leased first"(engine) {
    const [low, high, middle] = await submit(
      engine,
      task(engine, { task: { priority: -5 } }),
      task(engine, { task: { priority: 100 } }),
      task(engine),
    );
    assertEquals(await leaseIds(engine), [high!, middle!, low!]);
  },

  async "a lease takes up to its limit, and only ops of the worker"(engine) {
    const [a, b, other] = await submit(
      engine,
      task(engine),
      task(engine),
      task(engine, { op: "resize" }),
    );
    assertEquals(await leaseIds(engine, 1), [a!]);
    assertEquals(await leaseIds(engine), [b!]);
    assertEquals(await leaseIds(engine), []);
    assertEquals(await statusOf(engine, other!), "queued");
  },

  async "a result under a lost lease changes nothing"(engine, ends) {
    const [id] = await submit(engine, task(engine));
    const first = await leaseOne(engine);
    await engine.nack([{ lease: first.lease, reason: "died" }], NOW);
    const second = await leaseOne(engine);
    assertNotEquals(first.lease, second.lease);
    await engine.ack([{ lease: first.lease, result: "0" }], NOW);
    const stopped = await engine.nack([{ lease: first.lease, reason: "stopped" }], NOW);
    assertEquals([stopped, ends.take()], [[undefined], []]);
    assertEquals(await statusOf(engine, id!), "running");
    await engine.ack([{ lease: second.lease, result: "16" }], NOW);
    await engine.ack([{ lease: second.lease, result: "17" }], NOW);
    assertEquals(ends.take().map((one) => one.result), ["16"]);
    assertEquals((await engine.get([id!]))[0]?.result, "16");
  },

  async "a failed task with attempts left is delayed by its backoff, doubled each time"(
    engine,
    ends,
  ) {
    const [id] = await submit(engine, task(engine, { task: { attempts: 3, backoff: 1000 } }));
    let now = NOW;
    for (const [attempt, wait] of [[1, 1000], [2, 2000]] as const) {
      const leased = await leaseOne(engine, now);
      assertEquals(leased.attempt, attempt);
      const statuses = await engine.nack(
        [{ lease: leased.lease, reason: "failed", error: FAILED }],
        now,
      );
      assertEquals([statuses, ends.take()], [["delayed"], []]);
      assertEquals(await statusOf(engine, id!), "delayed");
      const early = await engine.lease(
        { ops: OPS, limit: 1, leaseUntil: NOW + LEASE_MS },
        now + wait - 1,
      );
      assertEquals([early.tasks.length, early.nextDueAt], [0, now + wait]);
      now += wait;
    }
    const last = await leaseOne(engine, now);
    const nack = { lease: last.lease, reason: "failed", error: FAILED } as const;
    assertEquals(await engine.nack([nack], now), ["failed"]);
    assertEquals(ends.take().map((one) => [one.status, one.error, one.attempt]), [[
      "failed",
      FAILED,
      3,
    ]]);
    assertEquals(await statusOf(engine, id!), "failed");
  },

  async "a failure marked as the last is not attempted again"(engine) {
    const [id] = await submit(engine, task(engine, { task: { attempts: 5 } }));
    const { lease } = await leaseOne(engine);
    await engine.nack([{ lease, reason: "failed", error: FAILED, last: true }], NOW);
    assertEquals(await statusOf(engine, id!), "failed");
  },

  async "a released task is next again and has used no attempt"(engine) {
    const ids = await submit(
      engine,
      task(engine, { n: 1 }),
      task(engine, { n: 2 }),
      task(engine, { n: 3 }),
    );
    const tasks = await leaseMany(engine, 2);
    await engine.nack(tasks.map(({ lease }) => ({ lease, reason: "released" as const })), NOW);
    assertEquals(await leaseIds(engine), ids);
    assertEquals((await engine.get([ids[0]!]))[0]?.attempt, 1);
  },

  async "a task whose worker process dies runs again, and fails at the last death"(engine, ends) {
    const [id] = await submit(engine, task(engine));
    for (let death = 1; death < MAX_DEATHS; death++) {
      const leased = await leaseOne(engine);
      assertEquals(leased.attempt, 1);
      assertEquals(await engine.nack([{ lease: leased.lease, reason: "died" }], NOW), ["queued"]);
      assertEquals(await statusOf(engine, id!), "queued");
    }
    const lease = await leaseSuspect(engine);
    assertEquals(await engine.nack([{ lease, reason: "died" }], NOW), ["failed"]);
    assertEquals(ends.take().map((one) => one.error?.code), ["worker_crashed"]);
    assertEquals(await statusOf(engine, id!), "failed");
  },

  async "the last death of a task fails it with the cause of the death"(engine, ends) {
    const error = { code: "out_of_memory", message: "too much" } as const;
    await submit(engine, task(engine));
    for (let death = 1; death < MAX_DEATHS; death++) {
      const { lease } = await leaseOne(engine);
      assertEquals(await engine.nack([{ lease, reason: "died", error }], NOW), ["queued"]);
    }
    const lease = await leaseSuspect(engine);
    await engine.nack([{ lease, reason: "died", error }], NOW);
    assertEquals(ends.take().map(({ status, error }) => [status, error]), [["failed", error]]);
  },

  async "a task whose next death is its last is leased only by a request for suspects"(
    engine,
    ends,
  ) {
    const [suspect, other] = await submit(engine, task(engine, { n: 1 }), task(engine, { n: 2 }));
    for (let death = 1; death < MAX_DEATHS; death++) {
      const { lease } = await leaseOne(engine);
      await engine.nack([{ lease, reason: "died" }], NOW);
    }
    assertEquals(await leaseIds(engine), [other!]);
    const request = { ops: OPS, limit: 9, leaseUntil: NOW + LEASE_MS };
    assertEquals([...(await engine.lease(request, NOW)).suspectOps], ["square"]);
    const lease = await leaseSuspect(engine);
    assertEquals((await engine.lease(request, NOW)).suspectOps.size, 0);
    await engine.ack([{ lease, result: "1" }], NOW);
    assertEquals(ends.take().map(({ id }) => id), [suspect]);
  },

  async "a lease that ran out is reclaimed, a renewed one is not"(engine) {
    const [kept, gone] = await submit(engine, task(engine, { n: 1 }), task(engine, { n: 2 }));
    const a = await leaseOne(engine);
    const b = await leaseOne(engine);
    assertEquals(await engine.renew([a.lease], NOW + 10_000 + LEASE_MS), []);
    assertEquals(await engine.overdue(NOW + LEASE_MS - 1), []);
    assertEquals(await engine.overdue(NOW + LEASE_MS), [b.lease]);
    assertEquals(await statusOf(engine, gone!), "running", "a look at leases changes nothing");
    assertEquals(await reclaim(engine, NOW + LEASE_MS, NOW + LEASE_MS), [b.lease]);
    assertEquals(await statusOf(engine, kept!), "running");
    assertEquals(await statusOf(engine, gone!), "queued");
    assertEquals(await engine.renew([a.lease, b.lease], NOW + 2 * LEASE_MS), [b.lease]);
  },

  async "a delayed task is not leased before its time"(engine) {
    const [id] = await submit(engine, task(engine, { task: { delay: 500 } }));
    assertEquals(await statusOf(engine, id!), "delayed");
    const early = await engine.lease({ ops: OPS, limit: 1, leaseUntil: NOW + LEASE_MS }, NOW + 499);
    assertEquals([early.tasks.length, early.nextDueAt], [0, NOW + 500]);
    assertEquals(await leaseIds(engine, 1, NOW + 500), [id!]);
  },

  async "a task that did not start in time expires, by lease and by prune"(engine, ends) {
    const [a, b] = await submit(
      engine,
      task(engine, { task: { expires: 100 } }),
      task(engine, { task: { expires: 200, delay: 150 } }),
    );
    const leased = await engine.lease(
      { ops: OPS, limit: 9, leaseUntil: NOW + LEASE_MS },
      NOW + 100,
    );
    assertEquals(leased.tasks, []);
    const expired = await ends.committed(engine);
    assertEquals(expired.map(({ id, status }) => [id, status]), [[a, "expired"]]);
    await engine.prune(NOW + 199);
    assertEquals(await ends.committed(engine), []);
    await engine.prune(NOW + 200);
    assertEquals((await ends.committed(engine)).map(({ id }) => id), [b]);
    assertEquals(await leaseIds(engine, 9, NOW + 300), []);
  },

  async "a running task does not expire"(engine, ends) {
    const [id] = await submit(engine, task(engine, { task: { expires: 100 } }));
    const { lease } = await leaseOne(engine);
    await engine.prune(NOW + 1000);
    assertEquals(await ends.committed(engine), []);
    await engine.ack([{ lease, result: "16" }], NOW + 1000);
    assertEquals(await statusOf(engine, id!), "completed");
  },

  async "the same id with the same request is the same task, with another request a conflict"(
    engine,
  ) {
    const options = { task: { id: "mine" } };
    await submit(engine, task(engine, { ...options, ref: 1 }));
    const again = { op: "square", task: { id: "mine" }, n: 4, ref: 2 };
    const [same, other] = await engine.enqueue([
      newTask(again, JSON.stringify(again), { now: NOW, serials: engine.serials }),
      task(engine, { ...options, n: 5 }),
    ], NOW);
    assertEquals([same?.outcome, same?.status, same?.finished], ["exists", "queued", undefined]);
    assertEquals(other?.outcome, "conflict");
    const { lease } = await leaseOne(engine);
    await engine.ack([{ lease, result: "16" }], NOW);
    assertEquals(await leaseIds(engine), []);
    const [done] = await engine.enqueue([task(engine, options)], NOW);
    assertEquals([done?.outcome, done?.finished?.result], ["exists", "16"]);
  },

  async "a queued task that is cancelled never starts"(engine, ends) {
    const [a, b] = await submit(engine, task(engine), task(engine, { task: { delay: 10 } }));
    const cancelled = await engine.cancel([a!, b!, "nobody"], NOW);
    assertEquals(cancelled.map(({ outcome }) => outcome), ["cancelled", "cancelled", "not_found"]);
    assertEquals(ends.take().map(({ id, status }) => [id, status]), [
      [a, "cancelled"],
      [b, "cancelled"],
    ]);
    assertEquals(await leaseIds(engine, 9, NOW + 100), []);
    const [again] = await engine.cancel([a!], NOW);
    assertEquals([again?.outcome, again?.status], ["final", "cancelled"]);
  },

  async "a cancelled running task is final when it has stopped, for any reason"(
    engine,
    ends,
  ) {
    for (const reason of ["stopped", "failed", "died"] as const) {
      const [id] = await submit(engine, task(engine, { task: { attempts: 3 } }));
      const { lease } = await leaseOne(engine);
      const [cancelled] = await engine.cancel([id!], NOW);
      assertEquals([cancelled?.outcome, cancelled?.lease], ["running", lease]);
      assertEquals(await statusOf(engine, id!), "running");
      assertEquals(ends.take(), []);
      assertEquals(await engine.nack([{ lease, reason, error: FAILED }], NOW), ["cancelled"]);
      assertEquals(ends.take().map(({ status }) => status), ["cancelled"]);
      assertEquals((await engine.get([id!]))[0]?.error, undefined);
    }
  },

  async "a task that completes before its cancel took effect is completed"(engine) {
    const [id] = await submit(engine, task(engine));
    const { lease } = await leaseOne(engine);
    await engine.cancel([id!], NOW);
    await engine.ack([{ lease, result: "16" }], NOW);
    assertEquals(await statusOf(engine, id!), "completed");
  },

  async "a failed, cancelled or expired task can be run again as if it were new"(engine) {
    const [id] = await submit(engine, task(engine));
    assertEquals((await engine.requeue([id!], NOW))[0]?.outcome, "refused");
    await engine.cancel([id!], NOW);
    assertEquals((await engine.requeue([id!, "nobody"], NOW)).map(({ outcome }) => outcome), [
      "queued",
      "not_found",
    ]);
    const leased = await leaseOne(engine);
    assertEquals([leased.id, leased.attempt], [id!, 1]);
    await engine.ack([{ lease: leased.lease, result: "16" }], NOW);
    const [refused] = await engine.requeue([id!], NOW);
    assertEquals([refused?.outcome, refused?.status], ["refused", "completed"]);
  },

  async "a record is removed after its time, and its id is free again"(engine) {
    const [short, long] = await submit(
      engine,
      task(engine, { task: { id: "short", keep: 1000 } }),
      task(engine, { task: { id: "long" } }),
    );
    await engine.cancel([short!, long!], NOW);
    assertEquals((await engine.prune(NOW + 999)).removed, 0);
    assertEquals((await engine.prune(NOW + 1000)).removed, 1);
    assertEquals(await engine.get([short!]), [undefined]);
    assertEquals(await statusOf(engine, long!), "cancelled");
    const [fresh] = await engine.enqueue(
      [task(engine, { n: 9, task: { id: "short" } })],
      NOW + 1000,
    );
    assertEquals(fresh?.outcome, "created");
    assertEquals((await engine.prune(NOW + 86_400_000)).removed, 1);
    assertEquals(await engine.get([long!]), [undefined]);
  },

  async "a retried task is not removed when its first record would be"(engine) {
    const [id] = await submit(engine, task(engine, { task: { keep: 1000 } }));
    await engine.cancel([id!], NOW);
    await engine.requeue([id!], NOW);
    assertEquals((await engine.prune(NOW + 5000)).removed, 0);
    assertEquals(await leaseIds(engine), [id!]);
  },

  async "list pages through all tasks, newest first, by status and op"(engine) {
    const ids = await submit(
      engine,
      ...Array.from({ length: 7 }, (_, i) => task(engine, { op: i % 2 ? "echo" : "square", n: i })),
    );
    await engine.cancel([ids[0]!], NOW);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await engine.list({ limit: 3, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.tasks.map(({ id }) => id));
      cursor = page.cursor;
    } while (cursor !== undefined);
    assertEquals(seen, ids.toReversed());
    const { tasks } = await engine.list({ limit: 10, op: "square", status: "queued" });
    assertEquals(tasks.map(({ id }) => id), [ids[6]!, ids[4]!, ids[2]!]);
    await assertRejects(() => engine.list({ limit: 3, cursor: "%" }), SdError, "cursor");
  },

  async "list finds tasks by key and by time of submit, oldest first on request"(
    engine,
  ) {
    const [a, b, c] = await submit(
      engine,
      task(engine, { task: { key: "k" } }),
      task(engine, { task: { key: "k" } }, NOW + 10),
      task(engine, { op: "echo" }, NOW + 20),
    );
    const list = async (request: Partial<ListRequest>) =>
      (await engine.list({ limit: 10, ...request })).tasks.map(({ id }) => id);
    assertEquals(await list({ key: "k" }), [b!, a!]);
    assertEquals(await list({ key: "" }), []);
    assertEquals(await list({ createdSince: NOW + 10 }), [c!, b!]);
    assertEquals(await list({ createdSince: NOW + 10, oldestFirst: true }), [b!, c!]);
    assertEquals(await list({ createdSince: NOW + 11, key: "k" }), []);
    await leaseMany(engine, 3);
    assertEquals(await list({ status: "running", key: "k", oldestFirst: true }), [a!, b!]);
    assertEquals(await list({ status: "running", createdSince: NOW + 20 }), [c!]);
  },

  async "a page of list is stable while tasks are added"(engine) {
    const ids = await submit(
      engine,
      task(engine, { n: 1 }),
      task(engine, { n: 2 }),
      task(engine, { n: 3 }),
    );
    const first = await engine.list({ limit: 2 });
    await submit(engine, task(engine, { n: 4 }));
    const second = await engine.list({ limit: 2, cursor: first.cursor! });
    assertEquals(second.tasks.map(({ id }) => id), [ids[0]!]);
    assertEquals(second.cursor, undefined);
  },

  async "stats count the tasks in each status"(engine) {
    const [a] = await submit(
      engine,
      task(engine),
      task(engine),
      task(engine),
      task(engine, { task: { delay: 10 } }),
    );
    await engine.cancel([a!], NOW);
    const { lease } = await leaseOne(engine);
    await engine.ack([{ lease, result: "16" }], NOW);
    await leaseOne(engine);
    assertEquals((await engine.stats()).tasks, {
      queued: 0,
      delayed: 1,
      running: 1,
      completed: 1,
      failed: 0,
      cancelled: 1,
      expired: 0,
    });
    await engine.prune(NOW + 86_400_000);
    assertEquals((await engine.stats()).tasks.completed, 0);
  },

  async "stats count the queued and running tasks of each op, and report the longest wait"(engine) {
    await submit(
      engine,
      task(engine),
      task(engine, { task: { priority: 1 } }),
      task(engine, { op: "resize" }, NOW - 50),
      task(engine, { op: "resize", task: { key: "k" } }, NOW - 90),
      task(engine, { op: "resize", task: { delay: 10 } }),
    );
    const loads = async () =>
      (await engine.stats()).ops
        .map(({ op, queued, running, waitingSince }) => [op, queued, running, waitingSince])
        .toSorted();
    assertEquals(await loads(), [["resize", 2, 0, NOW - 90], ["square", 2, 0, NOW]]);
    const [first, second] = await leaseMany(engine, 2);
    assertEquals(await loads(), [["resize", 2, 0, NOW - 90], ["square", 0, 2, undefined]]);
    await engine.ack([{ lease: first!.lease, result: "16" }], NOW);
    await engine.nack([{ lease: second!.lease, reason: "failed", error: FAILED }], NOW);
    assertEquals(await loads(), [["resize", 2, 0, NOW - 90]]);
    await engine.requeue([second!.id], NOW);
    assertEquals((await loads()).map(([op, queued]) => [op, queued]), [["resize", 2], [
      "square",
      1,
    ]]);
  },
};

const TESTS: Tests = {
  ...LIFE,
  ...KEY_TESTS,
  ...OP_TESTS,
  ...ADOPT_TESTS,
  ...AFTER_TESTS,
  ...LOG_TESTS,
  ...TIME_TESTS,
  ...SETTING_TESTS,
};

/** Declares a test for each claim of the contract, each on an engine of its own. */
export function testEngine(contract: EngineContract): void {
  const { name, open, lacks = [], ignore = false, sanitizeOps = true } = contract;
  const options = { sanitizeOps, sanitizeResources: sanitizeOps };
  for (const { test } of lacks) {
    assert(test in TESTS, `lacks names no test of the contract: ${test}`);
  }
  for (const [claim, test] of Object.entries(TESTS)) {
    const lack = lacks.find((entry) => entry.test === claim);
    Deno.test({
      name: `${name}: ${claim}${lack ? ` (does not hold: ${lack.reason})` : ""}`,
      ignore: ignore || lack !== undefined,
      ...options,
      async fn() {
        const seed = newSeed();
        const ends = new Ends();
        const engine = await open(new Random(seed), ends.sink);
        try {
          await test(engine, ends);
        } catch (error) {
          throw new Error(`with SD_SEED=${seed}`, { cause: error });
        } finally {
          await engine.close();
        }
      },
    });
  }
  const apart =
    `${name}: two engines in one process number their tasks apart, under ids that differ`;
  Deno.test({ name: apart, ignore, ...options }, async () => {
    const random = new Random(newSeed());
    const [one, two] = [await open(random, () => {}), await open(random, () => {})];
    try {
      const tasks = [];
      for (const engine of [one, two, two, two, one, two, one]) tasks.push(task(engine));
      const serials = tasks.map(({ serial }) => serial);
      assertEquals(serials, [1, 1, 2, 3, 2, 4, 3], "no number of one depends on the other");
      const ids = tasks.map(({ id }) => id);
      assertEquals(
        new Set(ids).size,
        ids.length,
        "made in one millisecond, some with equal numbers",
      );
      const [a, , , , b, , c] = tasks;
      await submit(one, a!, b!);
      await submit(two, ...tasks.slice(1, 4), tasks[5]!);
      await one.cancel([a!.id], NOW);
      await one.requeue([a!.id], NOW);
      const late = task(one);
      await submit(one, late, c!);
      // `c` was made before `a` went to the end of the queue.
      assertEquals((await leaseIds(one)).toSorted(), [a!.id, b!.id, c!.id, late.id].toSorted());
      assert(late.serial > c!.serial + 1, "the new place in the queue has a number of its own");
      assertEquals(await leaseIds(two), [1, 2, 3, 5].map((i) => ids[i]!));
    } finally {
      await one.close();
      await two.close();
    }
  });
}
