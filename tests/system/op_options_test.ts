/** Options of ops, as worker processes report them: they apply to tasks, `ops` shows them, and the server checks them. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { MAX_OPS, MAX_SCHEMA_CHARS, MAX_WORK_HELLO_BYTES } from "../../protocol/limits.ts";
import { type OpSpec, reportable } from "../../protocol/op_spec.ts";
import { openMemoryEngine } from "../../server/engine/memory/memory.ts";
import { FakeWorker, helloOf } from "../kit/fake_worker.ts";
import { sharedEngine, TestServer } from "../kit/test_server.ts";

const RESIZE: OpSpec = {
  op: "resize",
  file: "tasks.ts",
  version: "0123456789ab",
  timeout: 120_000,
  attempts: 3,
  backoff: 50,
  expires: 60_000,
  limit: 2,
  rate: "100/1m",
  schema: { vendor: "zod", json: { type: "object" } },
  permissions: ["net=api.example.com"],
  isolate: true,
};

const noWorkers = () => TestServer.start({ workers: 0 });

Deno.test("ops returns everything known about an op", async () => {
  await using server = await noWorkers();
  using _worker = await FakeWorker.join(server, [{ op: "other" }, RESIZE]);
  using client = await server.connect();
  await client.ask({ cmd: "pause", op: "resize" });
  assertEquals((await client.ask({ cmd: "ops" })).ops, [
    { op: "other", workers: 1 },
    { ...RESIZE, workers: 1, paused: true },
  ]);
});

Deno.test("a task without an option has that of its op, and so does a recurring task", async () => {
  const engine = openMemoryEngine();
  await using server = await TestServer.start({ workers: 0, engine: () => engine });
  const { schema: _schema, ...spec } = RESIZE;
  using _worker = await FakeWorker.join(server, [spec, { op: "plain" }], { credit: 0 });
  using client = await server.connect();
  await client.sendObjects(
    { op: "resize", task: { id: "bare", wait: false } },
    { op: "resize", task: { id: "own", wait: false, timeout: 9, attempts: 1, expires: 7000 } },
    { op: "plain", task: { id: "plain", wait: false } },
    { op: "resize", task: { id: "tick", cron: "* * * * * *" } },
  );
  for (let i = 0; i < 4; i++) assertEquals((await client.object()).error, undefined);
  const rulesOf = async (id: string) => {
    const [record] = await engine.get([id]);
    assert(record, id);
    const { timeoutMs, attempts, backoffMs } = record.rules;
    return [timeoutMs, attempts, backoffMs, record.expiresAt - record.createdAt];
  };
  assertEquals(await rulesOf("bare"), [120_000, 3, 50, 60_000]);
  assertEquals(await rulesOf("own"), [9, 1, 50, 7000]);
  assertEquals(await rulesOf("plain"), [60_000, 1, 1000, Infinity]);
  let tick: string | undefined;
  while (!tick) {
    const { tasks } = await client.ask({ cmd: "list", op: "resize" });
    tick = tasks.find(({ task_id }: { task_id: string }) => task_id.startsWith("tick:"))?.task_id;
  }
  assertEquals(await rulesOf(tick), [120_000, 3, 50, 60_000]);
  const answer = await client.ask({ op: "plain" });
  assertEquals(answer.status, "queued");
});

Deno.test("no more tasks of an op run than its limit, on all worker processes together", async () => {
  await using server = await noWorkers();
  const ops = [{ op: "resize", limit: 2 }, { op: "other" }];
  using one = await FakeWorker.join(server, ops);
  using client = await server.connect();
  const submit = async (op: string, ...ids: string[]) => {
    await client.sendObjects(...ids.map((id) => ({ op, task: { id, wait: false } })));
    for (const id of ids) assertEquals((await client.object()).task_id, id);
  };
  await submit("resize", "a", "b", "c", "d");
  const first = [await one.link.object(), await one.link.object()];
  assertEquals(first.map(({ id }) => id), ["a", "b"]);
  using two = await FakeWorker.join(server, ops, { credit: 1 });
  await submit("other", "e", "f");
  assertEquals((await Promise.all([one.nextTasks(1), two.nextTasks(1)])).flat().sort(), ["e", "f"]);
  const why = await client.ask({ cmd: "why", task_id: "c" });
  assertEquals([why.code, why.why], [
    "op_limit",
    '2 tasks of the op "resize" are running, its limit',
  ]);
  await one.link.sendObjects({ lease: first[0].lease, result: 1 });
  assertEquals(await one.nextTasks(1), ["c"]);
  one[Symbol.dispose]();
  // The tasks that ran there run again, before tasks that never ran; the other process has no free place.
  using three = await FakeWorker.join(server, ops);
  assertEquals((await three.nextTasks(2)).sort(), ["b", "c"]);
});

Deno.test("if several processes have an op, the options of the newest one count while it is connected", async () => {
  await using server = await noWorkers();
  using client = await server.connect();
  const limit = async () => (await client.ask({ cmd: "ops" })).ops[0].limit;
  using _old = await FakeWorker.join(server, [{ op: "a", limit: 1 }]);
  const next = await FakeWorker.join(server, [{ op: "a", limit: 2 }]);
  assertEquals(await limit(), 2);
  next[Symbol.dispose]();
  while (await limit() !== 1);
});

Deno.test("an op is unknown once no pool has it any more, and no sooner", async () => {
  await using server = await noWorkers();
  using client = await server.connect();
  const known = async () =>
    (await client.ask({ cmd: "ops" })).ops.map(({ op }: { op: string }) => op);
  const old = await FakeWorker.join(server, [{ op: "a" }, { op: "b" }], { pool: "local" });
  const away = await FakeWorker.join(server, [{ op: "c" }]);
  using _next = await FakeWorker.join(server, [{ op: "a" }], { pool: "local" });
  assertEquals(await known(), ["a", "b", "c"]);
  old[Symbol.dispose]();
  while ((await known()).length !== 2);
  assertEquals((await client.ask({ op: "b" })).error.code, "unknown_op");
  // A process without a name can come again: its ops stay known.
  away[Symbol.dispose]();
  while ((await client.ask({ cmd: "stats" })).workers.pools !== 1);
  assertEquals(await known(), ["a", "c"]);
  assertEquals((await client.ask({ op: "c", task: { wait: false } })).status, "queued");
});

Deno.test("a submit of an existing id gets its reply even if no worker has the op any more", async () => {
  const engine = sharedEngine();
  const submit = { op: "gone", n: 1, task: { id: "x", wait: false } };
  {
    await using server = await TestServer.start({ workers: 0, engine });
    using client = await server.connect();
    assertEquals((await client.ask(submit)).status, "queued");
  }
  await using server = await TestServer.start({ workers: 0, engine });
  using _worker = await FakeWorker.join(server, [{ op: "other" }]);
  using client = await server.connect();
  assertEquals(await client.ask(submit), { task_id: "x", status: "queued" });
  assertEquals((await client.ask({ ...submit, n: 2 })).error.code, "conflict");
  const fresh = { ...submit, task: { id: "y", wait: false } };
  assertEquals((await client.ask(fresh)).error.code, "unknown_op");
});

Deno.test("a refusal of invalid op options names the op and the member", async () => {
  await using server = await noWorkers();
  const wrong: [unknown, string][] = [
    [{ op: "a", timeout: 0 }, 'op "a": timeout is an integer from 1 to 2147483647; this is 0'],
    [{ op: "a", attempts: 101 }, "attempts is an integer from 1 to 100"],
    [{ op: "a", backoff: -1 }, "backoff is an integer"],
    [{ op: "a", expires: "1m" }, 'expires is an integer from 1 to 315360000000; this is "1m"'],
    [{ op: "a", limit: 0.5 }, "limit is an integer"],
    [{ op: "a", rate: "often" }, 'op "a": a rate is'],
    [{ op: "a", file: "x".repeat(1025) }, "file is a string of at most 1024 characters"],
    [{ op: "a", version: "0123456789AB" }, "version is 12 hex digits"],
    [{ op: "a", schema: {} }, "schema.vendor is the name of a library"],
    [{ op: "a", schema: { vendor: "zod", json: [] } }, "json is an object"],
    [
      { op: "a", schema: { vendor: "zod", json: { a: "x".repeat(MAX_SCHEMA_CHARS) } } },
      `schema.json is at most ${MAX_SCHEMA_CHARS} characters`,
    ],
    [{ op: "a", permissions: "net" }, "permissions is at most 64 strings"],
    [{ op: "a", permissions: [""] }, "permissions is at most 64 strings"],
    [{ op: "a", isolate: false }, 'isolate is true, "process" or absent'],
    [{ op: "" }, "ops is of objects with op"],
    ["a", "ops is of objects with op"],
    [null, "ops is of objects with op"],
  ];
  for (const [spec, message] of wrong) {
    using link = await server.connect();
    const { error } = await link.ask(helloOf(server, [spec]));
    assertEquals(error.code, "bad_request");
    assertStringIncludes(error.message, message);
    assertEquals(await link.rest(), []);
  }
  using twice = await server.connect();
  const { error } = await twice.ask(helloOf(server, [{ op: "a" }, { op: "a" }]));
  assertEquals(error.message, 'ops names "a" twice');
  const many = (count: number) => Array.from({ length: count }, (_, i) => ({ op: `op-${i}` }));
  using full = await server.connect();
  assertEquals((await full.ask(helloOf(server, many(MAX_OPS)))).work, "ok");
  using over = await server.connect();
  assertStringIncludes(
    (await over.ask(helloOf(server, many(MAX_OPS + 1)))).error.message,
    `at most ${MAX_OPS} ops`,
  );
});

Deno.test("unknown members of an op are ignored", async () => {
  await using server = await noWorkers();
  using _worker = await FakeWorker.join(server, [{ op: "a", color: "red" } as OpSpec]);
  using client = await server.connect();
  assertEquals((await client.ask({ cmd: "ops" })).ops, [{ op: "a", workers: 1 }]);
});

Deno.test("worker processes can send long first lines, with and without tokens; clients cannot", async () => {
  const json = { properties: { text: { description: "x".repeat(MAX_SCHEMA_CHARS - 100) } } };
  const ops = reportable(
    Array.from({ length: 100 }, (_, i) => ({ op: `op-${i}`, schema: { vendor: "zod", json } })),
  );
  assertEquals(ops.filter(({ schema }) => schema?.json).length, 16);
  for (const tokens of [[], ["a-token-of-32-characters-exactly"]]) {
    await using server = await TestServer.start({ workers: 0, tokens });
    const hello = JSON.stringify(helloOf(server, ops));
    const room = MAX_WORK_HELLO_BYTES - hello.length;
    const long = hello.slice(0, -1) + " ".repeat(room) + "}\n";
    using link = await server.connect();
    await link.send(long.slice(0, 10));
    await link.send(long.slice(10));
    assertEquals((await link.object()).work, "ok", `${tokens.length} tokens`);
    using over = await server.connect();
    await over.send(long.slice(0, -2) + " }\n");
    assertEquals((await over.object()).error.code, "line_too_long");
    using stranger = await server.connect();
    await stranger.send(long.replace(server.secret, "0".repeat(64)));
    assertEquals((await stranger.object()).error.code, "line_too_long");
  }
});
