/** Checks of arguments when a task is submitted: the task is refused or taken, and nothing else waits. */

import { assert, assertEquals } from "@std/assert";
import { MAX_CHECKED_TOGETHER, MAX_FAULT_MESSAGE_CHARS } from "../../protocol/limits.ts";
import { openMemoryEngine } from "../../server/engine/memory/memory.ts";
import { FakeWorker } from "../kit/fake_worker.ts";
import { TestServer } from "../kit/test_server.ts";

const OPS = [{ op: "resize", schema: { vendor: "zod" } }, { op: "plain" }];
const WIDE = { path: "width", message: 'expected number, got "wide"' };

const start = () => TestServer.start({ workers: 0 });

const resize = (id: string, more: object = {}) => ({
  op: "resize",
  task: { id, wait: false, ...more },
});

Deno.test("arguments against the schema are refused, with the place and the reason", async () => {
  await using server = await start();
  using worker = await FakeWorker.join(server, OPS);
  using client = await server.connect();
  const lines = [
    '{"op":"resize","width":"wide","ref":1}',
    '{"op":"resize","width":4,"ref":2}',
    '{"op":"resize","ref":3}',
  ];
  await client.send(lines.join("\n") + "\n");
  const order = await worker.nextCheck();
  assertEquals(order.submits, lines.map((line) => ["resize", line]));
  const long = { path: "x".repeat(9999), message: "y".repeat(9999) };
  await worker.answer(order, WIDE, null, long);
  const first = await client.object();
  assertEquals(first, {
    error: {
      code: "bad_request",
      message: 'cannot submit "resize": argument "width": expected number, got "wide"',
    },
    ref: 1,
  });
  const third = await client.object();
  assertEquals([third.error.code, third.ref], ["bad_request", 3]);
  assert(third.error.message.endsWith(`: ${"y".repeat(MAX_FAULT_MESSAGE_CHARS - 1)}…`));
  const second = await client.object();
  assertEquals([second.status, second.ref], ["queued", 2]);
  await worker.nextTasks(1);
  const whole = await client.ask({ cmd: "stats" });
  assertEquals(whole.totals.submitted, 1);
  await client.sendObjects({ op: "resize" });
  await worker.answer(await worker.nextCheck(), { path: "", message: "not both" });
  assertEquals(
    (await client.object()).error.message,
    'cannot submit "resize": its arguments: not both',
  );
});

Deno.test("a task without a schema does not wait for a check, a later command does", async () => {
  await using server = await start();
  using worker = await FakeWorker.join(server, OPS, { credit: 0 });
  using client = await server.connect();
  await client.sendObjects(
    resize("a"),
    { op: "plain", task: { id: "b", wait: false } },
    { op: "plain", task: { id: "child", wait: false, after: ["a"] } },
    { cmd: "get", task_id: "a" },
    { cmd: "get", task_id: "child" },
  );
  assertEquals((await client.object()).task_id, "b");
  const order = await worker.nextCheck();
  await worker.answer(order, null);
  assertEquals((await client.object()).task_id, "a");
  assertEquals(await client.object(), { task_id: "child", status: "delayed" });
  assertEquals([(await client.object()).status, (await client.object()).status], [
    "queued",
    "delayed",
  ]);
});

Deno.test("tasks of one connection are taken in their order, in any order of their checks", async () => {
  await using server = await start();
  using worker = await FakeWorker.join(server, OPS, { credit: 9 });
  using client = await server.connect();
  await client.sendObjects(resize("a"));
  const first = await worker.nextCheck();
  await client.sendObjects(resize("b"), resize("bad"));
  const second = await worker.nextCheck();
  await worker.answer(second, null, WIDE);
  await worker.answer(first, null);
  assertEquals(await worker.nextTasks(2), ["a", "b"]);
  const replies = [await client.object(), await client.object(), await client.object()];
  assertEquals(replies.map(({ task_id, error }) => task_id ?? error.code).sort(), [
    "a",
    "b",
    "bad_request",
  ]);
});

Deno.test("a client that has closed its sending side still gets every reply", async () => {
  await using server = await start();
  using worker = await FakeWorker.join(server, OPS);
  using client = await server.connect();
  await client.sendObjects({ op: "resize", ref: 1 }, { op: "resize", ref: 2 });
  await client.closeWrite();
  await worker.answer(await worker.nextCheck(), WIDE, null);
  assertEquals((await client.object()).ref, 1);
  assertEquals((await client.object()).status, "queued");
  const { lease } = await worker.link.object();
  await worker.link.sendObjects({ lease, result: 7 });
  assertEquals((await client.object()).result, 7);
  assertEquals(await client.line(), null);
});

Deno.test("the newest worker process checks; if it leaves, another one, or else the next to come", async () => {
  await using server = await start();
  using old = await FakeWorker.join(server, OPS, { credit: 0 });
  const next = await FakeWorker.join(server, OPS, { credit: 0 });
  using client = await server.connect();
  await client.sendObjects(resize("a"));
  await next.nextCheck();
  next[Symbol.dispose]();
  await old.nextCheck();
  old[Symbol.dispose]();
  using last = await FakeWorker.join(server, OPS, { credit: 0 });
  await last.answer(await last.nextCheck(), WIDE);
  assertEquals((await client.object()).error.code, "bad_request");
});

Deno.test("a task that no process can check is taken, and its worker checks it", async () => {
  await using server = await start();
  const worker = await FakeWorker.join(server, OPS);
  using client = await server.connect();
  await client.sendObjects(resize("a"));
  await worker.nextCheck();
  // As one that is being replaced, and says nothing more.
  assertEquals((await client.object()).status, "queued");
  await client.sendObjects(resize("b"));
  assertEquals((await client.object()).status, "queued", "it is not asked again before it answers");
  worker[Symbol.dispose]();
});

Deno.test("an invalid answer of a check is ignored", async () => {
  await using server = await start();
  using worker = await FakeWorker.join(server, OPS);
  using client = await server.connect();
  for (
    const faults of [[], [null, null], [{}], ["x"], [{ path: 1, message: "" }], "x", undefined]
  ) {
    await client.sendObjects({ op: "resize", task: { wait: false, key: "k", limit: 1 } });
    const { check } = await worker.nextCheck();
    await worker.link.sendObjects({ checked: check, faults }, { checked: 999, faults: [] });
    const reply = await client.object();
    assertEquals(reply.status, "queued", JSON.stringify([faults, reply]));
    if (faults && faults.length === 0) await worker.nextTasks(1);
  }
});

Deno.test("an existing id is reported as such, whatever the schema says now", async () => {
  await using server = await start();
  using worker = await FakeWorker.join(server, OPS, { credit: 0 });
  using client = await server.connect();
  const submit = async (message: object, ...faults: (typeof WIDE | null)[]) => {
    await client.sendObjects(message);
    await worker.answer(await worker.nextCheck(), ...faults);
    return await client.object();
  };
  assertEquals((await submit(resize("a"), null)).status, "queued");
  assertEquals(await submit(resize("a"), WIDE), { task_id: "a", status: "queued" });
  assertEquals((await submit({ ...resize("a"), width: 1 }, WIDE)).error.code, "conflict");
  assertEquals((await submit(resize("b"), WIDE)).error.code, "bad_request");
});

Deno.test("many submits are checked in parts whose answers fit on a line", async () => {
  await using server = await start();
  using worker = await FakeWorker.join(server, OPS, { credit: 0 });
  using client = await server.connect();
  const count = 3 * MAX_CHECKED_TOGETHER;
  await client.sendObjects(...Array.from({ length: count }, (_, i) => resize(`t-${i}`)));
  for (let left = count; left > 0;) {
    const order = await worker.nextCheck();
    assertEquals(order.submits.length <= MAX_CHECKED_TOGETHER, true);
    left -= order.submits.length;
    await worker.answer(order, ...order.submits.map(() => null));
  }
  for (let i = 0; i < count; i++) assertEquals((await client.object()).task_id, `t-${i}`);
});

Deno.test("lines under a check count as uncommitted: up to a mebibyte of them is read", async () => {
  await using server = await start();
  using worker = await FakeWorker.join(server, OPS, { credit: 0 });
  using client = await server.connect();
  const data = "x".repeat(400_000);
  // Sent while nothing reads them: the system takes some, the rest leaves when the server reads on.
  const sending = client.sendObjects(
    ...Array.from({ length: 40 }, (_, i) => ({ ...resize(`t-${i}`), data })),
  );
  const orders = [await worker.nextCheck(), await worker.nextCheck(), await worker.nextCheck()];
  using other = await server.connect();
  assertEquals((await other.ask({ cmd: "ping" })).pong, true);
  assertEquals(orders.reduce((sum, { submits }) => sum + submits.length, 0), 3);
  for (const order of orders) await worker.answer(order, null);
  for (let left = 37; left > 0;) {
    const order = await worker.nextCheck();
    left -= order.submits.length;
    await worker.answer(order, ...order.submits.map(() => null));
  }
  await sending;
  for (let i = 0; i < 40; i++) assertEquals((await client.object()).task_id, `t-${i}`);
});

Deno.test("a recurring task is checked when it is created, not at each run", async () => {
  await using server = await start();
  using worker = await FakeWorker.join(server, OPS, { credit: 0 });
  using client = await server.connect();
  const nightly = { op: "resize", task: { id: "nightly", cron: "@yearly" } };
  await client.sendObjects(nightly);
  await worker.answer(await worker.nextCheck(), WIDE);
  assertEquals((await client.object()).error.code, "bad_request");
  await client.sendObjects(nightly);
  await worker.answer(await worker.nextCheck(), null);
  assertEquals((await client.object()).status, "scheduled");
  assertEquals((await client.ask(nightly)).status, "scheduled");
});

Deno.test("a stopping server refuses the tasks under a check", async () => {
  const engine = openMemoryEngine();
  const server = await TestServer.start({ workers: 0, engine: () => engine, graceMs: 0 });
  using worker = await FakeWorker.join(server, OPS, { credit: 0 });
  using client = await server.connect();
  await client.sendObjects({ ...resize("a"), ref: 5 });
  await worker.nextCheck();
  await server.stop();
  const reply = await client.object();
  assertEquals([reply.error.code, reply.ref], ["shutting_down", 5]);
  assertEquals(await engine.get(["a"]), [undefined]);
});

Deno.test("a task whose client has left is still taken after its check", async () => {
  await using server = await start();
  using worker = await FakeWorker.join(server, OPS, { credit: 1 });
  const client = await server.connect();
  await client.sendObjects({ op: "resize", task: { id: "a" } });
  const order = await worker.nextCheck();
  client[Symbol.dispose]();
  using other = await server.connect();
  assertEquals((await other.ask({ cmd: "ping" })).pong, true);
  await worker.answer(order, null);
  const { id, lease } = await worker.link.object();
  assertEquals(id, "a");
  await worker.link.sendObjects({ lease, result: 1 });
  assertEquals((await other.ask({ cmd: "wait", task_id: "a" })).result, 1);
});
