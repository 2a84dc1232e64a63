/** What every engine must do with the keys of tasks: turns, limits, rates. */

import { assertEquals } from "@std/assert";
import type { Engine } from "../../server/engine/engine.ts";
import {
  type ContractTest,
  LEASE_MS,
  leaseIds,
  leaseMany,
  leaseOne,
  NOW,
  OPS,
  reclaim,
  submit,
  task,
} from "./contract_steps.ts";

const keyed = (engine: Engine, key: string, n: number, more: Record<string, unknown> = {}) =>
  task(engine, { n, task: { key, ...more } });

export const KEY_TESTS: Record<string, ContractTest> = {
  async "keys take turns in any order of submits; tasks without a key are one more key"(engine) {
    const a = await submit(engine, ...[1, 2, 3, 4].map((n) => keyed(engine, "a", n)));
    const b = await submit(engine, keyed(engine, "b", 5), keyed(engine, "b", 6));
    const [none] = await submit(engine, task(engine, { n: 7 }));
    assertEquals(await leaseIds(engine), [a[0]!, b[0]!, none!, a[1]!, b[1]!, a[2]!, a[3]!]);
  },

  async "a key takes its turn with any of its ops"(engine) {
    const a = await submit(
      engine,
      task(engine, { op: "echo", task: { key: "a" } }),
      keyed(engine, "a", 1),
      task(engine, { op: "echo", task: { key: "a" } }),
    );
    const b = await submit(engine, keyed(engine, "b", 2));
    assertEquals(await leaseIds(engine), [a[0]!, b[0]!, a[1]!, a[2]!]);
  },

  async "a higher priority goes before the turns of keys"(engine) {
    const [low] = await submit(engine, keyed(engine, "a", 1));
    const [high] = await submit(engine, keyed(engine, "b", 2, { priority: 5 }));
    const [higher] = await submit(engine, keyed(engine, "b", 3, { priority: 6 }));
    assertEquals(await leaseIds(engine), [higher!, high!, low!]);
  },

  async "no more tasks of a key run than its limit, whatever their ends"(engine) {
    const ids = await submit(
      engine,
      ...[1, 2, 3, 4, 5].map((n) => keyed(engine, "a", n, { limit: 2 })),
    );
    const [other] = await submit(engine, keyed(engine, "b", 9));
    const [first, second, third] = await leaseMany(engine, 100);
    assertEquals([first?.id, second?.id, third?.id], [ids[0], other, ids[1]]);
    assertEquals(await leaseIds(engine), []);
    await engine.ack([{ lease: first!.lease, result: "1" }], NOW);
    const next = await leaseMany(engine, 100);
    assertEquals(next.map(({ id }) => id), [ids[2]!]);
    await engine.nack([{ lease: third!.lease, reason: "stopped" }], NOW);
    assertEquals(await leaseIds(engine), [ids[3]!]);
    await engine.nack([{ lease: next[0]!.lease, reason: "died" }], NOW);
    assertEquals(await leaseIds(engine), [ids[2]!]);
    assertEquals((await reclaim(engine, NOW + LEASE_MS, NOW + LEASE_MS)).length, 3);
    const again = await leaseIds(engine, 100, NOW + LEASE_MS);
    assertEquals(again.sort(), [ids[2]!, other!, ids[3]!].sort());
  },

  async "a cancelled task of a key at its limit does not block later tasks"(engine) {
    const ids = await submit(engine, ...[1, 2, 3].map((n) => keyed(engine, "a", n, { limit: 1 })));
    const { lease } = await leaseOne(engine);
    await engine.cancel([ids[1]!], NOW);
    assertEquals(await leaseIds(engine), []);
    await engine.ack([{ lease, result: "1" }], NOW);
    assertEquals(await leaseIds(engine), [ids[2]!]);
  },

  async "no more tasks of a key start in a time than its rate, in any stretch of that length"(
    engine,
  ) {
    const ids = await submit(
      engine,
      ...[1, 2, 3, 4, 5].map((n) => keyed(engine, "a", n, { rate: "2/1s" })),
    );
    assertEquals(await leaseIds(engine, 1, NOW), [ids[0]!]);
    assertEquals(await leaseIds(engine, 100, NOW + 600), [ids[1]!]);
    const request = { ops: OPS, limit: 9, leaseUntil: NOW + LEASE_MS };
    const held = await engine.lease(request, NOW + 999);
    assertEquals([held.tasks.length, held.nextDueAt], [0, NOW + 1000]);
    assertEquals(await leaseIds(engine, 100, NOW + 1000), [ids[2]!]);
    assertEquals(await leaseIds(engine, 100, NOW + 1599), []);
    assertEquals(await leaseIds(engine, 100, NOW + 1600), [ids[3]!]);
  },

  async "no more tasks of an op start in a time than the rate of its workers"(engine) {
    const ids = await submit(
      engine,
      task(engine, { n: 1 }),
      task(engine, { n: 2 }),
      task(engine, { n: 3 }),
      task(engine, { n: 4 }),
    );
    const [other] = await submit(engine, task(engine, { op: "echo" }));
    const rates = new Map([["square", { starts: 2, windowMs: 1000 }]]);
    const leaseRated = async (now: number) => {
      const ids: string[] = [];
      for (;;) {
        const request = { ops: OPS, rates, limit: 9, leaseUntil: NOW + LEASE_MS };
        const { tasks, nextDueAt } = await engine.lease(request, now);
        if (tasks.length === 0) return { ids: ids.sort(), nextDueAt };
        ids.push(...tasks.map(({ id }) => id));
      }
    };
    const first = await leaseRated(NOW);
    assertEquals(first, { ids: [ids[0]!, ids[1]!, other!].sort(), nextDueAt: NOW + 1000 });
    const [record] = await engine.get([ids[2]!], { waitReasonAt: NOW });
    assertEquals(record?.waitReason, { heldBy: "op_rate", until: NOW + 1000, ahead: 0 });
    assertEquals((await leaseRated(NOW + 999)).ids, []);
    assertEquals((await leaseRated(NOW + 1000)).ids, [ids[2]!, ids[3]!].sort());
  },

  async "the wait reason names what holds a task back"(engine) {
    const ids = await submit(
      engine,
      keyed(engine, "a", 1, { limit: 1 }),
      keyed(engine, "a", 2, { limit: 1 }),
      keyed(engine, "r", 3, { rate: "1/1h" }),
      keyed(engine, "r", 4, { rate: "1/1h" }),
      task(engine, { task: { delay: 3_600_000 } }),
      task(engine, { op: "resize" }),
    );
    await leaseIds(engine);
    const records = await engine.get(ids, { waitReasonAt: NOW });
    assertEquals(records.map((record) => record?.waitReason?.heldBy), [
      "running",
      "key_limit",
      "running",
      "key_rate",
      "time",
      "turn",
    ]);
    assertEquals(records[4]?.waitReason?.until, NOW + 3_600_000);
    assertEquals(records[5]?.waitReason?.ahead, 2);
    assertEquals((await engine.get([ids[0]!]))[0]?.waitReason, undefined);
  },
};
