/** The sender of many tasks, against a server that the test plays line by line. */

import { assertEquals } from "@std/assert";
import { connect } from "../../../client/mod.ts";
import { rawOf } from "../../../client/server_client.ts";
import { type SendOutcome, TaskSender } from "../../../client/task_sender.ts";
import { type ScriptedConnection, ScriptedServer } from "../../kit/scripted_server.ts";

interface Scene {
  readonly sender: TaskSender<string>;
  readonly server: ScriptedConnection;
  /** The tasks that have ended, with their outcomes. */
  readonly ended: [item: string, status: SendOutcome["status"]][];
  /** Resolves at the next end. */
  nextEnd(): Promise<void>;
  /** Messages of `onFull`. */
  readonly full: string[];
  /** Resolves at the first call of `onFull`. */
  readonly isFull: Promise<void>;
}

async function withSender(maxInFlight: number, play: (scene: Scene) => Promise<void>) {
  using scripted = new ScriptedServer();
  await using client = await connect(scripted.address);
  const ended: Scene["ended"] = [];
  const full: string[] = [];
  const heardFull = Promise.withResolvers<void>();
  let heard = Promise.withResolvers<void>();
  const sender = new TaskSender<string>({
    raw: rawOf(client),
    maxInFlight,
    ended: (item, { status }) => {
      ended.push([item, status]);
      sender.release();
      heard.resolve();
      heard = Promise.withResolvers();
    },
    onFull: ({ message }) => {
      full.push(message);
      heardFull.resolve();
    },
  });
  const server = await scripted.accept();
  const isFull = heardFull.promise;
  await play({ sender, server, ended, full, isFull, nextEnd: () => heard.promise });
}

function send({ sender }: Scene, id: string): void {
  sender.take();
  sender.send(id, { json: `{"op":"x","task":{"id":"${id}"}}`, id, wait: true });
}

const queueFull = (ref: unknown, retry_after_ms: number) => ({
  error: { code: "queue_full", message: "no room", retry_after_ms },
  ref,
});

Deno.test("a task that a full server refuses is sent again, and the refusal is reported once", async () => {
  await withSender(10, async (scene) => {
    const { sender, server, ended, full } = scene;
    send(scene, "a");
    send(scene, "b");
    const [a, b] = await server.take(2);
    await server.say(queueFull(a?.ref, 1), queueFull(b?.ref, 1));
    const [a2, b2] = await server.take(2);
    assertEquals([a2?.task, b2?.task], [{ id: "a" }, { id: "b" }]);
    const end = scene.nextEnd();
    await server.say({ task_id: "a", status: "completed", result: 1, ref: a2?.ref });
    await end;
    await server.say({ error: { code: "unknown_op", message: "no such op" }, ref: b2?.ref });
    await sender.idle();
    assertEquals(ended, [["a", "completed"], ["b", "refused"]]);
    assertEquals(full, ["no room"]);
  });
});

Deno.test("no more than maxInFlight slots are taken, and a slot is free once it is given back", async () => {
  await withSender(1, async (scene) => {
    const { sender, server } = scene;
    assertEquals(sender.full, undefined);
    send(scene, "a");
    const free = sender.full;
    assertEquals(free instanceof Promise, true);
    const { ref } = await server.next();
    await server.say({ task_id: "a", status: "completed", result: 1, ref });
    await free;
    assertEquals(sender.full, undefined);
  });
});

Deno.test("after stop, a task that waits for a full server ends unsent, and callers do not wait for a slot", async () => {
  await withSender(1, async (scene) => {
    const { sender, server, ended } = scene;
    send(scene, "a");
    const free = sender.full;
    const { ref } = await server.next();
    await server.say(queueFull(ref, 60_000));
    await scene.isFull;
    sender.stop();
    await free;
    await sender.idle();
    assertEquals(ended, [["a", "unsent"]]);
    assertEquals([sender.full, sender.isStopped], [undefined, true]);
  });
});
