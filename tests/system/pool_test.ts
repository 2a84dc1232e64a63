/** The pool with real Web Workers and tasks of every kind, without a server. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { MAX_RESULT_BYTES } from "../../protocol/limits.ts";
import { TestPool } from "../kit/test_pool.ts";

Deno.test("results come back under their leases, for any size of batch", async () => {
  using test = new TestPool(2);
  for (const size of [1, 2, 127, 128, 129, 3000]) {
    const leases = test.run(...Array.from({ length: size }, (_, n) => ({ op: "square", n })));
    for (const [n, lease] of leases.entries()) {
      assertEquals(await test.endOf(lease), { lease, result: n * n });
    }
  }
  assertEquals(test.pool.held, 0);
  assertEquals(test.pool.leases(), []);
});

Deno.test("results of every kind arrive: text, large ones, errors, promises", async () => {
  using test = new TestPool(2);
  const data = { text: "ä€😀\u2028\n\u0000", list: [1, null, { deep: true }] };
  assertEquals((await test.result({ op: "echo", data })).result, data);
  assertEquals((await test.result({ op: "resolved", data })).result, { data });
  for (const chars of [70_000, 500_000, MAX_RESULT_BYTES - 2]) {
    assertEquals((await test.result({ op: "large", chars })).result.length, chars);
  }
  const tooLarge = await test.result({ op: "large", chars: MAX_RESULT_BYTES });
  assertEquals(tooLarge.error.code, "bad_result");
  const noNumber = await test.result({ op: "square", n: "abc" });
  assertEquals(noNumber.error.code, "task_error");
  assertStringIncludes(noNumber.error.message, 'got "abc"');
  assertEquals((await test.result({ op: "twice" })).result, 1);
  assertEquals((await test.result({ op: "then_bomb" })).error.message, "then bomb");
});

Deno.test("mixed large and small results keep their leases", async () => {
  using test = new TestPool(2);
  const tasks = Array.from(
    { length: 400 },
    (_, i) => i % 7 === 0 ? { op: "large", chars: 20_000 + i } : { op: "square", n: i },
  );
  const leases = test.run(...tasks);
  for (const [i, lease] of leases.entries()) {
    const { result } = await test.endOf(lease);
    assertEquals(i % 7 === 0 ? result.length - 20_000 : Math.sqrt(result), i);
  }
  assertEquals(test.reports.filter(({ lease }) => lease !== undefined).length, 400);
});

Deno.test("a slow task delays neither the tasks behind it nor the results before it", async () => {
  using test = new TestPool(2);
  // Quick tasks first, so that the pool posts in large batches.
  for (const lease of test.run(...Array(2000).fill({ op: "square", n: 3 }))) {
    await test.endOf(lease);
  }
  const quick = Array(100).fill({ op: "square", n: 5 });
  const leases = test.run(...quick, { op: "busy", ms: 1500 }, ...quick);
  const slow = leases[100]!;
  const others = leases.filter((lease) => lease !== slow);
  for (const lease of others) assertEquals((await test.endOf(lease)).result, 25);
  assert(!test.reports.some(({ lease }) => lease === slow), "a quick task waited for the slow one");
  assertEquals((await test.endOf(slow)).result, "was busy");
  assertEquals(test.reports.filter(({ lease }) => lease === slow).length, 1);
});

Deno.test("tasks that cannot start soon are returned to the server, and the credit shrinks", async () => {
  using test = new TestPool(2);
  for (const lease of test.run(...Array(2000).fill({ op: "square", n: 3 }))) {
    await test.endOf(lease);
  }
  test.obeysCredit = false;
  const leases = test.run(...Array(50).fill({ op: "sleep", ms: 400 }));
  await test.until(() => test.pool.held <= 2);
  const released = test.reports.flatMap(({ release }) => release ?? []);
  const credit = test.reports.findLast((report) => report.credit !== undefined).credit;
  assert(released.length > 40, `${released.length} were released`);
  assert(credit < 20, `the credit is ${credit}`);
  // It ran the tasks that it still held.
  await test.until(() => test.pool.held === 0);
  const done = test.reports.filter(({ lease }) => leases.includes(lease)).map(({ lease }) => lease);
  assertEquals([...done, ...released].sort((a, b) => a - b), leases);
});

Deno.test("a task that waits beyond its time limit gets the signal to stop, and stops", async () => {
  using test = new TestPool(1);
  const report = await test.result({ op: "sleep", ms: 60_000, timeout: 100 });
  assertEquals(report.error, { code: "timeout", message: "stopped after 100 ms, its limit" });
  assertEquals((await test.result({ op: "square", n: 3 })).result, 9);
  assertEquals(test.workersStarted, 1);
});

Deno.test("a loop that checks the flag stops without a message", async () => {
  using test = new TestPool(1);
  const report = await test.result({ op: "watch_flag", timeout: 100 });
  assertEquals(report.error.code, "timeout");
  assertEquals((await test.result({ op: "square", n: 3 })).result, 9);
  assertEquals([test.workersStarted, test.stuckTasks], [1, []]);
});

Deno.test("for a task that ignores its stop only its worker is replaced", async () => {
  using test = new TestPool(2);
  const [lease, ...others] = test.run(
    { op: "never", timeout: 100 },
    { op: "sleep", ms: 800 },
    { op: "square", n: 2 },
  );
  assertEquals((await test.endOf(lease!)).error.code, "timeout");
  assertEquals((await test.endOf(others[0]!)).result, 800);
  assertEquals((await test.endOf(others[1]!)).result, 4);
  assertEquals((await test.result({ op: "square", n: 3 })).result, 9);
  assertEquals([test.workersStarted, test.stuckTasks], [3, []]);
});

Deno.test("a task that never yields is reported as stuck, and other tasks finish", async () => {
  using test = new TestPool(2);
  const [stuck] = test.run({ op: "busy", ms: 2000, timeout: 100 });
  const other = test.result({ op: "sleep", ms: 500 });
  await test.until(() => test.stuckTasks.length > 0);
  assertEquals(test.stuckTasks, [[stuck, "timeout"]]);
  assertEquals((await other).result, 500);
  // This task ends in the end. A pool that must outlive it reports the run for which the server waits.
  assertEquals((await test.endOf(stuck!)).error.code, "timeout");
});

Deno.test("a cancelled task that has not begun never begins", async () => {
  using test = new TestPool(1);
  await test.result({ op: "square", n: 1 });
  test.obeysCredit = false;
  const [running, waiting, last] = test.run(
    { op: "sleep", ms: 200 },
    { op: "square", n: 2 },
    { op: "square", n: 3 },
  );
  test.stop([waiting!], "cancel");
  assertEquals(await test.endOf(waiting!), { lease: waiting, cancelled: true });
  assertEquals((await test.endOf(running!)).result, 200);
  await test.until(() => test.pool.held === 0);
  assertEquals(test.reports.filter(({ lease }) => lease === waiting).length, 1);
  assert(test.reports.some(({ lease, release }) => lease === last || release?.includes(last)));
});

Deno.test("a cancelled task that runs is stopped", async () => {
  using test = new TestPool(1);
  const [running] = test.run({ op: "sleep", ms: 60_000 });
  await delay(100);
  test.stop([running!], "cancel");
  assertEquals(await test.endOf(running!), { lease: running, cancelled: true });
  assertEquals((await test.result({ op: "square", n: 3 })).result, 9);
  assertEquals(test.workersStarted, 1);
});

Deno.test("a task with a lost lease is reported no more", async () => {
  using test = new TestPool(2);
  const lost = test.run({ op: "sleep", ms: 60_000 }, { op: "busy", ms: 200 });
  await delay(100);
  test.stop(lost, "lost");
  await test.until(() => test.pool.held === 0);
  assertEquals((await test.result({ op: "square", n: 3 })).result, 9);
  assertEquals(test.reports.filter(({ lease }) => lost.includes(lease)), []);
});

Deno.test("when the link is lost, all tasks stop and no old result is ever sent", async () => {
  using test = new TestPool(2);
  const old = test.run(
    { op: "sleep", ms: 60_000 },
    { op: "busy", ms: 150 },
    ...Array(200).fill({ op: "square", n: 2 }),
  );
  await delay(60);
  const before = test.reports.length;
  test.loseLink();
  assertEquals((await test.result({ op: "square", n: 3 })).result, 9);
  await test.until(() => test.pool.held === 0);
  assertEquals(test.reports.slice(before).filter(({ lease }) => old.includes(lease)), []);
});

Deno.test("a closed pool returns the tasks that have not begun and finishes the rest", async () => {
  using test = new TestPool(1);
  await test.result({ op: "square", n: 1 });
  test.obeysCredit = false;
  const leases = test.run({ op: "sleep", ms: 300 }, ...Array(5).fill({ op: "square", n: 2 }));
  await delay(100);
  test.pool.close();
  const [late] = test.run({ op: "square", n: 9 });
  assertEquals((await test.endOf(leases[0]!)).result, 300);
  const released = test.reports.flatMap(({ release }) => release ?? []);
  assertEquals(released.sort((a, b) => a - b), [...leases.slice(1), late]);
  assertEquals(test.pool.held, 0);
});

Deno.test("an uncaught error fails its task, and the worker is replaced", async () => {
  using test = new TestPool(1);
  const [stray, next] = test.run({ op: "stray" }, { op: "square", n: 4 });
  const report = await test.endOf(stray!);
  assertEquals(report.error, { code: "task_error", message: "TypeError: nobody caught me" });
  assertEquals((await test.endOf(next!)).result, 16);
  assertEquals(test.workersStarted, 2);
});

Deno.test("a worker that ended itself while it was idle is replaced", async () => {
  using test = new TestPool(1);
  assertEquals((await test.result({ op: "close_later" })).result, "closing");
  for (const end = performance.now() + 20_000; test.workersStarted === 1;) {
    assert(performance.now() < end, "nobody has noticed");
    await delay(50);
    assertEquals((await test.result({ op: "square", n: 4 })).result, 16);
  }
  assertEquals(test.workersStarted, 2);
});

Deno.test("progress is reported while a task runs, and never after its end", async () => {
  using test = new TestPool(1);
  const [lease, late, next] = test.run({ op: "steps" }, { op: "late_progress" }, {
    op: "sleep",
    ms: 300,
  });
  assertEquals((await test.endOf(lease!)).result, "walked");
  const told = test.reports.filter((report) => report.lease === lease && report.progress);
  assert(told.length >= 2, JSON.stringify(told));
  // The fraction is read from the table; the note comes by message and can be a step behind.
  for (const { progress: { fraction, note } } of told) {
    const possible = [
      `step ${fraction * 4}`,
      fraction > 0.25 ? `step ${fraction * 4 - 1}` : undefined,
    ];
    assert(possible.includes(note), `${note} at ${fraction}`);
  }
  assertEquals((await test.endOf(late!)).result, "gone");
  assertEquals((await test.endOf(next!)).result, 300);
  assertEquals(test.reports.filter(({ progress }) => progress).length, told.length);
});

Deno.test("a task that replaces built-in functions or forges messages harms only itself", async () => {
  using test = new TestPool(1);
  assertEquals((await test.result({ op: "sabotage" })).result, "done");
  for (let n = 0; n < 5; n++) {
    assertEquals((await test.result({ op: "square", n })).result, n * n);
    assertEquals((await test.result({ op: "echo", data: { n } })).result, { n });
  }
  assertEquals((await test.result({ op: "resolved", a: 1 })).result, { a: 1 });
  assertEquals(test.workersStarted, 1);
});

Deno.test("a pool can be stopped before its start, and twice", () => {
  using test = new TestPool(1);
  test.pool.stop();
  test.pool.stop();
});

Deno.test("mixed tasks, some cancelled or lost, each end once and with the right result", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor(state / 2 ** 31 * below);
  };
  using test = new TestPool(3);
  const expected = new Map<number, unknown>();
  const stopped = new Set<number>();
  const lost = new Set<number>();
  for (let round = 0; round < 60; round++) {
    const tasks = Array.from({ length: 1 + random(150) }, () => randomTask(random));
    for (const [i, lease] of test.run(...tasks.map(({ task }) => task)).entries()) {
      expected.set(lease, tasks[i]!.result);
    }
    await delay(random(12));
    const held = test.pool.leases();
    const some = held.filter(() => random(40) === 0);
    const reason = random(3) === 0 ? "lost" : "cancel";
    for (const lease of some) (reason === "lost" ? lost : stopped).add(lease);
    if (some.length > 0) test.stop(some, reason);
  }
  await test.until(() => {
    const ends = test.reports.filter(({ lease }) => lease !== undefined).length;
    return test.pool.held === 0 && ends >= expected.size - lost.size;
  });
  const seen = new Set<number>();
  for (const { lease, result, cancelled } of test.reports) {
    if (lease === undefined) continue;
    assert(!seen.has(lease), `seed ${seed}: lease ${lease} ended twice`);
    seen.add(lease);
    if (cancelled) assert(stopped.has(lease), `seed ${seed}: ${lease} was never cancelled`);
    else assertEquals(result, expected.get(lease), `seed ${seed}: lease ${lease}`);
  }
  for (const lease of expected.keys()) {
    assert(seen.has(lease) || lost.has(lease), `seed ${seed}: lease ${lease} never ended`);
  }
  assertEquals(test.stuckTasks, []);
});

/** A task, and the result that it must have. */
function randomTask(random: (below: number) => number): { task: { op: string }; result: unknown } {
  const n = random(1_000_000);
  const give = (task: { op: string; [arg: string]: unknown }, result: unknown) => ({
    task,
    result,
  });
  switch (random(20)) {
    case 0:
      return give({ op: "busy", ms: random(20) }, "was busy");
    case 1:
      return give({ op: "sleep", ms: n % 7 }, n % 7);
    case 2:
      return give({ op: "large", chars: n % 100_000 }, "x".repeat(n % 100_000));
    case 3:
      return give({ op: "resolved", n }, { n });
    case 4:
      return give({ op: "echo", data: `ü${n}` }, `ü${n}`);
    default:
      return give({ op: "square", n }, n * n);
  }
}
