/** Whole tasks through a real server and a real worker process, over real sockets. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { WORK_VERSION } from "../../protocol/work_message.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { RawClient } from "../kit/raw_client.ts";
import { TestServer } from "../kit/test_server.ts";

interface Ask {
  readonly message: Record<string, unknown>;
  readonly expected: unknown;
}

function randomAsk(random: Random, ref: string): Ask {
  const n = random.int(-1e6, 1e6);
  const ask = (message: Record<string, unknown>, expected: unknown) => ({
    message: { ...message, ref },
    expected,
  });
  const kind = random.next();
  if (kind < 0.5) return ask({ op: "square", n }, n * n);
  if (kind < 0.9) {
    return ask({ op: "echo", data: { ref, n, text: "line\nbreak\u0000😀" } }, {
      ref,
      n,
      text: "line\nbreak\u0000😀",
    });
  }
  if (kind < 0.95) return ask({ op: "sleep", ms: 1 }, 1);
  return ask({ op: "square", n: `${n}000000000000` }, String(BigInt(n) ** 2n * 10n ** 24n));
}

/** Sends `asks` in pieces of random size and reads until all are answered; throws on a wrong answer. */
async function converse(client: RawClient, asks: readonly Ask[], random: Random) {
  const expected = new Map(asks.map(({ message, expected }) => [message.ref, expected]));
  const acknowledged = new Set<unknown>();
  const sending = (async () => {
    const bytes = new TextEncoder().encode(
      asks.map(({ message }) => JSON.stringify(message) + "\n").join(""),
    );
    for (let at = 0; at < bytes.length;) {
      const size = random.int(1, 20_000);
      await client.send(bytes.subarray(at, at + size));
      at += size;
    }
  })();
  while (expected.size > 0) {
    const reply = await client.object();
    assert(expected.has(reply.ref), `${JSON.stringify(reply)} answers nothing that was asked here`);
    if (reply.status === "queued") {
      assert(!acknowledged.has(reply.ref), `${reply.ref} is acknowledged twice`);
      acknowledged.add(reply.ref);
      continue;
    }
    assert(acknowledged.has(reply.ref), `${reply.ref} is final before it was acknowledged`);
    assertEquals(reply.status, "completed", JSON.stringify(reply));
    assertEquals(reply.result, expected.get(reply.ref));
    expected.delete(reply.ref);
  }
  await sending;
  await client.closeWrite();
  assertEquals(await client.rest(), [], "nothing comes after the last answer");
}

Deno.test("100 clients × 1,000 pipelined tasks: each gets exactly its own results, once", async () => {
  const seed = newSeed();
  const random = new Random(seed);
  await using server = await TestServer.start();
  try {
    await Promise.all(Array.from({ length: 100 }, async (_, c) => {
      using client = await server.connect();
      const asks = Array.from({ length: 1000 }, (_, i) => randomAsk(random, `${c}/${i}`));
      await converse(client, asks, random);
    }));
    using client = await server.connect();
    const { tasks, totals } = await client.ask({ cmd: "stats" });
    assertEquals([totals.submitted, totals.finished], [100_000, 100_000]);
    assertEquals([tasks.queued, tasks.running, tasks.failed], [0, 0, 0]);
  } catch (error) {
    throw new Error(`seed ${seed}`, { cause: error });
  }
});

Deno.test("fast tasks do not wait behind slow ones while a worker is free", async () => {
  await using server = await TestServer.start({ workers: 2 });
  using slow = await server.connect();
  using fast = await server.connect();
  // Fast ones first, so that the workers take large batches when the slow one comes.
  for (let round = 0; round < 3; round++) {
    await fast.sendObjects(...Array.from({ length: 500 }, (_, n) => ({ op: "square", n })));
    for (let i = 0; i < 1000; i++) await fast.line();
  }
  const ask = { op: "sleep", ms: 60_000, task: { id: "slow", timeout: 90_000 } };
  await slow.sendObjects(ask);
  assertEquals((await slow.object()).status, "queued");
  await fast.sendObjects(...Array.from({ length: 500 }, (_, n) => ({ op: "square", n })));
  for (let i = 0; i < 1000; i++) await fast.line();
  assertEquals((await fast.ask({ cmd: "get", task_id: "slow" })).status, "running");
  assertEquals((await fast.ask({ cmd: "cancel", task_id: "slow" })).status, "cancelled");
});

Deno.test("a task cancelled in the same read as its submit gets both replies", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  for (let i = 0; i < 50; i++) {
    const id = `t${i}`;
    await client.sendObjects(
      { op: "sleep", ms: 30_000, task: { id }, ref: "task" },
      { cmd: "cancel", task_id: id, ref: "cancel" },
    );
    const replies = [await client.object(), await client.object(), await client.object()];
    const of = (ref: string) => replies.filter((reply) => reply.ref === ref);
    assertEquals(of("task").map(({ status }) => status), ["queued", "cancelled"]);
    assertEquals(of("cancel").map(({ status }) => status), ["cancelled"]);
  }
});

Deno.test("a repeated submit of a running task gets its result too", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using a = await server.connect();
  using b = await server.connect();
  const task = { op: "sleep", ms: 150, task: { id: "once" } };
  assertEquals((await a.ask(task)).status, "queued");
  assert(["queued", "running"].includes((await b.ask(task)).status));
  assertEquals((await a.object()).result, 150);
  assertEquals((await b.object()).result, 150);
  assertEquals((await b.ask({ cmd: "stats" })).tasks.completed, 1);
});

Deno.test("the record of a running task has its start and its attempt", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  await client.ask({ op: "sleep", ms: 60_000, task: { id: "nap" } });
  let view = await client.ask({ cmd: "get", task_id: "nap" });
  while (view.status !== "running") view = await client.ask({ cmd: "get", task_id: "nap" });
  assertEquals([view.attempt, view.finished_at, view.result], [1, undefined, undefined]);
  assert(Date.parse(view.started_at) >= Date.parse(view.created_at));
  await client.ask({ cmd: "cancel", task_id: "nap" });
});

Deno.test("a higher priority overtakes queued tasks", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  await client.ask({ op: "sleep", ms: 300, ref: "first" });
  while ((await client.ask({ cmd: "stats" })).tasks.running === 0);
  await client.sendObjects(
    { op: "sleep", ms: 31, ref: "low", task: { priority: -1 } },
    { op: "sleep", ms: 32, ref: "normal" },
    { op: "sleep", ms: 33, ref: "high", task: { priority: 1 } },
  );
  const order: string[] = [];
  while (order.length < 4) {
    const reply = await client.object();
    if (reply.status === "completed") order.push(reply.ref);
  }
  assertEquals(order, ["first", "high", "normal", "low"]);
});

Deno.test("a stopping server lets running tasks finish and refuses new ones", async () => {
  const server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  await client.ask({ op: "sleep", ms: 1500, ref: "running" });
  while ((await client.ask({ cmd: "stats" })).tasks.running === 0);
  const stopped = server.stop(5000);
  await client.sendObjects({ op: "square", n: 1, ref: "late" });
  const replies = [await client.object(), await client.object()];
  const late = replies.find((reply) => reply.ref === "late");
  const running = replies.find((reply) => reply.ref === "running");
  assertEquals(late.error.code, "shutting_down");
  assertEquals(running.result, 1500);
  await stopped;
  assertEquals(await client.line(), null);
});

Deno.test("a stopping server ends the tasks that outlast its grace, and reports them", async () => {
  const server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  await client.ask({ op: "sleep", ms: 60_000 });
  while ((await client.ask({ cmd: "stats" })).tasks.running === 0);
  await server.stop(100);
  const last = await client.object();
  assertEquals(last.error.code, "shutting_down");
  assertStringIncludes(last.error.message, "1 replies were still to come");
  assertEquals(await client.line(), null);
});

Deno.test("a work link without the pool's secret is refused", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const hello = {
    cmd: "work",
    version: WORK_VERSION,
    workers: 1,
    credit: 9,
    ops: [{ op: "square" }],
    pid: 1,
  };
  for (const secret of [undefined, "", "wrong", "0".repeat(64), 5]) {
    using link = await server.connect();
    const reply = await link.ask({ ...hello, secret });
    assertEquals(reply.error.code, "unauthorized");
    assertEquals(await link.line(), null);
  }
  using link = await server.connect();
  const reply = await link.ask({ ...hello, version: 99, secret: server.secret });
  assertEquals(reply.error.code, "bad_request");
});
