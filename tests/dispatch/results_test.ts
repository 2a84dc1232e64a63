/** Results, lost leases and expiry: each waiter gets one end, and a run whose process fell silent starts again. */

import { assert, assertEquals } from "@std/assert";
import { MAX_DEATHS } from "../../protocol/limits.ts";
import { DispatchStage, LEASE_MS } from "./dispatch_stage.ts";
import type { FakeRunner } from "./fake_runner.ts";

/** Lets `ms` pass while these runners keep their leases. */
async function passAlive(stage: DispatchStage, ms: number, ...runners: FakeRunner[]) {
  for (let left = ms; left > 0; left -= 1000) {
    for (const runner of runners) await runner.renew();
    await stage.clock.pass(Math.min(left, 1000));
  }
}

Deno.test("each waiter gets the result of its task, once", async () => {
  await using stage = new DispatchStage();
  const runner = stage.runner({ capacity: 20 });
  const ids = await stage.submit(...Array.from({ length: 20 }, () => ({})));
  runner.complete();
  await stage.settled();
  assertEquals(
    stage.ends.map(({ id, result }) => [id, result]).toSorted(),
    ids.map((id) => [id, `"${id}"`]).toSorted(),
  );
});

Deno.test("a task with attempts left starts again after its backoff, and reports its last failure only", async () => {
  await using stage = new DispatchStage();
  const runner = stage.runner();
  const [id] = await stage.submit({ attempts: 2, backoff: 2000 });
  runner.break(runner.tasks[0]!, "failed");
  await stage.clock.pass(1999);
  assertEquals([runner.held, stage.ends], [0, []]);
  await stage.clock.pass(1);
  assertEquals(runner.tasks.map(({ attempt }) => attempt), [2]);
  runner.break(runner.tasks[0]!, "failed");
  await stage.settled();
  assertEquals(stage.statusesOf(id!), ["failed"]);
});

Deno.test("a runner that keeps its leases keeps its tasks, however long they run", async () => {
  await using stage = new DispatchStage();
  const runner = stage.runner();
  const [id] = await stage.submit({});
  await passAlive(stage, 5 * LEASE_MS, runner);
  assertEquals([runner.given, runner.stopped, runner.isGone], [[id], [], false]);
  assertEquals(stage.log, []);
});

Deno.test("the tasks of a silent runner start on another, and its late results change nothing", async () => {
  await using stage = new DispatchStage();
  const silent = stage.runner({ capacity: 2 });
  const ids = await stage.submit({}, {});
  const late = silent.tasks;
  const alive = stage.runner({ capacity: 2 });
  await passAlive(stage, LEASE_MS - 1000, alive);
  assertEquals(alive.given, [], "their leases have not run out");
  await passAlive(stage, 3000, alive);
  assertEquals([silent.isGone, alive.given.toSorted()], [true, ids.toSorted()]);
  stage.results.ack(late.map(({ lease }) => ({ lease, result: '"late"' })));
  await stage.settled();
  assertEquals(stage.ends, []);
  alive.complete();
  await stage.settled();
  assertEquals(
    stage.ends.map(({ result }) => result).toSorted(),
    ids.map((id) => `"${id}"`).toSorted(),
  );
});

Deno.test("a lease that ran out counts neither an attempt nor a death, however often", async () => {
  await using stage = new DispatchStage();
  const [id] = await stage.submit({ attempts: 1 });
  for (let time = 0; time <= MAX_DEATHS; time++) {
    const silent = stage.runner();
    await stage.settled();
    assertEquals(silent.tasks.map((task) => [task.id, task.attempt]), [[id, 1]]);
    await stage.clock.pass(LEASE_MS + 2000);
    assert(silent.isGone);
  }
  assertEquals(stage.ends, []);
});

Deno.test("leases do not run out while the process of the server is stopped", async () => {
  await using stage = new DispatchStage();
  const runner = stage.runner();
  const [id] = await stage.submit({});
  await stage.clock.stop(10 * LEASE_MS);
  await passAlive(stage, LEASE_MS / 2, runner);
  assertEquals([runner.given, runner.isGone], [[id], false]);
});

Deno.test("a lost lease is reported to the runner that still renews it", async () => {
  await using stage = new DispatchStage();
  const runner = stage.runner();
  await stage.submit({});
  const { lease } = runner.tasks[0]!;
  await stage.engine.nack([{ lease, reason: "lost" }], stage.clock.now());
  await runner.renew();
  await stage.settled();
  assertEquals(runner.stopped[0], { lease, reason: "lost" });
});

Deno.test("a task whose result the engine did not keep runs again, however often, and ends once", async () => {
  await using stage = new DispatchStage();
  const runner = stage.runner();
  const [id] = await stage.submit({ attempts: 1 });
  for (let time = 1; time <= MAX_DEATHS + 1; time++) {
    stage.engine.setFaults({ share: 1, methods: ["ack"] });
    runner.complete();
    await stage.settled();
    stage.engine.setFaults();
    await passAlive(stage, LEASE_MS + 2000, runner);
    assertEquals(runner.tasks.map((task) => [task.id, task.attempt]), [[id, 1]], `time ${time}`);
  }
  assertEquals(stage.ends, []);
  runner.complete();
  await stage.settled();
  assertEquals(stage.statusesOf(id!), ["completed"]);
});

Deno.test("a failed look for leases that ran out is repeated", async () => {
  await using stage = new DispatchStage();
  stage.runner();
  const [id] = await stage.submit({});
  stage.engine.setFaults({ share: 1, methods: ["overdue"] });
  await stage.clock.pass(LEASE_MS + 5000);
  stage.engine.setFaults();
  const next = stage.runner();
  await stage.clock.pass(2000);
  assertEquals(next.given, [id]);
});

Deno.test("results beyond what the engine is busy with wait for room, and room comes back", async () => {
  await using stage = new DispatchStage();
  const runner = stage.runner({ capacity: 40 });
  await stage.submit(...Array.from({ length: 40 }, () => ({})));
  assertEquals(stage.results.room, undefined);
  const result = JSON.stringify("x".repeat(1024 * 1024));
  stage.results.ack(runner.tasks.map(({ lease }) => ({ lease, result })));
  const { room } = stage.results;
  assert(room, "40 MiB are under way, the limit is 32");
  await Promise.all([room, stage.settled()]);
  assertEquals([stage.results.room, stage.ends.length], [undefined, 40]);
});

Deno.test("a task that did not start in time is expired, beside an idle runner without its op too", async () => {
  await using stage = new DispatchStage();
  stage.runner({ ops: ["echo"] });
  const [id] = await stage.submit({ expires: 3000 });
  await stage.clock.pass(2999);
  assertEquals(stage.ends, []);
  await stage.clock.pass(501);
  assertEquals(stage.statusesOf(id!), ["expired"]);
});

Deno.test("a failed prune is repeated, so that a task still expires", async () => {
  await using stage = new DispatchStage();
  const [id] = await stage.submit({ expires: 3000 });
  stage.engine.setFaults({ share: 1, methods: ["prune"] });
  await stage.clock.pass(5000);
  assertEquals(stage.ends, []);
  stage.engine.setFaults();
  await stage.clock.pass(1500);
  assertEquals(stage.statusesOf(id!), ["expired"]);
});

Deno.test("a record is removed after its time", async () => {
  await using stage = new DispatchStage();
  const runner = stage.runner();
  const [id] = await stage.submit({ keep: 5000 });
  runner.complete();
  await stage.clock.pass(4000);
  const recordOf = async () => {
    const asking = stage.engine.get([id!]);
    await stage.settled();
    return (await asking)[0];
  };
  assertEquals((await recordOf())?.status, "completed");
  await stage.clock.pass(2000);
  assertEquals(await recordOf(), undefined);
});

Deno.test("the watchdog raises no alarm beside tasks that wait for a good reason", async () => {
  await using stage = new DispatchStage();
  stage.limits = new Map([["square", 1]]);
  const runner = stage.runner({ capacity: 5 });
  await stage.submit({}, {}, { delay: 3_600_000 }, { op: "resize" });
  await passAlive(stage, 120_000, runner);
  assertEquals([stage.faults, stage.metrics.standstills, runner.held], [[], 0, 1]);
});

Deno.test("a suspect runs alone, is the only one to fail, and its runner takes other tasks again", async () => {
  await using stage = new DispatchStage();
  const [killer] = await stage.submit({ priority: 1 });
  for (let death = 1; death < MAX_DEATHS; death++) {
    const victim = stage.runner();
    await stage.settled();
    assertEquals(victim.given, [killer]);
    victim.die();
    await stage.settled();
  }
  const others = await stage.submit({}, {}, {}, {});
  const runner = stage.runner({ capacity: 3 });
  for (let round = 0; round < 10 && !runner.given.includes(killer!); round++) {
    runner.complete();
    await stage.settled();
  }
  assertEquals(runner.tasks.map(({ id }) => id), [killer], "it holds nothing else");
  runner.die();
  await stage.settled();
  assertEquals(stage.statusesOf(killer!), ["failed"]);
  const next = stage.runner({ capacity: 4 });
  for (let round = 0; round < 3; round++) {
    await stage.settled();
    next.complete();
  }
  await stage.settled();
  assertEquals(others.map((id) => stage.statusesOf(id)), others.map(() => ["completed"]));
});

Deno.test("a runner that does not empty for a suspect takes other tasks again, and the suspect later", async () => {
  await using stage = new DispatchStage();
  const [killer] = await stage.submit({});
  for (let death = 1; death < MAX_DEATHS; death++) {
    const victim = stage.runner();
    await stage.settled();
    victim.die();
    await stage.settled();
  }
  await stage.pauses.pause("square");
  const runner = stage.runner({ ops: ["square", "echo"], capacity: 2 });
  const [long] = await stage.submit({ op: "echo" });
  await stage.pauses.resume("square");
  const [other] = await stage.submit({ op: "echo" });
  assertEquals(runner.given, [long], "it is kept free for the suspect");
  await passAlive(stage, 15_000, runner);
  assertEquals(runner.given, [long, other], "its window is over");
  for (let second = 0; second < 60 && !runner.given.includes(killer!); second++) {
    runner.complete();
    await passAlive(stage, 1000, runner);
  }
  assertEquals(runner.tasks.map(({ id }) => id), [killer]);
});
