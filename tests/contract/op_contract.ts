/** What every engine must do with the limits of ops: how many of their tasks run at a time, on all workers. */

import { assertEquals } from "@std/assert";
import type { Engine, LeasedTask } from "../../server/engine/engine.ts";
import {
  type ContractTest,
  FAILED,
  LEASE_MS,
  leaseIds,
  leaseOne,
  NOW,
  OPS,
  reclaim,
  submit,
  task,
} from "./contract_steps.ts";

const TWO = new Map([["square", 2]]);

const numbered = (engine: Engine, ...numbers: number[]) => numbers.map((n) => task(engine, { n }));

/** Everything that may be leased under `limits`, as copies. */
async function leaseLimited(
  engine: Engine,
  limits: ReadonlyMap<string, number>,
): Promise<Pick<LeasedTask, "id" | "lease">[]> {
  const leased: Pick<LeasedTask, "id" | "lease">[] = [];
  for (;;) {
    const { tasks } = await engine.lease(
      { ops: OPS, limits, limit: 9, leaseUntil: NOW + LEASE_MS },
      NOW,
    );
    if (tasks.length === 0) return leased;
    leased.push(...tasks.map(({ id, lease }) => ({ id, lease })));
  }
}

const idsOf = (leased: readonly { id: string }[]) => leased.map(({ id }) => id).sort();

export const OP_TESTS: Record<string, ContractTest> = {
  async "no more tasks of an op run than its limit, and other ops go on"(engine) {
    const ids = await submit(engine, ...numbered(engine, 1, 2, 3, 4, 5, 6, 7));
    const others = await submit(engine, ...[1, 2, 3].map((n) => task(engine, { op: "echo", n })));
    const first = await leaseLimited(engine, TWO);
    assertEquals(idsOf(first), [ids[0]!, ids[1]!, ...others].sort());
    const leaseOf = (id: string) => first.find((one) => one.id === id)!.lease;
    const next = async () => idsOf(await leaseLimited(engine, TWO));
    assertEquals(await next(), []);
    await engine.ack([{ lease: leaseOf(others[0]!), result: "1" }], NOW);
    assertEquals(await next(), [], "the end of a task of another op frees nothing");
    await engine.ack([{ lease: leaseOf(ids[0]!), result: "1" }], NOW);
    assertEquals(await next(), [ids[2]!]);
    await engine.nack([{ lease: leaseOf(ids[1]!), reason: "failed", error: FAILED }], NOW);
    const [fourth, ...none] = await leaseLimited(engine, TWO);
    assertEquals([fourth?.id, none], [ids[3], []]);
    await engine.nack([{ lease: fourth!.lease, reason: "released" }], NOW);
    assertEquals(await next(), [ids[3]!]);
    assertEquals((await reclaim(engine, NOW + LEASE_MS, NOW + LEASE_MS)).length, 4);
    assertEquals((await leaseLimited(engine, TWO)).length, 4, "two of it, and both others");
  },

  async "a limit counts tasks that started before it was set, and follows its changes"(engine) {
    await submit(engine, ...numbered(engine, 1, 2, 3, 4, 5, 6, 7, 8));
    const leases = (await leaseLimited(engine, new Map())).length;
    assertEquals(leases, 8, "without a limit all of them run");
    await submit(engine, ...numbered(engine, 9, 10, 11, 12));
    assertEquals(await leaseLimited(engine, new Map([["square", 8]])), []);
    assertEquals((await leaseLimited(engine, new Map([["square", 9]]))).length, 1);
    assertEquals(await leaseLimited(engine, TWO), []);
    assertEquals((await leaseLimited(engine, new Map([["echo", 1]]))).length, 3);
    assertEquals(await leaseLimited(engine, TWO), []);
  },

  async "a cancelled task of an op at its limit does not block later tasks"(engine) {
    const one = new Map([["square", 1]]);
    const ids = await submit(engine, ...numbered(engine, 1, 2, 3));
    const [first] = await leaseLimited(engine, one);
    await engine.cancel([ids[1]!], NOW);
    assertEquals(await leaseLimited(engine, one), []);
    await engine.ack([{ lease: first!.lease, result: "1" }], NOW);
    assertEquals(idsOf(await leaseLimited(engine, one)), [ids[2]!]);
  },

  async "the wait reason names an op at its limit, and no runner is kept free for its suspect"(
    engine,
  ) {
    const one = new Map([["square", 1]]);
    const [suspect] = await submit(engine, ...numbered(engine, 1));
    for (let i = 0; i < 2; i++) {
      const { lease } = await leaseOne(engine);
      await engine.nack([{ lease, reason: "died" }], NOW);
    }
    const ids = await submit(engine, ...numbered(engine, 2, 3));
    const request = { ops: OPS, limits: one, limit: 9, leaseUntil: NOW + LEASE_MS };
    const free = await engine.lease({ ...request, limit: 0 }, NOW);
    assertEquals([...free.suspectOps], ["square"]);
    assertEquals(idsOf(await leaseLimited(engine, one)), [ids[0]!]);
    const full = await engine.lease(request, NOW);
    assertEquals([full.tasks.length, full.suspectOps.size], [0, 0]);
    const held = await engine.lease({ ...request, suspects: true }, NOW);
    assertEquals([held.tasks.length, [...held.suspectOps]], [0, ["square"]]);
    const records = await engine.get([suspect!, ...ids], { waitReasonAt: NOW });
    assertEquals(records.map((record) => record?.waitReason?.heldBy), [
      "op_limit",
      "running",
      "op_limit",
    ]);
    assertEquals(records[2]?.waitReason?.limit, 1);
    assertEquals(await leaseIds(engine), [ids[1]!], "a request without limits has none");
  },
};
