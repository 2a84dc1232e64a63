/** Logs of tasks through a real server: sent to watchers at once, returned by `logs`, and stored with the task. */

import { assertEquals } from "@std/assert";
import { connect } from "../../client/client.ts";
import { MAX_LOG_ENTRY_CHARS } from "../../protocol/limits.ts";
import type { TaskLogView } from "../../protocol/task.ts";
import type { LogEntry } from "../../protocol/work_message.ts";
import { openEngine } from "../../server/engine/open.ts";
import { LogLink } from "../kit/fake_worker.ts";
import { SdServe } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";

const AT = Date.UTC(2030, 0, 1);
const OP = { op: "x", file: "tasks.ts", version: "0123456789ab" };

const entry = (text: string, ms = 0): LogEntry => [AT + ms, "info", text];
const textsOf = ({ log }: Pick<TaskLogView, "log">) => log.map(({ n, text }) => `${n} ${text}`);

Deno.test("log lines reach watchers and logs at once, and are stored with the task", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using worker = await LogLink.join(server, OP);
  using watcher = await server.connect();
  await watcher.ask({ cmd: "watch", task_id: "t" });
  using client = await server.connect();
  await client.ask({ op: "x", task: { id: "t", wait: false } });
  const lease = await worker.nextLease("t");
  const events = async (count: number) => {
    const all = [];
    while (all.length < count) all.push(await watcher.object());
    return all.map(({ event, attempt, log }) => [event, attempt, log]);
  };
  assertEquals((await events(2)).map(([event]) => event), ["queued", "started"]);

  await worker.say(lease, [entry("one"), [AT + 1, "error", "two"]]);
  const at = "2030-01-01T00:00:00.000Z";
  const one = { n: 1, at, attempt: 1, level: "info", text: "one" };
  const two = { n: 2, at: "2030-01-01T00:00:00.001Z", attempt: 1, level: "error", text: "two" };
  assertEquals(await events(1), [["log", 1, [one, two]]]);
  const running = await client.ask({ cmd: "logs", task_id: "t" });
  assertEquals(running, { task_id: "t", status: "running", log: [one, two], dropped: 0 });

  await worker.say(lease, [entry("after a flood")], 40);
  await worker.end(lease, { result: 4 });
  const three = { n: 43, at, attempt: 1, level: "info", text: "after a flood" };
  assertEquals(await events(2), [["log", 1, [three]], ["completed", 1, undefined]]);
  const ended = await client.ask({ cmd: "logs", task_id: "t" });
  assertEquals(ended, { task_id: "t", status: "completed", log: [one, two, three], dropped: 40 });
  const view = await client.ask({ cmd: "get", task_id: "t" });
  assertEquals([view.result, view.version, view.log], [4, OP.version, undefined]);
  const missing = await client.ask({ cmd: "logs", task_id: "nobody" });
  assertEquals(missing.error.code, "not_found");
});

Deno.test("attempts in a log are numbered on after the death of a worker process", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using client = await server.connect();
  const logs = () => client.ask({ cmd: "logs", task_id: "t" });
  {
    using worker = await LogLink.join(server, OP);
    await client.ask({ op: "x", task: { id: "t", attempts: 2, backoff: 0, wait: false } });
    const first = await worker.nextLease("t");
    await worker.say(first, [entry("failing")]);
    await worker.end(first, { error: { code: "task_error", message: "no" } });
    const second = await worker.nextLease("t");
    await worker.say(second, [entry("dying")]);
    // Waits until the entry has arrived; then the process dies.
    while ((await logs()).log.length < 2);
  }
  using worker = await LogLink.join(server, { ...OP, version: "ba9876543210" });
  const third = await worker.nextLease("t");
  await worker.say(third, [entry("done")]);
  await worker.end(third, { result: 1 });
  const end = await client.ask({ cmd: "wait", task_id: "t" });
  assertEquals([end.status, end.version], ["completed", "ba9876543210"]);
  const { log } = await logs();
  // A death uses up no attempt.
  assertEquals(log.map(({ n, attempt, text }: typeof log[0]) => [n, attempt, text]), [
    [1, 1, "failing"],
    [2, 2, "dying"],
    [3, 2, "done"],
  ]);
});

Deno.test("the logs of a cancelled task and of a task with an expired lease are stored", async () => {
  await using server = await TestServer.start({ workers: 0, leaseMs: 600 });
  using client = await server.connect();
  await client.ask({ op: "x", task: { id: "t", wait: false } });
  {
    using silent = await LogLink.join(server, OP);
    const lost = await silent.nextLease("t");
    await silent.say(lost, [entry("then nothing more was heard")]);
    // The lease is not renewed, and the link is cut.
    assertEquals(await silent.link.line(), null);
  }
  using worker = await LogLink.join(server, OP);
  const lease = await worker.nextLease("t");
  await worker.say(lease, [entry("again")]);
  await client.sendObjects({ cmd: "cancel", task_id: "t" });
  assertEquals(await worker.link.object(), { cancel: [lease] });
  await worker.say(lease, [entry("stopping")]);
  await worker.link.sendObjects({ lease, cancelled: true });
  assertEquals((await client.object()).status, "cancelled");
  const logs = await client.ask({ cmd: "logs", task_id: "t" });
  assertEquals(textsOf(logs), ["1 then nothing more was heard", "2 again", "3 stopping"]);
});

Deno.test("an entry that is too long is cut, and one with odd values is stored", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using worker = await LogLink.join(server, OP);
  using client = await server.connect();
  await client.ask({ op: "x", task: { id: "t", wait: false } });
  const lease = await worker.nextLease("t");
  const odd = [[1e300, "info", "\0 \ud800"]] as unknown as LogEntry[];
  await worker.say(lease, [entry("x".repeat(MAX_LOG_ENTRY_CHARS + 1)), ...odd]);
  await worker.end(lease, { result: 1 });
  await client.ask({ cmd: "wait", task_id: "t" });
  const { log } = await client.ask({ cmd: "logs", task_id: "t" }) as TaskLogView;
  assertEquals(log[0]?.text.length, MAX_LOG_ENTRY_CHARS);
  assertEquals([log[1]?.level, log[1]?.text], ["info", "\0 \ud800"]);
});

Deno.test("export and import carry logs and versions between any engines", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await using old = await TestServer.start({ workers: 0 });
    using worker = await LogLink.join(old, OP);
    await using source = await connect(old.address);
    await source.submit("x", {}, { id: "t", wait: false });
    const lease = await worker.nextLease("t");
    await worker.say(lease, [entry("ü\n\0")], 3);
    await worker.end(lease, { result: 1 });
    await source.wait("t");
    const records = await Array.fromAsync(source.exportRecords());
    await using fresh = await TestServer.start({
      workers: 0,
      engine: (ended) => openEngine(`sqlite:${folder}/sd.db`, { ended }),
    });
    await using target = await connect(fresh.address);
    const text = records.map((record) => JSON.stringify(record)).join("\n");
    assertEquals((await target.importText(text)).imported, 1);
    assertEquals(await Array.fromAsync(target.exportRecords()), records);
    assertEquals(await target.get("t"), await source.get("t"));
    const logs = await target.logs("t");
    assertEquals([textsOf(logs), logs.dropped], [["4 ü\n\0"], 3]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test({
  name: "a killed server loses the logs of runs that had not ended, and no others",
  // There the environment alone sets the file of the secret.
  ignore: Deno.build.os !== "linux",
  fn: survivesKill,
});

async function survivesKill(): Promise<void> {
  const folder = await Deno.makeTempDir();
  const env = { SD_DATA: folder, XDG_STATE_HOME: folder };
  const start = async () => {
    const server = await SdServe.start(["--workers", "0"], { env });
    const { address } = server;
    const secret = await Deno.readTextFile(`${folder}/sd/pool-${address.port}.secret`);
    return { server, target: { address, secret: secret.trim() } };
  };
  try {
    {
      const { server, target } = await start();
      await using _ = server;
      using worker = await LogLink.join(target, OP);
      await using client = await connect(target.address, { reconnectMs: 0 });
      await client.submit("x", {}, { id: "done", wait: false });
      const done = await worker.nextLease("done");
      await worker.say(done, [entry("kept")]);
      await client.submit("x", {}, { id: "runs", attempts: 2, backoff: 0, wait: false });
      const first = await worker.nextLease("runs");
      await worker.say(first, [entry("kept too")]);
      await worker.end(first, { error: { code: "task_error", message: "no" } });
      const second = await worker.nextLease("runs");
      await worker.say(second, [entry("not kept")]);
      await worker.end(done, { result: 1 });
      await client.wait("done");
      assertEquals((await client.logs("runs")).log.length, 2);
      await server.stop("SIGKILL");
    }
    const { server, target } = await start();
    await using _ = server;
    await using client = await connect(target.address);
    assertEquals(textsOf(await client.logs("done")), ["1 kept"]);
    assertEquals(textsOf(await client.logs("runs")), ["1 kept too"]);
    assertEquals((await client.get("done")).version, OP.version);
    using worker = await LogLink.join(target, OP);
    const again = await worker.nextLease("runs");
    await worker.say(again, [entry("from here on")]);
    await worker.end(again, { result: 1 });
    await client.wait("runs");
    assertEquals(textsOf(await client.logs("runs")), ["1 kept too", "2 from here on"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
