/** The client against a server that the test plays line by line: replies, losses, refusals. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ClientError } from "../../../net/client_error.ts";
import { type Client, connect, type ConnectOptions } from "../../../client/client.ts";
import { TaskEndedError, TaskFailedError } from "../../../client/task/task_end.ts";
import { SdError } from "../../../protocol/errors.ts";
import { MAX_LINE_BYTES } from "../../../protocol/limits.ts";

type Message = Record<string, unknown> & { ref: number };

/** One client, and the server's end of its connection. */
class Stage implements AsyncDisposable {
  readonly #decoder = new TextDecoder();
  #rest = "";
  #lines: string[] = [];

  private constructor(readonly client: Client, readonly conn: Deno.TcpConn) {}

  /** Without `options`, the first loss ends the client. */
  static async open(options: ConnectOptions = { reconnectMs: 0 }): Promise<Stage> {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { hostname, port } = listener.addr;
    const [client, conn] = await Promise.all([
      connect({ hostname, port }, options),
      listener.accept(),
    ]);
    return new Stage(client, conn);
  }

  /** The next message of the client. */
  async next(): Promise<Message> {
    const buffer = new Uint8Array(64 * 1024);
    while (this.#lines.length === 0) {
      const count = await this.conn.read(buffer);
      if (count === null) throw new Error("the client closed the connection");
      const lines = (this.#rest + this.#decoder.decode(buffer.subarray(0, count))).split("\n");
      this.#rest = lines.pop() ?? "";
      this.#lines = lines;
    }
    return JSON.parse(this.#lines.shift() ?? "") as Message;
  }

  /** Sends objects or text, each a line, in one write. */
  async say(...lines: (object | string)[]): Promise<void> {
    const text = lines.map((line) => typeof line === "string" ? line : JSON.stringify(line));
    let bytes = new TextEncoder().encode(text.join("\n") + "\n");
    while (bytes.length > 0) bytes = bytes.subarray(await this.conn.write(bytes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    try {
      this.conn.close();
    } catch (error) {
      assert(error instanceof Deno.errors.BadResource, "only closed twice");
    }
  }
}

Deno.test("each reply reaches its call, in any order", async () => {
  await using stage = await Stage.open();
  const { client } = stage;
  const gets = Promise.all(["a", "b", "c"].map((id) => client.get(id)));
  const asked = [await stage.next(), await stage.next(), await stage.next()];
  assertEquals(asked.map(({ cmd, task_id }) => [cmd, task_id]), [
    ["get", "a"],
    ["get", "b"],
    ["get", "c"],
  ]);
  const replies = asked.map(({ task_id, ref }) => ({ task_id, status: "queued", ref }));
  await stage.say({ stray: 1, ref: 999 }, ...replies.reverse());
  assertEquals((await gets).map(({ task_id }) => task_id), ["a", "b", "c"]);
});

Deno.test("calls made before a write begins leave in one write", async () => {
  await using stage = await Stage.open();
  const conn = Object.getPrototypeOf(stage.conn) as Deno.TcpConn;
  const write = conn.write;
  const writes: number[] = [];
  conn.write = function (bytes) {
    writes.push(bytes.length);
    return write.call(this, bytes);
  };
  const pings = Array.from({ length: 50 }, () => stage.client.ping());
  try {
    for (let i = 0; i < 50; i++) await stage.next();
  } finally {
    conn.write = write;
  }
  assertEquals(writes.length, 1);
  await stage.say(...pings.map((_, i) => ({ pong: true, ref: i + 1 })));
  await Promise.all(pings);
});

Deno.test("a submit resolves with its acknowledgement, and its result comes later", async () => {
  await using stage = await Stage.open();
  const submitting = stage.client.submit("square", { n: 7 }, { priority: 3 });
  const { ref, ...message } = await stage.next();
  const { id } = message.task as { id: string };
  assertMatch(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assertEquals(message, { op: "square", n: 7, task: { priority: 3, id } });
  await stage.say({ task_id: "t", status: "queued", ref });
  const task = await submitting;
  assertEquals([task.id, task.status], ["t", "queued"]);
  await stage.say({ task_id: "t", status: "completed", result: 49, ref });
  assertEquals(await task.result, 49);
  assertEquals(await task.end, { task_id: "t", status: "completed", result: 49 });
});

Deno.test("a result that arrives together with its acknowledgement is not lost", async () => {
  await using stage = await Stage.open();
  const submitting = stage.client.submit("square", { n: 7 });
  const { ref } = await stage.next();
  await stage.say(
    { task_id: "t", status: "queued", ref },
    { task_id: "t", status: "completed", result: null, ref },
  );
  assertEquals(await (await submitting).result, null);
});

Deno.test("a submit of a finished task gets its end", async () => {
  await using stage = await Stage.open();
  const submitting = stage.client.submit("square", { n: 7 }, { id: "t" });
  const { ref } = await stage.next();
  await stage.say(
    { task_id: "t", status: "completed", ref },
    { task_id: "t", status: "completed", result: 49, ref },
  );
  const task = await submitting;
  assertEquals([task.status, await task.result], ["completed", 49]);
});

Deno.test("failed, cancelled and expired tasks have different ends", async () => {
  await using stage = await Stage.open();
  const submit = async (end: object) => {
    const submitting = stage.client.submit("x");
    const { ref } = await stage.next();
    await stage.say({ task_id: "t", status: "queued", ref }, { task_id: "t", ...end, ref });
    return await submitting;
  };
  const error = { code: "timeout", message: "stopped" };
  const failed = await submit({ status: "failed", error, attempt: 2 });
  const failure = await assertRejects(() => failed.result, TaskFailedError, "stopped");
  assertEquals([failure.code, failure.attempt, failure.taskId], ["timeout", 2, "t"]);
  for (const status of ["cancelled", "expired"]) {
    const ended = await submit({ status });
    const end = await assertRejects(() => ended.result, TaskEndedError);
    assertEquals([end.status as string, end.taskId], [status, "t"]);
  }
});

Deno.test("a refusal rejects the submit with the server's code", async () => {
  await using stage = await Stage.open();
  const submitting = stage.client.submit("x");
  const refused = assertRejects(() => submitting, SdError, "no such op");
  const { ref } = await stage.next();
  await stage.say({ error: { code: "unknown_op", message: "no such op" }, ref });
  assertEquals((await refused).code, "unknown_op");
});

Deno.test("with wait: false the end is asked for at its first use", async () => {
  await using stage = await Stage.open();
  const submitting = stage.client.submit("x", {}, { wait: false });
  const { ref } = await stage.next();
  await stage.say({ task_id: "t", status: "queued", ref });
  const { result } = await submitting;
  const asked = await stage.next();
  assertEquals([asked.cmd, asked.task_id], ["wait", "t"]);
  await stage.say({ task_id: "t", status: "completed", result: 5, ref: asked.ref });
  assertEquals(await result, 5);
});

Deno.test("a cut connection rejects every waiting call, and every later one", async () => {
  await using stage = await Stage.open();
  const { client } = stage;
  const submitting = client.submit("sleep", { ms: 1 });
  const waiting = client.wait("a");
  const unacknowledged = client.submit("never");
  const rejections = [waiting, unacknowledged].map((promise) =>
    assertRejects(() => promise, ClientError, "lost: the server closed it")
  );
  const { ref } = await stage.next();
  await stage.say({ task_id: "t", status: "queued", ref });
  const { result } = await submitting;
  // The last message was read, so the close does not reset the connection.
  await stage.next();
  await stage.next();
  stage.conn.close();
  await assertRejects(() => result, ClientError, "lost");
  for (const rejection of rejections) assertEquals((await rejection).code, "unreachable");
  await assertRejects(() => client.ping(), ClientError, "lost");
  await assertRejects(() => client.submit("x"), ClientError, "lost");
});

Deno.test("a result that is not awaited is not an unhandled rejection", async () => {
  let unhandled = 0;
  const count = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    unhandled++;
  };
  addEventListener("unhandledrejection", count);
  try {
    await using stage = await Stage.open();
    for (const look of [false, true]) {
      const submitting = stage.client.submit("x");
      const { ref } = await stage.next();
      await stage.say({ task_id: "t", status: "queued", ref });
      const task = await submitting;
      if (look) void task.result;
      const error = { code: "task_error", message: "boom" };
      await stage.say({ task_id: "t", status: "failed", error, attempt: 1, ref });
    }
    const last = stage.client.submit("x");
    const { ref } = await stage.next();
    await stage.say({ task_id: "t", status: "queued", ref });
    await last;
    await stage.client.close();
    await new Promise((resolve) => setTimeout(resolve, 0));
  } finally {
    removeEventListener("unhandledrejection", count);
  }
  assertEquals(unhandled, 0);
});

Deno.test("the server's last refusal is the reason of a lost connection", async () => {
  await using stage = await Stage.open();
  const lost = assertRejects(
    () => stage.client.ping(),
    ClientError,
    "lost: the server is stopping",
  );
  await stage.next();
  await stage.say({ error: { code: "shutting_down", message: "the server is stopping" } });
  stage.conn.close();
  await lost;
});

Deno.test("the error for another kind of server quotes its reply", async () => {
  for (const answer of ["HTTP/1.1 400 Bad Request", "[]", "1", ""]) {
    await using stage = await Stage.open();
    const refused = assertRejects(
      () => stage.client.ping(),
      ClientError,
      "there is no sd server at",
    );
    await stage.next();
    await stage.say(answer);
    assertEquals((await refused).code, "unreachable");
  }
});

Deno.test("a message that is too long for a line is refused, and the connection goes on", async () => {
  await using stage = await Stage.open();
  const data = "x".repeat(MAX_LINE_BYTES);
  const error = await assertRejects(() => stage.client.submit("echo", { data }), SdError);
  assertEquals(error.code, "line_too_long");
  const ping = stage.client.ping();
  const { ref } = await stage.next();
  await stage.say({ pong: true, ref });
  await ping;
});

Deno.test("an argument cannot have the name of another member of the line", async () => {
  await using stage = await Stage.open();
  for (const name of ["op", "cmd", "ref", "task"]) {
    const args = { [name]: 1 };
    await assertRejects(() => stage.client.submit("x", args), ClientError, `called ${name}`);
  }
});

Deno.test("a server that cannot be reached is named, with the reason", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const error = await assertRejects(
    () => connect({ hostname: "127.0.0.1", port }),
    ClientError,
    `cannot reach 127.0.0.1:${port}: connection refused`,
  );
  assertEquals(error.code, "unreachable");
});

Deno.test("closing twice is the same as closing once", async () => {
  await using stage = await Stage.open();
  const pending = assertRejects(() => stage.client.ping(), ClientError, "was closed");
  await stage.client.close();
  await stage.client.close();
  await pending;
});
