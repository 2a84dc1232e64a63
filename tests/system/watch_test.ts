/** Watches of a real server: events come in order, and a watcher that does not read slows no client. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { SdError } from "../../protocol/errors.ts";
import { MAX_WATCHES } from "../../protocol/limits.ts";
import type { WatchEvent } from "../../protocol/task.ts";
import { WORK_VERSION } from "../../protocol/work_message.ts";
import { connect } from "../../client/client.ts";
import { watch } from "../../client/watching.ts";
import { TestServer } from "../kit/test_server.ts";
import { rawOf } from "../../client/server_client.ts";

Deno.test("a failed attempt is a delayed event with its error, the last one a failed event", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using watcher = await server.connect();
  assertEquals(await watcher.ask({ cmd: "watch", op: "square" }), { watch: "on" });
  using client = await server.connect();
  await client.sendObjects(
    { op: "echo", data: "not told" },
    { op: "square", n: "x", task: { id: "t", attempts: 2, backoff: 0 } },
  );
  const events: WatchEvent[] = [];
  while (events.at(-1)?.event !== "failed") events.push(await watcher.object());
  const error = {
    code: "task_error" as const,
    message: 'square needs n: an integer, or a string of decimal digits; got "x"',
  };
  const t = { task_id: "t", op: "square" };
  assertEquals(events.map(({ at: _at, ...event }) => event), [
    { event: "queued", ...t },
    { event: "started", ...t, attempt: 1 },
    { event: "delayed", ...t, attempt: 1, error },
    { event: "started", ...t, attempt: 2 },
    { event: "failed", ...t, attempt: 2, error },
  ]);
  for (const { at } of events) assert(!Number.isNaN(Date.parse(at)));
});

Deno.test("a cancel sends an event for the task and for each task cancelled with it", async () => {
  await using server = await TestServer.start({ workers: 1 });
  await using client = await connect(server.address);
  const events: string[] = [];
  const all = Promise.withResolvers<void>();
  const watching = await watch(rawOf(client), {}, ({ event, task_id }) => {
    events.push(`${task_id} ${event}`);
    if (events.length === 5) all.resolve();
  });
  await client.submit("sleep", { ms: 60_000 }, { id: "parent", wait: false });
  await client.submit("echo", {}, { id: "child", after: ["parent"], wait: false });
  await client.cancel("parent");
  await all.promise;
  assertEquals(events.slice(0, 3), ["parent queued", "parent started", "child delayed"]);
  // Both at the same time.
  assertEquals(events.slice(3).sort(), ["child cancelled", "parent cancelled"]);
  await watching.stop();
  await watching.ended;
  await client.submit("square", { n: 2 }).then(({ result }) => result);
  assertEquals(events.length, 5);
});

Deno.test("progress, and the requeue after the death of a worker process, are events", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using watcher = await server.connect();
  await watcher.ask({ cmd: "watch", task_id: "t" });
  const { secret } = server;
  using client = await server.connect();
  const event = async () => {
    const { event, attempt, progress } = await watcher.object();
    return { event, attempt, progress };
  };
  const plain = { attempt: undefined, progress: undefined };
  {
    using link = await server.connect();
    const hello = {
      cmd: "work",
      version: WORK_VERSION,
      workers: 1,
      credit: 1,
      ops: [{ op: "x" }],
      pid: 1,
    };
    assertEquals((await link.ask({ ...hello, secret })).work, "ok");
    await client.ask({ op: "x", task: { id: "t" } });
    const { lease } = await link.object();
    assertEquals(await event(), { ...plain, event: "queued" });
    assertEquals(await event(), { ...plain, event: "started", attempt: 1 });
    const progress = { fraction: 0.25, note: "a quarter" };
    await link.sendObjects({ lease, progress });
    assertEquals(await event(), { event: "progress", attempt: 1, progress });
    assertEquals((await client.ask({ cmd: "get", task_id: "t" })).progress, progress);
    const listed = async () => (await client.ask({ cmd: "list" })).tasks[0].progress;
    assertEquals(await listed(), progress);
    await link.sendObjects({ lease, progress: { fraction: 0.5, note: "x".repeat(500) } });
    assertEquals((await event()).event, "progress");
    assertEquals(await listed(), { fraction: 0.5, note: `${"x".repeat(79)}…` });
  }
  assertEquals((await event()).event, "queued");
});

Deno.test("a watcher that does not read loses events, gets their number, and slows no client", async () => {
  await using server = await TestServer.start({ workers: 2 });
  using watcher = await server.connect();
  await watcher.ask({ cmd: "watch" });
  using client = await server.connect();
  const tasks = 100_000, each = 1000;
  for (let sent = 0; sent < tasks; sent += each) {
    const lines = Array.from({ length: each }, (_, i) => `{"op":"square","n":${sent + i}}\n`);
    await client.send(lines.join(""));
    for (let open = each; open > 0;) {
      const line = await client.line();
      if (line?.includes('"completed"')) open--;
    }
  }
  // Now it reads: the events written before, the number of lost ones, and all later events.
  let told = 0, lost = 0;
  while (told + lost < 3 * tasks) {
    const { event, count } = await watcher.object() as WatchEvent;
    if (event === "dropped") lost += count ?? NaN;
    else told++;
  }
  assertEquals(told + lost, 3 * tasks);
  assert(lost > 0, "the test is of no use where all fits the buffers of the system");
  await client.ask({ op: "square", n: 1, task: { id: "after" } });
  const events = [await watcher.object(), await watcher.object(), await watcher.object()];
  assertEquals(events.map(({ event, task_id }) => [event, task_id]), [
    ["queued", "after"],
    ["started", "after"],
    ["completed", "after"],
  ]);
});

Deno.test("a connection can have watches up to the limit and not one more; its end ends them", async () => {
  await using server = await TestServer.start({ workers: 1 });
  {
    await using client = await connect(server.address);
    for (let i = 0; i < MAX_WATCHES; i++) await watch(rawOf(client), {}, () => undefined);
    const error = await assertRejects(
      () => watch(rawOf(client), {}, () => undefined),
      SdError,
      "unwatch",
    );
    assertEquals((error as SdError).code, "conflict");
  }
  using client = await server.connect();
  await client.ask({ op: "square", n: 2 });
  assertEquals((await client.object()).result, 4);
});
