/** Log lines of tasks leave their workers in order and before the end of the task, for every kind of task and end. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { MAX_LOG_ENTRY_CHARS } from "../../protocol/limits.ts";
import { type Report, TestPool } from "../kit/test_pool.ts";

class TalkingPool extends TestPool {
  constructor(workers: number) {
    super(workers, { entry: "./talking_worker.ts", isTrusted: true });
  }

  /** The log lines of `lease` so far, as `level text`. */
  said(lease: number): string[] {
    return this.logsOf(lease).flatMap(({ log }) =>
      log.map(([, level, text]: [number, string, string]) => `${level} ${text}`)
    );
  }

  logsOf(lease: number): Report[] {
    return this.reports.filter((report) => report.lease === lease && report.log);
  }

  /** Whether all log lines of `lease` came before its end. */
  saidBeforeItsEnd(lease: number): boolean {
    const ends = this.reports.findIndex((report) => report.lease === lease && !report.log);
    return this.reports.findLastIndex((report) => report.lease === lease && report.log) < ends;
  }

  /** Runs a task to its end; returns its log lines and its report. */
  async talk(op: string, args: Record<string, unknown> = {}): Promise<[string[], Report]> {
    const [lease = 0] = this.run({ op, ...args });
    const end = await this.endOf(lease);
    assert(this.saidBeforeItsEnd(lease));
    return [this.said(lease), end];
  }
}

Deno.test("log lines come before the end of even the quickest task, each with its own lease", async () => {
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

Deno.test("console logs for the running task, with the level of its method", async () => {
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
  // Groups that one task leaves open do not indent the next one's lines.
  for (let i = 0; i < 2; i++) {
    assertEquals((await pool.talk("open_group"))[0], ["info   indented"]);
  }
});

Deno.test("no logged value harms the worker, and no sabotage stops the logs of the next task", async () => {
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

Deno.test("the last log lines of a task that hangs arrive while it hangs, and before its end", async () => {
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

Deno.test("the log lines of a task arrive even if its worker ends with an uncaught error", async () => {
  using pool = new TalkingPool(1);
  const [said, end] = await pool.talk("throw_later");
  assertEquals(said, ["info about to throw"]);
  assertEquals(end.error.message, "TypeError: nobody caught me");
});

Deno.test("a flood of log lines is cut to the newest, with the number dropped, and delays no other task", async () => {
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

Deno.test("log lines that do not fit the shared area come by message, in order and before the result", async () => {
  using pool = new TalkingPool(1);
  // The two entries do not fit the area together, and the result does not fit at all.
  for (const chars of [8000, 80_000]) {
    const [said, { result }] = await pool.talk("large", { chars });
    const length = Math.min(chars, MAX_LOG_ENTRY_CHARS);
    assertEquals(said.map((text) => text.length - "info ".length), [length, length]);
    assertEquals(result.length, chars);
  }
});

Deno.test("while the server does not read, log lines of running tasks wait, those with an end do not", async () => {
  using pool = new TalkingPool(2);
  pool.isFull = true;
  const [lease = 0] = pool.run({ op: "wait" });
  // Logged after the line above.
  await pool.until(() => pool.reports.some((report) => report.lease === lease && report.progress));
  assertEquals((await pool.talk("say", { texts: ["ended"] }))[0], ["info ended"]);
  assertEquals(pool.said(lease), []);
  pool.isFull = false;
  await pool.until(() => pool.said(lease).length > 0);
  assertEquals(pool.said(lease), ["info waiting"]);
});

Deno.test("output while no task runs is in no task's log, and is reported up to a limit", async () => {
  using pool = new TalkingPool(1);
  assertEquals((await pool.talk("haunt"))[0], []);
  await pool.until(() => pool.strayLines.some((text) => text.endsWith("left out)")));
  assertEquals(pool.strayLines.slice(0, 2), ["left over", "by an old context"]);
  // While another task runs, `console` cannot be attributed to a task; `ctx.log` can.
  const [flooded] = await pool.talk("slow_flood", { lines: 1000, ms: 100 });
  assert(flooded.includes("info left over"));
  assert(!flooded.includes("info by an old context"));
  await pool.talk("hush");
});
