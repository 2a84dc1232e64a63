/** The lines that a client sends, and does not send, after a call was aborted. */

import { assertEquals, assertRejects } from "@std/assert";
import { type Client, connect } from "../../../client/mod.ts";
import { type ScriptedConnection, ScriptedServer } from "../../kit/scripted_server.ts";

interface Scene {
  readonly server: ScriptedServer;
  readonly client: Client;
  readonly first: ScriptedConnection;
}

async function withScene(play: (scene: Scene) => Promise<void>): Promise<void> {
  using server = new ScriptedServer();
  await using client = await connect(server.address);
  await play({ server, client, first: await server.accept() });
}

/** A signal, and a function that aborts it with an error of this text. */
function aborter(text: string): { signal: AbortSignal; abort(): void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(new Error(text)) };
}

/** A ping and its reply: every line that was sent before it has arrived. */
async function answeredPing({ client }: Scene, connection: ScriptedConnection): Promise<void> {
  const ping = client.ping();
  const { cmd, ref } = await connection.next();
  assertEquals(cmd, "ping");
  await connection.say({ pong: true, ref });
  await ping;
}

Deno.test("a submit that is aborted while the server is away never leaves", async () => {
  await withScene(async (scene) => {
    const { server, client, first } = scene;
    const lost = client.ping();
    await first.next();
    first.cut();
    const second = await server.accept();
    // Between two connections: the hello of the second one is not answered yet.
    const { signal, abort } = aborter("enough");
    const submit = assertRejects(
      () => client.submit("square", { n: 1 }, { signal }),
      Error,
      "enough",
    );
    abort();
    await submit;
    await second.greet();
    const { cmd, ref } = await second.next();
    assertEquals(cmd, "ping");
    await second.say({ pong: true, ref });
    await lost;
    await answeredPing(scene, second);
  });
});

Deno.test("a submit that is aborted before its acknowledgement is cancelled after it", async () => {
  await withScene(async ({ client, first }) => {
    const { signal, abort } = aborter("enough");
    const submit = assertRejects(
      () => client.submit("square", { n: 1 }, { signal }),
      Error,
      "enough",
    );
    const { ref, task } = await first.next();
    abort();
    await submit;
    const { id } = task as { id: string };
    await first.say({ task_id: id, status: "queued", ref });
    const { cmd, task_id, ref: cancelRef } = await first.next();
    assertEquals([cmd, task_id], ["cancel", id]);
    await first.say({ task_id: id, status: "cancelled", ref: cancelRef });
  });
});

Deno.test("an aborted run rejects at once, and its task is cancelled at the server", async () => {
  await withScene(async ({ client, first }) => {
    const { signal, abort } = aborter("enough");
    const run = assertRejects(() => client.square({ n: 1 }, { signal }), Error, "enough");
    const { ref, task } = await first.next();
    await first.say({ task_id: (task as { id: string }).id, status: "queued", ref });
    // The acknowledgement has arrived when a later reply has.
    const ping = client.ping();
    await first.say({ pong: true, ref: (await first.next()).ref });
    await ping;
    abort();
    await run;
    assertEquals((await first.next()).cmd, "cancel");
  });
});

Deno.test("a wait that is aborted is not sent again on a new connection", async () => {
  await withScene(async (scene) => {
    const { server, client, first } = scene;
    const { signal, abort } = aborter("late");
    const wait = assertRejects(() => client.wait("a", { signal }), Error, "late");
    await first.next();
    abort();
    await wait;
    const ping = client.ping();
    await first.next();
    first.cut();
    const second = await server.accept();
    await second.greet();
    const { cmd, ref } = await second.next();
    assertEquals(cmd, "ping");
    await second.say({ pong: true, ref });
    await ping;
  });
});

Deno.test("a watch goes on after a lost connection, with an event for what it missed", async () => {
  await withScene(async ({ server, client, first }) => {
    const events = client.watch({ op: "square" });
    const { ref, ...asked } = await first.next();
    assertEquals(asked, { cmd: "watch", op: "square" });
    const queued = { event: "queued", at: "2030-01-31T08:00:00.000Z", task_id: "a", op: "square" };
    await first.say({ watch: "on", ref }, { ...queued, ref });
    assertEquals((await events.next()).value as object, queued);
    first.cut();
    const second = await server.accept();
    await second.greet();
    const { ref: again, ...askedAgain } = await second.next();
    assertEquals([askedAgain, again], [asked, ref]);
    await second.say({ watch: "on", ref }, { ...queued, ref });
    const dropped = (await events.next()).value;
    assertEquals([dropped?.event, dropped?.count], ["dropped", undefined]);
    assertEquals((await events.next()).value as object, queued);
    const leaving = events.return();
    const unwatch = await second.next();
    assertEquals(unwatch.cmd, "unwatch");
    await second.say({ watch: "off", ref: unwatch.ref });
    await leaving;
  });
});

Deno.test("a slow reader gets the number of missed events, at their place", async () => {
  await withScene(async ({ client, first }) => {
    const events = client.watch();
    const { ref } = await first.next();
    const event = (id: number) => ({ event: "queued", at: "t", task_id: String(id), ref });
    await first.say({ watch: "on", ref }, ...Array.from({ length: 10_005 }, (_, id) => event(id)));
    // All of them have arrived when a later reply has.
    const ping = client.ping();
    await first.say({ pong: true, ref: (await first.next()).ref });
    await ping;
    for (let id = 0; id < 10_000; id++) assertEquals((await events.next()).value?.task_id, `${id}`);
    await first.say(event(10_005));
    const dropped = (await events.next()).value;
    assertEquals([dropped?.event, dropped?.count], ["dropped", 5]);
    assertEquals((await events.next()).value?.task_id, "10005");
  });
});

Deno.test("submitMany goes on after a lost connection and submits nothing twice", async () => {
  await withScene(async ({ server, client, first }) => {
    const tasks = ["a", "b"].map((id) => ({ op: "x", options: { id } }));
    const ends: string[] = [];
    const run = (async () => {
      for await (const end of client.submitMany(tasks)) ends.push(`${end.index} ${end.status}`);
    })();
    const [a, b] = await first.take(2);
    await first.say({ task_id: "a", status: "queued", ref: a?.ref });
    first.cut();
    const second = await server.accept();
    await second.greet();
    // For the acknowledged task the client asks for the end; the other line is the same again.
    const [waitA, againB] = await second.take(2);
    assertEquals([waitA?.cmd, waitA?.task_id], ["wait", "a"]);
    assertEquals(againB, b);
    await second.say(
      { task_id: "a", status: "completed", result: 1, ref: a?.ref },
      { task_id: "b", status: "queued", ref: b?.ref },
      { task_id: "b", status: "completed", result: 2, ref: b?.ref },
    );
    await run;
    assertEquals(ends, ["0 completed", "1 completed"]);
  });
});
