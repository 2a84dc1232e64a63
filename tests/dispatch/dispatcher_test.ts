/** The dispatcher: no task goes to two runners or beyond their room, and beside an idle runner every due task starts. */

import { assert, assertEquals } from "@std/assert";
import { DispatchStage } from "./dispatch_stage.ts";

const many = (count: number, options: Record<string, unknown> = {}) =>
  Array.from({ length: count }, () => options);

Deno.test("a runner is never given more tasks than it has room for, and each task goes to one runner", async () => {
  await using stage = new DispatchStage();
  const runners = [stage.runner({ capacity: 3 }), stage.runner({ capacity: 5 })];
  const ids = await stage.submit(...many(400));
  for (let round = 0; round < ids.length / 8; round++) {
    assertEquals(runners.map(({ held }) => held), [3, 5], `in round ${round}`);
    for (const runner of runners) runner.complete();
    await stage.settled();
  }
  const given = runners.flatMap((runner) => runner.given);
  assertEquals(given.length, ids.length, "each task was given once");
  assertEquals(given.toSorted(), ids.toSorted());
  assertEquals(stage.faults, []);
});

Deno.test("a runner with much room is filled at once", async () => {
  await using stage = new DispatchStage();
  const runner = stage.runner({ capacity: 1000 });
  await stage.submit(...many(1000));
  assertEquals(runner.held, 1000);
});

Deno.test("idle runners take turns", async () => {
  await using stage = new DispatchStage();
  const runners = [stage.runner({ capacity: 5 }), stage.runner({ capacity: 5 })];
  for (let task = 0; task < 30; task++) {
    await stage.submit({});
    for (const runner of runners) runner.complete();
    await stage.settled();
  }
  assert(runners.every(({ given }) => given.length >= 10), `${runners.map((r) => r.given.length)}`);
});

Deno.test("a runner is given tasks of its ops only, and a task waits for a runner with its op", async () => {
  await using stage = new DispatchStage();
  const squares = stage.runner({ ops: ["square"], capacity: 10 });
  const [square, resize] = await stage.submit({ op: "square" }, { op: "resize" });
  assertEquals(squares.given, [square]);
  const resizes = stage.runner({ ops: ["resize"], capacity: 10 });
  await stage.settled();
  assertEquals(resizes.given, [resize]);
});

Deno.test("a delayed task starts at its time, and at once if the wall clock jumps past it", async () => {
  await using stage = new DispatchStage();
  const runner = stage.runner({ capacity: 10 });
  const [first, second] = await stage.submit({ delay: 2500 }, { delay: 3_600_000 });
  await stage.clock.pass(2499);
  assertEquals(runner.given, []);
  await stage.clock.pass(1);
  assertEquals(runner.given, [first]);
  await stage.clock.jump(3_600_000);
  // A jump is noticed within a second.
  await stage.clock.pass(1000);
  assertEquals(runner.given, [first, second]);
});

Deno.test("tasks of a paused op stay queued, and start when the op is resumed", async () => {
  await using stage = new DispatchStage();
  const runner = stage.runner({ ops: ["square", "echo"], capacity: 10 });
  await stage.pauses.pause("square");
  const [square, echo] = await stage.submit({ op: "square" }, { op: "echo" });
  await stage.clock.pass(5000);
  assertEquals(runner.given, [echo]);
  await stage.pauses.resume("square");
  await stage.settled();
  assertEquals(runner.given, [echo, square]);
});

Deno.test("tasks that were leased for a runner that has left go to another, without an attempt", async () => {
  // The runner leaves in every turn in which the lease can be under way.
  for (let turns = 0; turns < 20; turns++) {
    await using stage = new DispatchStage();
    const leaving = stage.runner({ capacity: 5 });
    const submitting = stage.submit(...many(5));
    for (let turn = 0; turn < turns; turn++) await stage.turn();
    leaving.leave();
    const staying = stage.runner({ capacity: 5 });
    const ids = await submitting;
    await stage.settled();
    assertEquals(staying.given.toSorted(), ids.toSorted(), `it left in turn ${turns}`);
    assertEquals(staying.tasks.map(({ attempt }) => attempt), [1, 1, 1, 1, 1]);
  }
});

Deno.test("a task that its runner releases starts on another, in front of later tasks", async () => {
  await using stage = new DispatchStage();
  const first = stage.runner();
  const [released] = await stage.submit({}, {}, {});
  assertEquals(first.given, [released]);
  first.leave();
  await stage.settled();
  assertEquals(stage.runner().tasks, []);
  await stage.settled();
  assertEquals(stage.runners.at(-1)!.given, [released]);
});

Deno.test("a limit of an op holds over all runners, and each end lets the next task start", async () => {
  await using stage = new DispatchStage();
  stage.limits = new Map([["square", 3]]);
  const runners = [stage.runner({ capacity: 4 }), stage.runner({ capacity: 4 })];
  const ids = await stage.submit(...many(30));
  for (let round = 0; round < 10; round++) {
    const held = runners.reduce((sum, runner) => sum + runner.held, 0);
    assertEquals(held, 3, `in round ${round}`);
    for (const runner of runners) runner.complete();
    await stage.settled();
  }
  assertEquals(stage.ends.length, ids.length);
});

Deno.test("a rate of an op spreads the starts, and none is lost", async () => {
  await using stage = new DispatchStage();
  stage.rates.set("square", { starts: 2, windowMs: 1000 });
  const runner = stage.runner({ capacity: 100 });
  await stage.submit(...many(10));
  const started: number[] = [];
  for (let second = 0; second < 5; second++) {
    started.push(runner.given.length);
    await stage.clock.pass(1000);
  }
  assertEquals(started, [2, 4, 6, 8, 10]);
});

Deno.test("after a failed lease the dispatcher tries again within a second", async () => {
  await using stage = new DispatchStage();
  stage.engine.setFaults({ share: 1, methods: ["lease"] });
  const runner = stage.runner();
  const ids = await stage.submit({});
  assert(stage.faults.length > 0, "the failure is logged");
  stage.engine.setFaults();
  await stage.clock.pass(1000);
  assertEquals(runner.given, ids);
});

Deno.test("a stopped dispatcher leases nothing, and goes on after the next start", async () => {
  await using stage = new DispatchStage();
  await stage.dispatcher.stop();
  await stage.dispatcher.stop();
  const runner = stage.runner();
  const ids = await stage.submit({});
  await stage.clock.pass(5000);
  assertEquals(runner.given, []);
  stage.dispatcher.start();
  await stage.settled();
  assertEquals(runner.given, ids);
});

Deno.test("a cancel reaches the runner that holds the task, and no other", async () => {
  await using stage = new DispatchStage();
  const runners = [stage.runner(), stage.runner()];
  const [first, second] = await stage.submit({}, {});
  const holder = runners.find(({ given }) => given.includes(first!))!;
  const other = runners.find(({ given }) => given.includes(second!))!;
  await stage.cancel(first!);
  assertEquals(holder.stopped, [{ lease: holder.tasks[0]!.lease, reason: "cancel" }]);
  assertEquals(other.stopped, []);
  holder.break(holder.tasks[0]!, "stopped");
  other.complete();
  await stage.settled();
  assertEquals([stage.statusesOf(first!), stage.statusesOf(second!)], [["cancelled"], [
    "completed",
  ]]);
});
