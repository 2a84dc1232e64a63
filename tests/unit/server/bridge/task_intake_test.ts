/** Messages on their way into an engine: each is settled once, waits while there is no room, and nothing spins. */

import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { TaskIntake } from "../../../../server/bridge/task_intake.ts";
import { systemClock } from "../../../../server/clock.ts";
import { until } from "../../../kit/until.ts";
import { IntakeStage, message } from "./intake_stage.ts";

function intakeOf(stage: IntakeStage, { patienceMs = 0 } = {}) {
  const flow: string[] = [];
  const replies: string[] = [];
  const intake = new TaskIntake({
    server: stage.parts,
    counts: { taken: 0, rejected: 0, replied: 0, dropped: 0 },
    flow: { pause: () => flow.push("pause"), resume: () => flow.push("resume") },
    onWaiting: (reason) => flow.push(reason?.code ?? "room"),
    reply: (route, body) => {
      replies.push(`${route} ${body}`);
      return Promise.resolve();
    },
    patientUntil: systemClock.awake() + patienceMs,
  });
  return { intake, flow, replies };
}

Deno.test("messages that arrive together enter the engine together, and are taken once", async () => {
  const stage = new IntakeStage();
  const { intake, flow } = intakeOf(stage);
  const sent = Array.from({ length: 3000 }, (_, n) => message(`t-${n}`));
  for (const one of sent) intake.push(one);
  await until("all are taken", () => sent.every(({ fate }) => fate === "taken"));
  assertEquals([stage.batches, flow], [[1024, 1024, 952], []]);
  await intake.stop();
});

Deno.test("without room messages wait in their order, tries are few, and all go in in the end", async () => {
  const stage = new IntakeStage({ maxQueued: 10 });
  const { intake, flow } = intakeOf(stage);
  const sent = Array.from({ length: 100 }, (_, n) => message(`t-${n}`));
  for (const one of sent) intake.push(one);
  await until("it pauses", () => flow.length > 0);
  assertEquals(flow, ["pause", "queue_full"]);
  assertEquals(sent.map(({ fate }) => fate).indexOf("open"), 10);
  const before = stage.batches.length;
  await delay(1000);
  assert(stage.batches.length - before <= 6, `${stage.batches.length - before} tries in a second`);
  while (sent.some(({ fate }) => fate === "open")) {
    await stage.finish(10);
    await delay(20);
    // What is in is the beginning.
    const open = sent.map(({ fate }) => fate).indexOf("open");
    if (open >= 0) assert(sent.slice(open).every(({ fate }) => fate === "open"));
  }
  await until("it takes again", () => flow.includes("resume"));
  await intake.stop();
});

Deno.test("a message that makes the engine throw is refused alone, after others have gone in", async () => {
  const stage = new IntakeStage({
    wrap: (engine) => {
      const enqueue = engine.enqueue.bind(engine);
      engine.enqueue = (tasks, now) => {
        if (tasks.some(({ id }) => id === "poison")) throw new Error("a fault of sd");
        return enqueue(tasks, now);
      };
      return engine;
    },
  });
  const { intake } = intakeOf(stage);
  const sent = ["a", "b", "poison", "c", "d"].map((id) => message(id));
  for (const one of sent) intake.push(one);
  await until("all are settled", () => sent.every(({ fate }) => fate !== "open"));
  assertEquals(sent.map(({ fate }) => fate), ["taken", "taken", "internal", "taken", "taken"]);
  await intake.stop();
});

Deno.test("an op without workers is refused, but not while its workers may be on their way", async () => {
  const stage = new IntakeStage();
  const late = intakeOf(stage);
  const refused = message("a", { op: "cube" });
  late.intake.push(refused);
  await until("it is refused", () => refused.fate === "unknown_op");
  const early = intakeOf(stage, { patienceMs: 60_000 });
  const kept = message("b", { op: "cube" });
  const other = message("c");
  early.intake.push(kept);
  early.intake.push(other);
  await until("the other is taken", () => other.fate === "taken");
  assertEquals(kept.fate, "open");
  stage.ops.add("cube");
  await until("it is taken", () => kept.fate === "taken");
  await Promise.all([late.intake.stop(), early.intake.stop()]);
});

Deno.test("an end is published again for another address, and not for what was only delivered again", async () => {
  const stage = new IntakeStage();
  const { intake, replies } = intakeOf(stage);
  const push = async (isRepeated: boolean, route: string) => {
    const one = message("t", { isRepeated, route });
    intake.push(one);
    await until("it is taken", () => one.fate === "taken");
  };
  await push(false, "first");
  await push(true, "first");
  await push(false, "second");
  assertEquals(replies, []);
  await stage.finish(1);
  const end = '{"task_id":"t","status":"completed","result":1}';
  assertEquals(replies, [`second ${end}`]);
  await push(true, "first");
  assertEquals(replies.length, 1);
  await push(true, "third");
  await push(false, "first");
  assertEquals(replies.slice(1), [`third ${end}`, `first ${end}`]);
  await intake.stop();
});

Deno.test("after the connection is lost nothing is settled, and a stop ends every wait", async () => {
  const stage = new IntakeStage({ maxQueued: 1 });
  const { intake, flow } = intakeOf(stage);
  const sent = ["a", "b", "c"].map((id) => message(id));
  for (const one of sent) intake.push(one);
  await until("it pauses", () => flow.length > 0);
  intake.close();
  await stage.finish(1);
  await intake.stop();
  assertEquals(sent.map(({ fate }) => fate), ["taken", "open", "open"]);
});

Deno.test("a message enters while those before it wait for their commit, and each is tried again in its order", async () => {
  const commit = Promise.withResolvers<void>();
  const stage = new IntakeStage({
    maxQueued: 3,
    wrap: (engine) => {
      const enqueue = engine.enqueue.bind(engine);
      engine.enqueue = async (tasks, now) => {
        const enqueued = await enqueue(tasks, now);
        await commit.promise;
        return enqueued;
      };
      return engine;
    },
  });
  const { intake } = intakeOf(stage);
  const sent = ["a", "b", "c", "d", "e"].map((id) => message(id));
  for (const one of sent.slice(0, 2)) intake.push(one);
  await until("the first are in", () => stage.batches.length === 1);
  intake.push(sent[2]!);
  intake.push(sent[3]!);
  await until("the next are in", () => stage.batches.length === 2);
  intake.push(sent[4]!);
  await until("the last is refused for now", () => stage.batches.length === 3);
  assert(sent.every(({ fate }) => fate === "open"));
  commit.resolve();
  await until("what has room is taken", () => sent[2]!.fate === "taken");
  assertEquals(sent.map(({ fate }) => fate), ["taken", "taken", "taken", "open", "open"]);
  await stage.finish(1);
  await until("the next has room", () => sent[3]!.fate === "taken");
  assertEquals(sent[4]!.fate, "open");
  await stage.finish(1);
  await until("all are in", () => sent[4]!.fate === "taken");
  await intake.stop();
});
