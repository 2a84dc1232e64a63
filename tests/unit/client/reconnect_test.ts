/** A client whose connection is lost, against a server that the test plays line by line. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import { ClientError } from "../../../net/client_error.ts";
import { type Client, connect, type ConnectOptions } from "../../../client/client.ts";
import { Question } from "../../../client/connection/question.ts";
import { reconnectPauseMs } from "../../../net/reconnect_pause.ts";
import { TaskFailedError } from "../../../client/task/task_end.ts";
import { SdError } from "../../../protocol/errors.ts";
import { type ScriptedConnection, ScriptedServer } from "../../kit/scripted_server.ts";
import { rawOf } from "../../../client/server_client.ts";

interface Scene {
  readonly server: ScriptedServer;
  readonly client: Client;
  /** The client's first connection. */
  readonly first: ScriptedConnection;
}

async function withScene(
  play: (scene: Scene) => Promise<void>,
  options: ConnectOptions = {},
): Promise<void> {
  using server = new ScriptedServer();
  await using client = await connect(server.address, options);
  await play({ server, client, first: await server.accept() });
}

const completed = (id: unknown, ref: number) => ({
  task_id: id,
  status: "completed",
  result: 49,
  ref,
});

Deno.test("a line that was not acknowledged is sent again, byte for byte", async () => {
  await withScene(async ({ server, client, first }) => {
    const submitting = client.submit("square", { n: 7 }, { priority: 3 });
    const line = await first.line();
    first.cut();
    const second = await server.accept();
    const { ref: _ref, ...hello } = await second.greet();
    assertEquals(hello, { cmd: "hello" });
    assertEquals(await second.line(), line);
    const { ref, task } = JSON.parse(line ?? "");
    await second.say({ task_id: task.id, status: "queued", ref }, completed(task.id, ref));
    const submitted = await submitting;
    assertEquals([submitted.id, await submitted.result], [task.id, 49]);
  });
});

Deno.test("half an acknowledgement does not count", async () => {
  await withScene(async ({ server, client, first }) => {
    const submitting = client.submit("square", { n: 7 }, { id: "a" });
    const line = await first.line();
    const { ref } = JSON.parse(line ?? "");
    await first.write(JSON.stringify({ task_id: "a", status: "queued", ref }));
    first.cut();
    const second = await server.accept();
    await second.greet();
    assertEquals(await second.line(), line);
    await second.say({ task_id: "a", status: "completed", ref }, completed("a", ref));
    assertEquals(await (await submitting).result, 49);
  });
});

Deno.test("for an acknowledged task the client asks for the end", async () => {
  await withScene(async ({ server, client, first }) => {
    const submitting = ["a", "b", "c"].map((id) => client.submit("x", {}, { id }));
    for (const { ref, task } of await first.take(3)) {
      await first.say({ task_id: (task as { id: string }).id, status: "queued", ref });
    }
    const [a, b, c] = await Promise.all(submitting);
    assert(a && b && c);
    await first.write('{"task_id":"a","status":"completed","result":4');
    first.cut();
    const second = await server.accept();
    await second.greet();
    const asked = await second.take(3);
    assertEquals(asked.map(({ cmd, task_id }) => [cmd, task_id]), [
      ["wait", "a"],
      ["wait", "b"],
      ["wait", "c"],
    ]);
    const [refA = 0, refB = 0, refC = 0] = asked.map(({ ref }) => ref);
    const error = { code: "task_error", message: "boom" };
    await second.say(
      { task_id: "b", op: "x", status: "failed", attempt: 2, error, ref: refB },
      { error: { code: "not_found", message: "there is no task" }, ref: refC },
      { ...completed("a", refA), op: "x" },
    );
    assertEquals(await a.result, 49);
    assertEquals((await assertRejects(() => b.result, TaskFailedError, "boom")).attempt, 2);
    const lost = await assertRejects(() => c.result, SdError, "took task c and no longer knows it");
    assertEquals(lost.code, "not_found");
  });
});

Deno.test("with wait: false a line is sent again until it is acknowledged, and not after that", async () => {
  await withScene(async ({ server, client, first }) => {
    const submitting = ["a", "b"].map((id) => client.submit("x", {}, { id, wait: false }));
    const [a] = await first.take(2);
    await first.say({ task_id: "a", status: "queued", ref: a?.ref });
    assertEquals((await submitting[0])?.id, "a");
    first.cut();
    const second = await server.accept();
    await second.greet();
    const again = await second.next();
    assertEquals(again.task, { id: "b", wait: false });
    await second.say({ task_id: "b", status: "queued", ref: again.ref });
    assertEquals((await submitting[1])?.id, "b");
    const ping = client.ping();
    const { cmd, ref } = await second.next();
    assertEquals(cmd, "ping");
    await second.say({ pong: true, ref });
    await ping;
  });
});

Deno.test("the order is kept through two losses, also with new messages", async () => {
  await withScene(async ({ server, client, first }) => {
    const pending: Promise<unknown>[] = [client.submit("x", {}, { id: "a" })];
    const { ref } = await first.next();
    await first.say({ task_id: "a", status: "queued", ref });
    pending.push(client.submit("x", {}, { id: "b" }), client.get("c"));
    await first.take(2);
    server.leave();
    pending.push(client.submit("x", {}, { id: "d" }), client.cancel("e"));
    server.comeBack();
    const second = await server.accept();
    await second.greet();
    await second.next();
    second.cut();
    pending.push(client.submit("x", {}, { id: "f" }));
    const third = await server.accept();
    await third.greet();
    const messages = await third.take(6);
    const what = messages.map(({ cmd, task_id, task }) => [
      cmd ?? "submit",
      task_id ?? (task as { id: string }).id,
    ]);
    assertEquals(what, [
      ["wait", "a"],
      ["submit", "b"],
      ["get", "c"],
      ["submit", "d"],
      ["cancel", "e"],
      ["submit", "f"],
    ]);
    await third.say(
      ...messages.map(({ task_id, task, ref }) =>
        completed(task_id ?? (task as { id: string }).id, ref)
      ),
    );
    await Promise.all(pending);
  });
});

Deno.test("every connection begins with the token, and waits for its reply", async () => {
  using server = new ScriptedServer();
  const connecting = connect({ ...server.address, token: "secret" });
  const first = await server.accept();
  assertEquals((await first.greet()).token, "secret");
  await using client = await connecting;
  const submitting = client.submit("x", {}, { id: "a" });
  await first.next();
  first.cut();
  const second = await server.accept();
  const hello = await second.next();
  assertEquals([hello.cmd, hello.token], ["hello", "secret"]);
  const next = second.line();
  assertEquals(await Promise.race([next, delay(50)]), undefined);
  await second.say({ hello: "sd", version: "0", protocol: 1, ref: hello.ref });
  const { ref } = JSON.parse(await next ?? "");
  await second.say({ task_id: "a", status: "queued", ref }, completed("a", ref));
  assertEquals(await (await submitting).result, 49);
});

Deno.test("a token that a server no longer has is not sent twice", async () => {
  const lost: string[] = [];
  await withScene(async ({ server, client, first }) => {
    const pending = [client.submit("x"), client.wait("a")];
    const refused = pending.map((promise) => assertRejects(() => promise, SdError));
    await first.take(2);
    first.cut();
    const second = await server.accept();
    const { ref } = await second.next();
    await second.say({ error: { code: "unauthorized", message: "no such token" }, ref });
    for (const error of await Promise.all(refused)) assertEquals(error.code, "unauthorized");
    assertEquals((await assertRejects(() => client.ping(), SdError)).code, "unauthorized");
    assertEquals(lost.length, 1);
  }, { onLost: ({ message }) => void lost.push(message) });
});

Deno.test("after reconnectMs calls reject, and the next call tries again", async () => {
  const told: string[] = [];
  await withScene(async ({ server, client, first }) => {
    const acknowledging = client.submit("x", {}, { id: "a" });
    const { ref } = await first.next();
    await first.say({ task_id: "a", status: "queued", ref });
    const { result } = await acknowledging;
    const submitting = client.submit("x", {}, { id: "b" });
    await first.next();
    server.leave();
    const gone = await assertRejects(() => result, ClientError, "lost and not back for 300ms");
    assertEquals(gone.code, "unreachable");
    const unsure = await assertRejects(() => submitting, ClientError, "not back");
    assert(unsure.hint?.includes("with the id b, submitting it again is safe"), unsure.hint);
    assert(rawOf(client).lostBy, "it is away");
    server.comeBack();
    const ping = client.ping();
    const second = await server.accept();
    await second.greet();
    const asked = await second.next();
    assertEquals(asked.cmd, "ping", "a message that was rejected is not sent again");
    await second.say({ pong: true, ref: asked.ref });
    await ping;
    assertEquals(rawOf(client).lostBy, undefined);
  }, {
    reconnectMs: 300,
    onLost: () => void told.push("lost"),
    onBack: () => void told.push("back"),
  });
  assertEquals(told, ["lost", "back"]);
});

Deno.test("a message refused by a stopping server is sent to the next one", async () => {
  await withScene(async ({ server, client, first }) => {
    const submitting = client.submit("x", {}, { id: "a" });
    const line = await first.line();
    const { ref } = JSON.parse(line ?? "");
    await first.say({ error: { code: "shutting_down", message: "the server is stopping" }, ref });
    first.cut();
    const second = await server.accept();
    await second.greet();
    assertEquals(await second.line(), line);
    await second.say({ task_id: "a", status: "queued", ref }, completed("a", ref));
    assertEquals(await (await submitting).result, 49);
  });
});

Deno.test("a retry that is sent twice and had its effect the first time succeeds", async () => {
  await withScene(async ({ server, client, first }) => {
    const conflict = { code: "conflict", message: 'task "a" cannot be retried: it is running' };
    const refusing = assertRejects(() => client.retry("a"), SdError, "cannot be retried");
    const { ref } = await first.next();
    await first.say({ error: conflict, ref });
    await refusing;
    const retrying = client.retry("a");
    await first.next();
    first.cut();
    const second = await server.accept();
    await second.greet();
    const again = await second.next();
    assertEquals([again.cmd, again.task_id], ["retry", "a"]);
    await second.say({ error: conflict, ref: again.ref });
    const look = await second.next();
    assertEquals(look.cmd, "get");
    await second.say({ task_id: "a", op: "x", status: "running", ref: look.ref });
    assertEquals(await retrying, { task_id: "a", status: "running" });
  });
});

Deno.test("a line without an id is not sent again: it could be a second task", async () => {
  await withScene(async ({ server, client, first }) => {
    const submitting = rawOf(client).submit({ json: '{"op":"x"}', id: undefined, wait: true });
    const unsure = assertRejects(() => submitting, ClientError, "lost");
    await first.next();
    const ping = client.ping();
    await first.next();
    first.cut();
    const second = await server.accept();
    await second.greet();
    const { cmd, ref } = await second.next();
    assertEquals(cmd, "ping");
    await second.say({ pong: true, ref });
    await ping;
    assertEquals((await unsure).hint, "the task may have been taken or not");
  });
});

Deno.test("close while the server is away rejects every call and ends the tries", async () => {
  await withScene(async ({ server, client, first }) => {
    const pending = [client.ping(), client.submit("x")];
    const closed = pending.map((promise) => assertRejects(() => promise, ClientError, "closed"));
    await first.take(2);
    server.leave();
    while (!rawOf(client).lostBy) await delay(1);
    await client.close();
    await Promise.all(closed);
    await assertRejects(() => client.ping(), ClientError, "closed");
  });
});

Deno.test("more than the output buffer holds is sent again, once and in order", async () => {
  await withScene(async ({ server, client, first }) => {
    const data = "x".repeat(200_000);
    const ids = Array.from({ length: 100 }, (_, i) => `t-${i}`);
    const before = ids.slice(0, 50).map((id) => client.submit("x", { data }, { id }));
    await first.next();
    server.leave();
    while (!rawOf(client).lostBy) await delay(1);
    const after = ids.slice(50).map((id) => client.submit("x", { data }, { id }));
    server.comeBack();
    const second = await server.accept();
    await second.greet();
    const seen: unknown[] = [];
    for (const _ of ids) {
      const { ref, task } = await second.next();
      const { id } = task as { id: string };
      seen.push(id);
      await second.say({ task_id: id, status: "queued", ref }, completed(id, ref));
    }
    assertEquals(seen, ids);
    for (const task of await Promise.all([...before, ...after])) {
      assertEquals(await task.result, 49);
    }
  });
});

Deno.test("a new connection to another kind of server is tried again", async () => {
  await withScene(async ({ server, client, first }) => {
    const ping = client.ping();
    await first.next();
    first.cut();
    const stranger = await server.accept();
    await stranger.next();
    await stranger.write("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    stranger.cut();
    const third = await server.accept();
    await third.greet();
    const { cmd, ref } = await third.next();
    assertEquals(cmd, "ping");
    await third.say({ pong: true, ref });
    await ping;
  });
});

Deno.test("the time for a reply counts only while there is a connection", async () => {
  let looks = 0;
  const question = new Question({ cmd: "ping" }, {
    ms: 5,
    late: () => new Error("late"),
    // There is no connection at the first three checks.
    isAway: () => ++looks < 4,
  });
  await assertRejects(() => question.answer, Error, "late");
  assert(looks >= 4, `it was late at look ${looks}`);
});

Deno.test("pauses between tries double up to one second, less up to a half", () => {
  const longest = [0, 1, 2, 3, 4, 5, 6, 7, 8, 1000].map((tries) =>
    reconnectPauseMs(tries, () => 0)
  );
  assertEquals(longest, [0, 50, 100, 200, 400, 800, 1000, 1000, 1000, 1000]);
  assertEquals(reconnectPauseMs(1, () => 1), 25);
  assertEquals(reconnectPauseMs(2000, () => 1), 500);
});

Deno.test("a refusal without a ref rejects the only message without a reply, or all of them", async () => {
  using server = new ScriptedServer();
  const refusal = { error: { code: "bad_json", message: "the JSON is nested too deep" } };
  const opening = connect(server.address);
  const connection = await server.accept();
  await using client = await opening;
  const first = client.submit("echo", { data: 1 });
  const [taken] = await connection.take(1);
  await connection.say({
    task_id: (taken!.task as { id: string }).id,
    status: "queued",
    ref: taken!.ref,
  });
  const { result } = await first;
  const waits = result.then(() => "ended", (error: Error) => error.message);
  const second = assertRejects(() => client.submit("echo", { data: 2 }), SdError, "nested");
  await connection.take(1);
  await connection.say(refusal);
  await second;
  // Two messages have no reply: the refusal can be for either, so both are rejected.
  const both = [3, 4].map((data) => assertRejects(() => client.submit("echo", { data }), SdError));
  await connection.take(2);
  await connection.say(refusal);
  await Promise.all(both);
  assertEquals(await waits, "the JSON is nested too deep");
});
