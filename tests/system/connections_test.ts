/** Connections that are refused, that stall, or that exceed the limit. */

import { WORK_VERSION } from "../../protocol/work_message.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async/deadline";
import { connect, SdError } from "../../client/mod.ts";
import { RawClient } from "../kit/raw_client.ts";
import { runSd, SdServe, shell } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";
import { until } from "../kit/until.ts";

const PATIENCE_MS = 60_000;
const MIB = 1024 * 1024;

/** Whether closing a connection ends a write under way on this runtime: before Deno 2.9 it does not. */
async function closingEndsWrites(): Promise<boolean> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  using reader = await Deno.connect({ hostname: "127.0.0.1", port });
  const writer = await listener.accept();
  let isOver = false;
  const block = new Uint8Array(MIB);
  const writing = (async () => {
    for (;;) await writer.write(block);
  })().catch(() => {
    isOver = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 300));
  writer.close();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const was = isOver;
  reader.close();
  await writing;
  return was;
}

const CLOSING_ENDS_WRITES = await closingEndsWrites();

/** Submits large echoes and reads nothing, until the server has given the connection up. */
async function floodUntilCut(
  client: RawClient,
  { server, token }: { server: TestServer; token?: string },
): Promise<void> {
  using watcher = await server.connect();
  await watcher.ask({ cmd: "hello", token });
  const lines = (JSON.stringify({ op: "echo", data: "x".repeat(500_000) }) + "\n").repeat(4);
  let isCut = false;
  const flood = (async () => {
    for (;;) await client.send(lines);
  })().catch((error) => {
    const { BrokenPipe, ConnectionReset, ConnectionAborted, BadResource, Interrupted } =
      Deno.errors;
    const kinds = [BrokenPipe, ConnectionReset, ConnectionAborted, BadResource, Interrupted];
    if (!kinds.some((kind) => error instanceof kind)) throw error;
    isCut = true;
  });
  const before = (await watcher.ask({ cmd: "stats" })).connections;
  await until(
    "the server gives the connection up",
    async () => (await watcher.ask({ cmd: "stats" })).connections < before,
  );
  // Where the runtime can, it is gone for the client as well, which has not read a byte.
  if (CLOSING_ENDS_WRITES) await until("the client is cut", () => isCut);
  // Both ends are in this process: one has to read before the runtime lets go of either's write.
  await Promise.all([client.rest(), flood]);
}

Deno.test("the client library separates a server with too many connections from a lost one", async () => {
  await using server = await TestServer.start({ workers: 1, limits: { maxConnections: 1 } });
  await using first = await connect(server.address);
  await first.ping();
  await using second = await connect(server.address);
  const error = await assertRejects(() => second.submit("square", { n: 2 }), SdError);
  assertEquals([error.code, error.retryAfterMs], ["queue_full", 1000]);
  const { hostname, port } = server.address;
  const { code, stderr } = await runSd(["submit", "x", "--server", `${hostname}:${port}`]);
  assertEquals(code, 7, stderr);
  assertStringIncludes(stderr, "--max-connections");
});

Deno.test("the limit of connections does not keep out the server's own workers", async () => {
  await using server = await SdServe.start(["--workers", "1", "--max-connections", "1"]);
  using client = await RawClient.connect(server.address);
  assertEquals((await client.ask({ cmd: "ping" })).pong, true);
  const workers = await shell(`pgrep -P ${server.child.pid}`);
  await shell(`kill -9 ${workers}`);
  await until(
    "another worker process",
    async () => !["", workers].includes(await shell(`pgrep -P ${server.child.pid}`)),
  );
  assertEquals((await client.ask({ op: "square", n: 5 })).status, "queued");
  assertEquals((await client.object()).result, 25);
});

Deno.test("the listener of the server's own workers accepts no other connection", async () => {
  const secret = "a-secret-of-32-characters-exactly";
  await using server = await SdServe.start(["--workers", "1"], { env: { SD_POOL_SECRET: secret } });
  const ports = (await shell(`ss -ltnpH | grep pid=${server.child.pid}, | awk '{print $4}'`))
    .split("\n").filter((address) => address !== "").map((address) => address.split(":").at(-1));
  // Without ss the other tests must suffice.
  if (ports.length === 0) return;
  assertEquals(ports.length, 2);
  const port = Number(ports.find((each) => Number(each) !== server.address.port));
  const plain = {
    cmd: "work",
    version: WORK_VERSION,
    secret,
    workers: 1,
    credit: 1,
    pid: 1,
    ops: [],
  };
  const ways = [{ op: "square", n: 4 }, { cmd: "ping" }, { cmd: "work", secret: "x" }, plain];
  for (const message of ways) {
    using client = await RawClient.connect({ hostname: "127.0.0.1", port });
    assertEquals((await client.ask(message)).error.code, "unauthorized");
    assertEquals(await client.line(), null);
  }
});

Deno.test("a refused client that goes on sending gets the reason, and is cut", async () => {
  const tokens = ["a-token-of-32-characters-exactly"];
  const limits = { lingerMs: 200, sweepMs: 50 };
  await using server = await TestServer.start({ workers: 1, tokens, limits });
  const conn = await Deno.connect(server.address);
  await conn.write(new TextEncoder().encode("x".repeat(200_000)));
  // Its answer is there before it looks. A connection that is reset would lose it on some systems.
  await new Promise((resolve) => setTimeout(resolve, 100));
  const text = await deadline(new Response(conn.readable).text(), PATIENCE_MS);
  assertEquals(JSON.parse(text).error.code, "line_too_long");
  using stubborn = await server.connect();
  await floodUntilCut(stubborn, { server, token: tokens[0]! });
  await until("only the workers' connection and the asker's are left", async () => {
    using other = await server.connect();
    await other.ask({ cmd: "hello", token: tokens[0] });
    return (await other.ask({ cmd: "stats" })).connections === 2;
  });
});

Deno.test("a write that makes no progress ends its connection, a pause does not", async () => {
  const limits = { writeStallMs: 500, sweepMs: 50 };
  await using server = await TestServer.start({ workers: 1, limits });
  using stalled = await server.connect();
  await floodUntilCut(stalled, { server });
  // Silent for far longer, with nothing to read.
  using idle = await server.connect();
  await idle.ask({ cmd: "ping" });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assertEquals((await idle.ask({ cmd: "ping" })).pong, true);
});

Deno.test("if all clients together leave too much unread, the one with the most is cut", async () => {
  const limits = { maxUnreadInAllBytes: 2 * MIB, sweepMs: 50 };
  await using server = await TestServer.start({ workers: 1, limits });
  using modest = await server.connect();
  assertEquals((await modest.ask({ cmd: "ping" })).pong, true);
  using greedy = await server.connect();
  await floodUntilCut(greedy, { server });
  assertEquals((await modest.ask({ op: "square", n: 3 })).status, "queued");
  assertEquals((await modest.object()).result, 9);
});

Deno.test("requests with long answers wait for their turn, and cut off no client", async () => {
  await using server = await TestServer.start({
    workers: 1,
    limits: { maxUnreadBytes: 16 * MIB },
  });
  using one = await server.connect();
  const task = { op: "square", n: 1, task: { delay: 600_000, wait: false } };
  await one.sendObjects(...Array<object>(1000).fill(task));
  for (let i = 0; i < 1000; i++) assertEquals((await one.object()).status, "delayed");
  using many = await server.connect();
  // Some 60 MiB of answers, asked for in one write and not read yet.
  const count = 300;
  await many.send('{"cmd":"list","limit":1000}\n'.repeat(count));
  assertEquals((await one.ask({ op: "square", n: 6 })).status, "queued");
  assertEquals((await one.object()).result, 36);
  for (let i = 0; i < count; i++) assertEquals((await many.object()).tasks.length, 1000);
});

Deno.test("a server stops though a client that never reads holds its connection", async () => {
  const server = await TestServer.start({ workers: 1, graceMs: 100 });
  using client = await server.connect();
  const task = { op: "square", n: 1, task: { delay: 600_000, wait: false } };
  await client.sendObjects(...Array<object>(1000).fill(task));
  for (let i = 0; i < 1000; i++) assertEquals((await client.object()).status, "delayed");
  // Some 60 MiB of answers: far more than the system takes for a client that does not read.
  await client.send('{"cmd":"list","limit":1000}\n'.repeat(300));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await deadline(server.stop(), PATIENCE_MS);
  // An old runtime lets go of the write only now.
  await client.rest();
});
