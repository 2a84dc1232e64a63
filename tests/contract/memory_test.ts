/** The memory engine keeps the contract of engines, also if it is late, and its own promise of bounded memory. */

import { assertEquals } from "@std/assert";
import { openMemoryEngine } from "../../server/engine/memory/memory.ts";
import { openEngine } from "../../server/engine/open.ts";
import { newTask } from "../../server/task/new_task.ts";
import { FlakyEngine } from "../faults/flaky_engine.ts";
import { testEngine } from "./engine_contract.ts";

const HALF = () => 0.5;

testEngine({
  name: "memory",
  open: (_random, ended) => Promise.resolve(openMemoryEngine({ ended, random: HALF })),
});
testEngine({
  name: "memory, late",
  open: (random, ended) =>
    Promise.resolve(new FlakyEngine(openMemoryEngine({ ended, random: HALF }), random)),
});

Deno.test("memory: opens the memory engine", async () => {
  const engine = await openEngine("memory:");
  assertEquals(engine.name, "memory");
  await engine.close();
});

Deno.test("memory: finished tasks are kept up to a limit, a lower one if their ends were reported", async () => {
  const engine = openMemoryEngine({ kept: { delivered: 10, others: 15 } });
  const task = (options?: Record<string, unknown>) => {
    const message = { op: "square", n: 1, ...(options ? { task: options } : {}) };
    return newTask(message, JSON.stringify(message), { now: 1000, serials: engine.serials });
  };
  const many = (options?: Record<string, unknown>) =>
    Array.from({ length: 25 }, () => task(options));
  const reported = many();
  const unreported = many({ wait: false });
  const longer = many({ keep: 10 * 86_400_000 }).slice(0, 5);
  for (const tasks of [longer, reported, unreported]) {
    await engine.enqueue(tasks, 1000);
    const leased = await engine.lease(
      { ops: new Set(["square"]), limit: 25, leaseUntil: 2000 },
      1000,
    );
    await engine.ack(leased.tasks.map(({ lease }) => ({ lease, result: "1" })), 1000);
  }
  const isKept = async (tasks: readonly { id: string }[]) =>
    (await engine.get(tasks.map(({ id }) => id))).map((record) => record !== undefined);
  assertEquals(await isKept(reported), reported.map((_, i) => i >= 15), "the newest 10");
  assertEquals(
    await isKept(unreported),
    unreported.map((_, i) => i >= 15),
    "the newest 15 with the others",
  );
  assertEquals(await isKept(longer), longer.map(() => true));
  assertEquals((await engine.stats()).tasks.completed, 25);
});
