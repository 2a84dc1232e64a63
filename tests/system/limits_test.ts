/** Every limit of the server on its clients, at the limit and one past it, each set small. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { TestServer } from "../kit/test_server.ts";

Deno.test("connections up to the limit are served, the next one is refused and closed", async () => {
  await using server = await TestServer.start({ workers: 1, limits: { maxConnections: 3 } });
  const clients = [await server.connect(), await server.connect(), await server.connect()];
  for (const client of clients) assertEquals((await client.ask({ cmd: "ping" })).pong, true);
  using fourth = await server.connect();
  const { error } = await fourth.object();
  assertEquals([error.code, error.retry_after_ms], ["queue_full", 1000]);
  assertEquals(await fourth.line(), null);
  clients.pop()?.[Symbol.dispose]();
  let served = false;
  while (!served) {
    using again = await server.connect();
    served = (await again.ask({ cmd: "ping" })).pong === true;
  }
  for (const client of clients) client[Symbol.dispose]();
});

Deno.test("tasks in flight on a connection up to the limit are taken, one more is refused until one ends", async () => {
  await using server = await TestServer.start({ workers: 1, limits: { maxInFlight: 3 } });
  using client = await server.connect();
  const delayed = (id: string) => ({ op: "square", n: 1, task: { id, delay: 60_000 } });
  for (const id of ["a", "b", "c"]) assertEquals((await client.ask(delayed(id))).status, "delayed");
  const { error } = await client.ask(delayed("d"));
  assertEquals([error.code, error.retry_after_ms], ["queue_full", 1000]);
  // A task without a wait is refused as well; another connection has a limit of its own.
  const { task, ...rest } = delayed("e");
  assertEquals(
    (await client.ask({ ...rest, task: { ...task, wait: false } })).error.code,
    "queue_full",
  );
  using other = await server.connect();
  assertEquals((await other.ask(delayed("f"))).status, "delayed");
  await other.ask({ cmd: "cancel", task_id: "a" });
  assertEquals((await client.object()).status, "cancelled");
  assertEquals((await client.ask(delayed("g"))).status, "delayed");
});

Deno.test("queued tasks up to the limit are taken, and only the rest of a batch is refused", async () => {
  await using server = await TestServer.start({ workers: 1, limits: { maxQueued: 5 } });
  using client = await server.connect();
  const tasks = Array.from({ length: 7 }, (_, ref) => ({
    op: "square",
    n: ref,
    ref,
    task: { id: `t${ref}`, delay: 60_000 },
  }));
  await client.sendObjects(...tasks);
  const replies = [];
  for (const _ of tasks) replies.push(await client.object());
  assertEquals(replies.map((reply) => reply.status ?? reply.error.code), [
    ...Array(5).fill("delayed"),
    ...Array(2).fill("queue_full"),
  ]);
  assertEquals(replies.map(({ ref }) => ref), [0, 1, 2, 3, 4, 5, 6]);
  // The same task again is not new.
  assertEquals((await client.ask(tasks[0]!)).status, "delayed");
  using other = await server.connect();
  await other.ask({ cmd: "cancel", task_id: "t4" });
  assertEquals((await client.object()).status, "cancelled");
  assertEquals((await client.ask(tasks[6]!)).status, "delayed");
});

Deno.test("bytes of queued tasks up to the limit are taken, one more is refused until some are final", async () => {
  const line = JSON.stringify({ op: "echo", data: "x".repeat(1000), task: { delay: 60_000 } });
  await using server = await TestServer.start({
    workers: 1,
    limits: { maxQueuedBytes: 3 * line.length },
  });
  using client = await server.connect();
  const statuses = [];
  const ids = [];
  for (let i = 0; i < 4; i++) {
    await client.send(line + "\n");
    const reply = await client.object();
    statuses.push(reply.status ?? reply.error.code);
    ids.push(reply.task_id);
  }
  assertEquals(statuses, ["delayed", "delayed", "delayed", "queue_full"]);
  using other = await server.connect();
  await other.ask({ cmd: "cancel", task_id: ids[0] });
  assertEquals((await client.object()).status, "cancelled");
  await client.send(line + "\n");
  assertEquals((await client.object()).status, "delayed");
});

Deno.test("a client that reads nothing is cut once too much waits for it", async () => {
  const limits = { maxUnreadBytes: 9 * 1024 * 1024 };
  await using server = await TestServer.start({ workers: 1, limits });
  using greedy = await server.connect();
  using other = await server.connect();
  const data = "x".repeat(500_000);
  let isCut = false;
  const flood = (async () => {
    try {
      while (!isCut) await greedy.sendObjects({ op: "echo", data });
    } catch (error) {
      const { BrokenPipe, ConnectionReset } = Deno.errors;
      assert(error instanceof BrokenPipe || error instanceof ConnectionReset);
    }
  })();
  // The server's own workers and the asker are left.
  while (!isCut) isCut = (await other.ask({ cmd: "stats" })).connections === 2;
  assertEquals((await other.ask({ op: "square", n: 3 })).status, "queued");
  assertEquals((await other.object()).result, 9);
  // Both ends are in this process: one has to read before an old runtime lets go of either's write.
  await Promise.all([greedy.rest(), flood]);
});

Deno.test("a client that sends nothing, or no whole line, gets the reason and is closed", async () => {
  const limits = { firstLineMs: 300, partialLineMs: 300, sweepMs: 50 };
  await using server = await TestServer.start({ workers: 1, limits });
  using silent = await server.connect();
  using partial = await server.connect();
  using idle = await server.connect();
  assertEquals((await partial.ask({ cmd: "ping" })).pong, true);
  assertEquals((await idle.ask({ cmd: "ping" })).pong, true);
  await partial.send('{"op":');
  const late = await silent.object();
  assertEquals(late.error.code, "bad_request");
  assertStringIncludes(late.error.message, "no message came");
  assertEquals(await silent.line(), null);
  const cut = await partial.object();
  assertStringIncludes(cut.error.message, "did not end");
  assertEquals(await partial.line(), null);
  // A client that has sent a line and is silent can stay.
  assertEquals((await idle.ask({ cmd: "ping" })).pong, true);
});

Deno.test("one byte at a time holds no connection for ever", async () => {
  await using server = await TestServer.start({
    workers: 1,
    limits: { partialLineMs: 300, firstLineMs: 300, sweepMs: 50 },
  });
  using client = await server.connect();
  let closed = false;
  const told = client.rest().then((lines) => {
    closed = true;
    return lines;
  });
  for (let i = 0; i < 200 && !closed; i++) {
    try {
      await client.send(i === 0 ? "{" : " ");
    } catch (error) {
      assert(
        error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset,
      );
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assertEquals((await told).length, 1);
});
