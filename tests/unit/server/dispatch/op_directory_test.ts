/** Which ops are known, and for how long after the last pool with one has left. */

import { assertEquals } from "@std/assert";
import type { OpSpec } from "../../../../protocol/op_spec.ts";
import { createJanitor } from "../../../../server/dispatch/upkeep.ts";
import { MAX_LEFT_OPS, OpDirectory } from "../../../../server/dispatch/op_directory.ts";
import type { Runner } from "../../../../server/dispatch/runner.ts";
import type { Engine } from "../../../../server/engine/engine.ts";
import { HandClock } from "../../../kit/hand_clock.ts";

const MINUTE_MS = 60_000;
const NOTHING_OPEN = () => false;

function runnerOf(pool: string | undefined, ...ops: OpSpec[]): Runner {
  const specs = new Map(ops.map((spec) => [spec.op, spec]));
  return { pool, specs, workers: 1 } as unknown as Runner;
}

function stage() {
  let now = 0;
  const ops = new OpDirectory(false, () => now);
  // While nothing is known, any op is.
  ops.add(runnerOf("stays", { op: "always" }));
  return { ops, pass: (ms: number) => void (now += ms) };
}

Deno.test("an op is known for an hour after its last pool has left, and no longer", () => {
  const { ops, pass } = stage();
  const [one, two] = [runnerOf("one", { op: "a" }), runnerOf("two", { op: "a" })];
  ops.add(one);
  ops.add(two);
  ops.remove(one);
  pass(120 * MINUTE_MS);
  ops.forget(NOTHING_OPEN);
  ops.remove(two);
  pass(60 * MINUTE_MS - 1);
  ops.forget(NOTHING_OPEN);
  assertEquals(ops.get("a") !== undefined, true);
  pass(1);
  ops.forget(NOTHING_OPEN);
  assertEquals(ops.get("a"), undefined);
  assertEquals([...ops.names()], ["always"]);
});

Deno.test("an op with tasks that wait or run is known for as long as they do", () => {
  const { ops, pass } = stage();
  const runner = runnerOf("one", { op: "a", attempts: 3 });
  ops.add(runner);
  ops.remove(runner);
  pass(600 * MINUTE_MS);
  ops.forget((op) => op === "a");
  assertEquals(ops.get("a")?.defaults.rules.attempts, 3);
  ops.forget(NOTHING_OPEN);
  assertEquals(ops.get("a"), undefined);
});

Deno.test("thousands of pools with ops of their own leave a bounded number of them behind", () => {
  const { ops, pass } = stage();
  for (let n = 0; n < 5000; n++) {
    const runner = runnerOf(`pool-${n}`, { op: `op-${n}`, limit: 2, rate: "5/1s" }, {
      op: "shared",
    });
    ops.add(runner);
    ops.remove(runner);
    pass(1);
  }
  ops.forget(NOTHING_OPEN);
  assertEquals(ops.list().length, 5002, "a restart of workers refuses nobody");
  pass(MINUTE_MS);
  ops.forget(NOTHING_OPEN);
  assertEquals(ops.list().length, MAX_LEFT_OPS + 1);
  assertEquals([ops.limits.size, ops.rates.size], [MAX_LEFT_OPS - 1, MAX_LEFT_OPS - 1]);
  assertEquals(ops.get("op-0"), undefined);
  assertEquals(ops.get("op-4999") !== undefined, true, "the last ones are known for longest");
  pass(60 * MINUTE_MS);
  ops.forget(NOTHING_OPEN);
  assertEquals([...ops.names()], ["always"]);
});

Deno.test("a pool that comes again takes its op from what is forgotten", () => {
  const { ops, pass } = stage();
  const runner = runnerOf("one", { op: "a" });
  ops.add(runner);
  ops.remove(runner);
  pass(59 * MINUTE_MS);
  ops.add(runner);
  pass(59 * MINUTE_MS);
  ops.forget(NOTHING_OPEN);
  ops.remove(runner);
  pass(59 * MINUTE_MS);
  ops.forget(NOTHING_OPEN);
  assertEquals(ops.get("a") !== undefined, true);
});

Deno.test("the janitor has ops forgotten, but for those of tasks and of recurring tasks", async () => {
  const clock = new HandClock(0);
  const ops = new OpDirectory(false, () => clock.now());
  ops.add(runnerOf("stays", { op: "always" }));
  const leaving = runnerOf("one", { op: "idle" }, { op: "queued" }, { op: "nightly" });
  ops.add(leaving);
  ops.remove(leaving);
  const stats = { ops: [{ op: "queued", queued: 1, running: 0, waitingSince: 0 }] };
  const engine = {
    prune: () => Promise.resolve({ removed: 0, nextAt: Infinity }),
    stats: () => Promise.resolve(stats),
  } as unknown as Engine;
  const bug = (_room: string, error: unknown) => {
    throw error;
  };
  const janitor = createJanitor({
    engine,
    clock,
    log: { info() {}, warn() {}, error() {}, bug },
    ops,
    recurringOps: () => ["nightly"],
  });
  janitor.start();
  await clock.pass(1000);
  assertEquals([...ops.names()].length, 4);
  await clock.jump(60 * MINUTE_MS);
  await clock.pass(20_000);
  await janitor.stop();
  assertEquals([...ops.names()].toSorted(), ["always", "nightly", "queued"]);
});

Deno.test("the ops of the server's own workers are waited for though others are quicker, but not for long", async () => {
  for (const comes of [true, false]) {
    const ops = new OpDirectory(true, () => 0);
    ops.forget(NOTHING_OPEN);
    ops.add(runnerOf(undefined, { op: "elsewhere" }));
    const { ready } = ops;
    assertEquals(ready !== undefined, true, "nothing is said to be unknown yet");
    if (comes) ops.add(runnerOf("local", { op: "here" }));
    else ops.forget(NOTHING_OPEN);
    await ready;
    assertEquals([ops.ready, ops.get("here") !== undefined], [undefined, comes]);
  }
});
