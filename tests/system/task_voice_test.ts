/** What tasks say, as it leaves their workers: in its order, before their end, whatever they are and whoever stops them. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { MAX_LOG_ENTRY_CHARS } from "../../protocol/limits.ts";
import { type Report, TestPool } from "../kit/test_pool.ts";

class TalkingPool extends TestPool {
  constructor(workers: number) {
    super(workers, { entry: "./talking_worker.ts", isTrusted: true });
  }

  /** What `lease` has said so far, as `level text`. */
  said(lease: number): string[] {
    return this.logsOf(lease).flatMap(({ log }) =>
      log.map(([, level, text]: [number, string, string]) => `${level} ${text}`)
    );
  }

  logsOf(lease: number): Report[] {
    return this.reports.filter((report) => report.lease === lease && report.log);
  }

  /** Whether all that `lease` said came before its end. */
  saidBeforeItsEnd(lease: number): boolean {
    const ends = this.reports.findIndex((report) => report.lease === lease && !report.log);
    return this.reports.findLastIndex((report) => report.lease === lease && report.log) < ends;
  }

  /** Runs a task to its end; what it said and what it reported. */
  async talk(op: string, args: Record<string, unknown> = {}): Promise<[string[], Report]> {
    const [lease = 0] = this.run({ op, ...args });
    const end = await this.endOf(lease);
    assert(this.saidBeforeItsEnd(lease));
    return [this.said(lease), end];
  }
}

Deno.test("what tasks say comes before their end, each with its own lease, however quick they are", async () => {
  using pool = new TalkingPool(2);
  const leases = pool.run(
    ...Array.from({ length: 2000 }, (_, i) => ({ op: "say", texts: [`a ${i}`, `b ${i}`] })),
  );
  for (const [i, lease] of leases.entries()) {
    assertEquals((await pool.endOf(lease)).result, "said");
    assert(pool.saidBeforeItsEnd(lease));
    assertEquals(pool.said(lease), [`info a ${i}`, `info b ${i}`]);
  }
});

Deno.test("console speaks for the task that runs, with the level of its method", async () => {
  using pool = new TalkingPool(1);
  assertEquals((await pool.talk("levels"))[0], [
    "debug d 1",
    "info l has 2 { more: true }",
    'info [ "i" ]',
    "warn w",
    "error e",
    "error Assertion failed: a told",
  ]);
  const [said] = await pool.talk("other_methods");
  assertEquals(
    said.slice(0, -1),
    [
      "info { a: 1 }",
      "info [ [ 1 ] ]",
      "info outer",
      "info   inner",
      "info outside",
      "info c: 1",
      "info c: 2",
      "info c: 1",
      "warn no timer is called never begun",
      "info taken",
      'info "taken"',
    ],
  );
  assertMatch(said.at(-1)!, /^info Trace: traced\n\s+at .*talking_worker\.ts/);
  // What one task leaves open is not the next one's.
  for (let i = 0; i < 2; i++) {
    assertEquals((await pool.talk("open_group"))[0], ["info   indented"]);
  }
});

Deno.test("no value harms the worker, and no sabotage silences the next task", async () => {
  using pool = new TalkingPool(1);
  const [said, end] = await pool.talk("bombs");
  assertEquals(end.result, "survived");
  assertEquals(
    said[0],
    "info [a value that cannot be shown] <ref *1> { itself: [Circular *1] } Symbol(s) 10n " +
      "[a value that cannot be shown] undefined null [Function (anonymous)]",
  );
  assertEquals(said.slice(1).map((text) => text.length - "info ".length), [
    MAX_LOG_ENTRY_CHARS,
    MAX_LOG_ENTRY_CHARS,
    0,
  ]);
  const [sabotaged, done] = await pool.talk("sabotage");
  assertEquals([sabotaged, done.result], [
    ["info said all the same", "info printed too"],
    "done",
  ]);
  assertEquals((await pool.talk("say", { texts: ["still here"] }))[0], ["info still here"]);
  assertEquals(pool.workersStarted, 1);
});

Deno.test("the last words of a task that hangs are heard while it does, and before its end", async () => {
  using pool = new TalkingPool(2);
  const [hanging = 0, waiting = 0] = pool.run({ op: "hang", timeout: 600 }, { op: "wait" });
  await pool.until(() => pool.said(hanging).length > 0 && pool.said(waiting).length > 0);
  assertEquals(pool.said(hanging), ["info last words"]);
  pool.stop([waiting], "cancel");
  assertEquals((await pool.endOf(waiting)).cancelled, true);
  assertEquals(pool.said(waiting), ["info waiting"]);
  await pool.until(() => pool.stuckTasks.length > 0);
  assertEquals(pool.stuckTasks, [[hanging, "timeout"]]);
});

Deno.test("what a task said is heard also when its worker ends by an error that nobody caught", async () => {
  using pool = new TalkingPool(1);
  const [said, end] = await pool.talk("throw_later");
  assertEquals(said, ["info about to throw"]);
  assertEquals(end.error.message, "TypeError: nobody caught me");
});

Deno.test("a flood is cut to its newest lines, all of it accounted for, and its neighbours do not wait", async () => {
  using pool = new TalkingPool(2);
  const lines = 1_000_000;
  const [flood = 0] = pool.run({ op: "flood", lines });
  const [slow = 0] = pool.run({ op: "slow_flood", lines: 20_000, ms: 1 });
  await pool.until(() => pool.said(flood).length > 0);
  const results = await Promise.all(
    pool.run(...Array.from({ length: 200 }, (_, n) => ({ op: "square", n })))
      .map((lease) => pool.endOf(lease)),
  );
  assertEquals(results.at(-1).result, 199 * 199);
  for (const [lease, count] of [[flood, lines], [slow, 20_000]] as const) {
    assertEquals((await pool.endOf(lease)).result, "flooded");
    assert(pool.saidBeforeItsEnd(lease));
    const logs = pool.logsOf(lease);
    const told = logs.reduce((sum, { log, dropped = 0 }) => sum + log.length + dropped, 0);
    assertEquals(told, count, "what came and what was dropped are all");
    assertEquals(pool.said(lease).at(-1), `info line ${count}`);
    const numbers = pool.said(lease).map((text) => Number(text.slice("info line ".length)));
    assertEquals(numbers, numbers.toSorted((a, b) => a - b));
  }
  assert(pool.said(flood).length < lines / 10, "most of it never left the worker");
});

Deno.test("what a full area cannot take comes by message, in its order and before the result", async () => {
  using pool = new TalkingPool(1);
  // Both entries do not fit the area together, and the result fits no area.
  for (const chars of [8000, 80_000]) {
    const [said, { result }] = await pool.talk("large", { chars });
    const length = Math.min(chars, MAX_LOG_ENTRY_CHARS);
    assertEquals(said.map((text) => text.length - "info ".length), [length, length]);
    assertEquals(result.length, chars);
  }
});

Deno.test("while the server does not read, what running tasks say waits; that of ended ones does not", async () => {
  using pool = new TalkingPool(2);
  pool.isFull = true;
  const [lease = 0] = pool.run({ op: "wait" });
  // Said after it has logged.
  await pool.until(() => pool.reports.some((report) => report.lease === lease && report.progress));
  assertEquals((await pool.talk("say", { texts: ["ended"] }))[0], ["info ended"]);
  assertEquals(pool.said(lease), []);
  pool.isFull = false;
  await pool.until(() => pool.said(lease).length > 0);
  assertEquals(pool.said(lease), ["info waiting"]);
});

Deno.test("what is printed when no task runs belongs to nobody's log, and only so much is told", async () => {
  using pool = new TalkingPool(1);
  assertEquals((await pool.talk("haunt"))[0], []);
  await pool.until(() => pool.strayLines.some((text) => text.endsWith("left out)")));
  assertEquals(pool.strayLines.slice(0, 2), ["left over", "by an old context"]);
  // While another task runs, nobody can tell whose `console` it was; `ctx.log` knows.
  const [flooded] = await pool.talk("slow_flood", { lines: 1000, ms: 100 });
  assert(flooded.includes("info left over"));
  assert(!flooded.includes("info by an old context"));
  await pool.talk("hush");
});
