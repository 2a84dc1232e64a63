/** When the scheduler submits, and that it submits nothing twice and leaves nothing out. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { SdError } from "../../../../protocol/errors.ts";
import { MAX_CATCH_UP } from "../../../../protocol/limits.ts";
import { openMemoryEngine } from "../../../../server/engine/memory/memory.ts";
import { CronStage, runIds, START } from "../../../kit/cron_stage.ts";
import { HandClock } from "../../../kit/hand_clock.ts";

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

Deno.test("a task is submitted at each of its times, with all its options but those of cron", async () => {
  const stage = new CronStage();
  const answer = await stage.create(
    {
      id: "n",
      cron: "0 * * * *",
      tz: "Europe/Rome",
      catch_up: "all",
      timeout: 5000,
      expires: 60_000,
      key: "k",
    },
    { op: "echo", data: { a: [1, "ü"] }, ref: "r" },
  );
  assertEquals(answer, { cron_id: "n", status: "scheduled", next_at: "2026-11-24T01:00:00Z" });
  await stage.clock.pass(29 * MINUTE);
  assertEquals(stage.submitted, []);
  await stage.clock.pass(2 * HOUR);
  assertEquals(stage.submitted, runIds("n", "01:00:00", "02:00:00"));
  const [task] = stage.tasks;
  assertEquals([task?.rules.timeoutMs, task?.wait, task?.keyLimit?.key], [5000, false, "k"]);
  assertEquals(task?.expiresAt, Date.parse("2026-11-24T01:01:00Z"));
  assertEquals(JSON.parse(task?.payload ?? ""), {
    op: "echo",
    data: { a: [1, "ü"] },
    task: { timeout: 5000, expires: 60_000, key: "k", id: "n:2026-11-24T01:00:00Z" },
  });
  assertEquals(stage.api.list().crons, [{
    cron_id: "n",
    op: "echo",
    cron: "0 * * * *",
    tz: "Europe/Rome",
    catch_up: "all",
    paused: false,
    next_at: "2026-11-24T03:00:00Z",
    last_at: "2026-11-24T02:00:00Z",
    last_task_id: "n:2026-11-24T02:00:00Z",
    created_at: "2026-11-24T00:30:00.250Z",
  }]);
  await stage.scheduler.stop();
});

Deno.test("times that passed while no server ran are treated as catch_up says", async () => {
  const stage = new CronStage();
  for (const catch_up of ["skip", "once", "all"]) {
    await stage.create({ id: catch_up, cron: "0 * * * *", catch_up });
  }
  const next = await stage.restart(3 * HOUR);
  assertEquals(next.submitted.toSorted(), [
    ...runIds("all", "01:00:00", "02:00:00", "03:00:00"),
    ...runIds("once", "03:00:00"),
  ]);
  assert(next.log.some((line) => line.includes("skip missed times since")), next.log.join("\n"));
  // What was left out stays so, and what comes next is nothing special.
  await next.clock.pass(HOUR);
  assertEquals(next.submitted.slice(4).toSorted(), [
    ...runIds("all", "04:00:00"),
    ...runIds("once", "04:00:00"),
    ...runIds("skip", "04:00:00"),
  ]);
  await next.scheduler.stop();
});

Deno.test("a restart of some seconds misses nothing, also with skip", async () => {
  const stage = new CronStage();
  await stage.create({ id: "n", cron: "0 * * * *", catch_up: "skip" });
  await stage.clock.pass(29 * MINUTE + 55 * SECOND);
  const next = await stage.restart(10 * SECOND);
  assertEquals(next.submitted, runIds("n", "01:00:00"));
  await next.scheduler.stop();
});

Deno.test("a crash between submit and save submits nothing twice", async () => {
  const engine = openMemoryEngine();
  const { settings } = engine;
  const stage = new CronStage({ engine });
  await stage.create({ id: "n", cron: "0 * * * *", catch_up: "all" });
  const save = settings.save.bind(settings);
  let crashes = true;
  settings.save = (name, value) => crashes ? new Promise(() => {}) : save(name, value);
  await stage.clock.pass(HOUR);
  assertEquals(stage.submitted, runIds("n", "01:00:00"));
  // The first scheduler hangs in its save for ever, as one that is no more.
  crashes = false;
  const next = new CronStage({ engine, clock: stage.clock });
  await next.clock.pass(HOUR);
  assertEquals(next.submitted, runIds("n", "02:00:00"));
  assertEquals((await engine.stats()).tasks.queued, 2);
  await next.scheduler.stop();
});

Deno.test("two servers on one engine make one task of each time", async () => {
  const engine = openMemoryEngine();
  const clock = new HandClock(START);
  const stages = [new CronStage({ engine, clock }), new CronStage({ engine, clock })];
  await stages[0]!.create({ id: "n", cron: "*/10 * * * *" });
  await clock.pass(HOUR);
  assertEquals(
    stages.flatMap(({ submitted }) => submitted).toSorted(),
    runIds("n", "00:40:00", "00:50:00", "01:00:00", "01:10:00", "01:20:00", "01:30:00"),
  );
  for (const { scheduler } of stages) await scheduler.stop();
});

Deno.test("no room to store: tried again until there is, nothing is left out, told once", async () => {
  const stage = new CronStage();
  await stage.create({ id: "n", cron: "* * * * *", catch_up: "skip" });
  stage.refusal = new SdError("storage_full", "the disk is full");
  await stage.clock.pass(3 * MINUTE);
  assertEquals(stage.submitted, []);
  assertEquals(stage.log.filter((line) => line.includes("the disk is full")).length, 1);
  // Nothing is said to be done: a crash now would lose nothing.
  assertEquals(stage.api.list().crons[0]?.last_at, undefined);
  stage.refusal = undefined;
  await stage.clock.pass(2 * SECOND);
  assertEquals(stage.submitted, runIds("n", "00:31:00", "00:32:00", "00:33:00"));
  assertEquals(stage.api.list().crons[0]?.last_at, "2026-11-24T00:33:00Z");
  await stage.scheduler.stop();
});

Deno.test("a full queue takes what it can, and the rest when there is room", async () => {
  const engine = openMemoryEngine({ maxQueued: 2 });
  const stage = new CronStage({ engine });
  await stage.create({ id: "n", cron: "* * * * *" });
  await stage.clock.pass(5 * MINUTE);
  assertEquals(stage.submitted, runIds("n", "00:31:00", "00:32:00"));
  await engine.cancel(stage.submitted, stage.clock.now());
  await stage.clock.pass(2 * SECOND);
  assertEquals(stage.submitted.slice(2), runIds("n", "00:33:00", "00:34:00"));
  // A crash in between finds the time that is still owed.
  await engine.cancel(stage.submitted, stage.clock.now());
  const next = await stage.restart(0);
  assertEquals(next.submitted, runIds("n", "00:35:00"));
  await next.scheduler.stop();
});

Deno.test("an error of the engine's own is logged as one, and tried again", async () => {
  const stage = new CronStage();
  await stage.create({ id: "n", cron: "* * * * *" });
  stage.refusal = new TypeError("broken");
  await stage.clock.pass(59 * SECOND + 800);
  assertEquals(stage.log, ["BUG TypeError: broken"], "once, until the next try");
  stage.refusal = undefined;
  await stage.clock.pass(SECOND);
  assertEquals(stage.submitted, runIds("n", "00:31:00"));
  await stage.scheduler.stop();
});

Deno.test("a paused one submits nothing; what passed meanwhile is treated as missed", async () => {
  const stage = new CronStage();
  for (const catch_up of ["skip", "once", "all"]) {
    await stage.create({ id: catch_up, cron: "*/20 * * * *", catch_up });
    assertEquals(await stage.api.pause(catch_up), { cron_id: catch_up, status: "paused" });
    assertEquals(await stage.api.pause(catch_up), { cron_id: catch_up, status: "paused" });
  }
  const next = await stage.restart(50 * MINUTE + 2 * SECOND);
  assertEquals(next.submitted, []);
  assertEquals(next.api.list().crons.map(({ paused, next_at }) => [paused, next_at]), [
    [true, undefined],
    [true, undefined],
    [true, undefined],
  ]);
  for (const id of ["skip", "once", "all"]) {
    assertEquals(await next.api.resume(id), {
      cron_id: id,
      status: "scheduled",
      next_at: "2026-11-24T01:40:00Z",
    });
  }
  await next.clock.pass(0);
  // The time 1:20 is two seconds ago, but passed while it was paused.
  assertEquals(next.submitted.toSorted(), [
    ...runIds("all", "00:40:00", "01:00:00", "01:20:00"),
    ...runIds("once", "01:20:00"),
  ]);
  await next.clock.pass(20 * MINUTE);
  assertEquals(next.submitted.slice(4).toSorted(), [
    ...runIds("all", "01:40:00"),
    ...runIds("once", "01:40:00"),
    ...runIds("skip", "01:40:00"),
  ]);
  await next.scheduler.stop();
});

Deno.test("a clock that jumps ahead is a time without a server; one set back repeats nothing", async () => {
  const stage = new CronStage();
  await stage.create({ id: "n", cron: "*/30 * * * *", catch_up: "once" });
  await stage.clock.jump(2 * HOUR);
  await stage.clock.pass(5 * SECOND);
  assertEquals(stage.submitted, runIds("n", "02:30:00"));
  await stage.clock.jump(-2 * HOUR);
  await stage.clock.pass(2 * HOUR + 20 * MINUTE);
  assertEquals(stage.submitted, runIds("n", "02:30:00"), "those times were submitted or left out");
  await stage.clock.pass(10 * MINUTE);
  assertEquals(stage.submitted.slice(1), runIds("n", "03:00:00"));
  // A clock that was years ahead is not waited for.
  await stage.clock.jump(1000 * DAY);
  await stage.clock.pass(5 * SECOND);
  await stage.clock.jump(-1000 * DAY);
  await stage.clock.pass(HOUR);
  assertEquals(stage.submitted.slice(3), runIds("n", "03:30:00", "04:00:00"));
  await stage.scheduler.stop();
});

Deno.test("a recurring task that was made while the clock was ahead runs once that is set right", async () => {
  for (const aheadMs of [2 * HOUR, 2 * DAY, 40_000 * DAY]) {
    const clock = new HandClock(Date.parse(START) + aheadMs);
    const stage = new CronStage({ clock });
    await stage.create({ id: "n", cron: "* * * * *", catch_up: "skip" });
    await stage.api.pause("n");
    await stage.api.resume("n");
    await clock.pass(5 * SECOND);
    await clock.jump(-aheadMs);
    await clock.pass(MINUTE);
    assertEquals(stage.submitted, runIds("n", "00:31:00"));
    // Also by a server that knows only what was kept.
    const next = await stage.restart(MINUTE);
    assertEquals(next.submitted, runIds("n", "00:32:00"));
    await next.scheduler.stop();
  }
});

Deno.test("a time whose task's id is another task's is left out, and told", async () => {
  const stage = new CronStage();
  const other = new CronStage({ engine: stage.engine, clock: stage.clock, start: false });
  await other.create({ id: "n", cron: "* * * * *" }, { op: "square", n: 1 });
  await stage.clock.pass(MINUTE);
  await other.api.remove("n");
  await stage.clock.jump(1 - MINUTE);
  await other.create({ id: "n", cron: "* * * * *" }, { op: "square", n: 2 });
  await stage.clock.pass(2 * MINUTE);
  assertEquals(stage.submitted, runIds("n", "00:31:00", "00:32:00"));
  assertStringIncludes(stage.log.join("\n"), "another task has the id n:2026-11-24T00:31:00Z");
  await stage.scheduler.stop();
});

Deno.test("what was kept and cannot be read is told once, and stops no other", async () => {
  const engine = openMemoryEngine();
  await engine.settings.save("cron/bad", '{"line":"{}"');
  await engine.settings.save(
    "cron/newer",
    JSON.stringify({ line: '{"task":{"cron":"% % % % %"}}' }),
  );
  const stage = new CronStage({ engine });
  await stage.create({ id: "n", cron: "* * * * *" });
  await stage.clock.pass(3 * MINUTE);
  assertEquals(stage.submitted, runIds("n", "00:31:00", "00:32:00", "00:33:00"));
  const told = stage.log.filter((line) => line.includes("cannot be read"));
  assertEquals(told.map((line) => line.split(" ")[3]), ["bad", "newer"]);
  await stage.scheduler.stop();
});

Deno.test("days of seconds are caught up with by a thousand tasks, oldest first", async () => {
  const stage = new CronStage();
  await stage.create({ id: "n", cron: "* * * * * *", catch_up: "all" });
  const next = await stage.restart(2 * DAY);
  assertEquals(next.submitted.length, MAX_CATCH_UP);
  assertEquals(next.submitted, next.submitted.toSorted());
  assertEquals(next.submitted.at(-1), "n:2026-11-26T00:30:00Z");
  await next.scheduler.stop();
});

Deno.test("it bears a stop before the start, a second stop, and leaves no timer", async () => {
  const stage = new CronStage({ start: false });
  await stage.scheduler.stop();
  await stage.create({ id: "n", cron: "* * * * *" });
  await stage.clock.pass(HOUR);
  assertEquals(stage.submitted, []);
  stage.scheduler.start();
  await stage.clock.pass(0);
  assertEquals(stage.submitted, runIds("n", "01:30:00"));
  await Promise.all([stage.scheduler.stop(), stage.scheduler.stop()]);
  await stage.scheduler.stop();
  stage.scheduler.wake();
  await stage.clock.pass(HOUR);
  assertEquals([stage.submitted.length, stage.clock.timers], [1, 0]);
});
