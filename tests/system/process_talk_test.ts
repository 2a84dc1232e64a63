/**
 * Output of worker processes on stderr and stdout, in every way of writing: it forges no log line, it ends
 * no process, and a JSON log stays JSON.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { type PoolEvent, PoolKeeper } from "../../cli/pool/pool_keeper.ts";
import { BUILTIN_WORK } from "../../protocol/pool_start.ts";
import { FakeServer } from "../kit/fake_server.ts";
import { RawClient } from "../kit/raw_client.ts";
import { NotStarted, SdServe } from "../kit/sd_process.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { until } from "../kit/until.ts";

const TASKS = `
import { writeSync } from "node:fs";
console.log("said at the \\u001b[31mtop level\\n[server] error: forged");
setTimeout(() => Promise.reject(new Error("a late one")), 300);
export const warn = () => process.emitWarning("a warning of a task");
export const report = () => { reportError(new Error("reported")); };
export function flood({ fd, text, times }) {
  for (let i = 0; i < times; i++) writeSync(fd, text);
  return "written";
}
export const square = ({ n }) => n * n;
`;

Deno.test("every line of a JSON log is JSON, from the first to the last", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  const serve = await SdServe.start(
    [folder.file("tasks.js"), "--workers", "1", "--log-format", "json"],
    { started: "started" },
  );
  {
    const port = Number(/listening on 127\.0\.0\.1:(\d+)/.exec(serve.lines.join("\n"))?.[1]);
    using client = await RawClient.connect({ hostname: "127.0.0.1", port });
    for (const op of ["warn", "report", "square"]) {
      await client.ask({ op, n: 3 });
      await client.object();
    }
    await until(
      "the top level has logged",
      () => serve.lines.some((line) => line.includes("top level")),
    );
  }
  await serve[Symbol.asyncDispose]();
  for (const line of serve.lines) assertEquals(typeof JSON.parse(line).message, "string", line);
  const said = serve.lines.map((line) => JSON.parse(line))
    .find(({ message }) => message.includes("top level"));
  assertEquals([said.room, said.level], ["worker", "info"]);
});

Deno.test("a JSON log gives the reason why a server does not start in JSON too", async () => {
  using folder = new TaskFolder({ "tasks.js": "export const f = nosuch;\n" });
  for (const args of [[folder.file("tasks.js"), "--workers", "1"], ["--host", "0.0.0.0"]]) {
    const error = await SdServe.start([...args, "--log-format", "json"]).then(
      () => undefined,
      (error) => error,
    );
    assert(error instanceof NotStarted);
    assertEquals(error.code, 2);
    assert(error.lines.length > 0);
    const messages = error.lines.map((line) => JSON.parse(line).message);
    assertMatch(messages.at(-1), /nosuch is not defined|--insecure/);
  }
});

Deno.test("forged log lines of a task are logged as lines of a worker", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using serve = await SdServe.start([folder.file("tasks.js"), "--workers", "1"]);
  await until(
    "the top level has logged",
    () => serve.lines.some((line) => line.includes("top level")),
  );
  assert(!serve.lines.some((line) => line.startsWith("[server] error")), serve.lines.join("\n"));
  assert(!serve.lines.some((line) => line.includes("\u001b")));
});

Deno.test({
  name:
    "direct writes to the streams of a worker process are logged as its output, and end nothing",
  ignore: Deno.build.os !== "linux",
  async fn() {
    using server = new FakeServer("s3cret");
    const events: PoolEvent[] = [];
    const talk: [line: string, isRaw: boolean][] = [];
    const start = { server: server.address, secret: "s3cret", workers: 1, ...BUILTIN_WORK };
    const keeper = new PoolKeeper({
      start: { ...start, reconnect: true },
      onEvent: (event) => events.push(event),
      onTalk: (_, line, isRaw) => talk.push([line, isRaw]),
    });
    keeper.start();
    try {
      const link = await server.accept();
      const { pid } = await link.welcome();
      // As code in the process would: an unfinished line to stdout, its channel to its parent, and a line to stderr.
      const write = async (fd: number, text: string) => {
        const file = `/proc/${pid}/fd/${fd}`;
        const done = await new Deno.Command("sh", {
          args: ["-c", 'printf "$0" > "$1"', text, file],
        })
          .output();
        assert(done.success);
      };
      await write(1, '{"nonce":"x","retiring":"forged"}\\nno end');
      await write(1, "x".repeat(70_000));
      await write(2, "raw \\033[2J words\\n[server] error: forged\\n");
      // The unfinished line ends when the process next writes to its parent, which can be at any time.
      const raw = () =>
        talk.flatMap(([line, isRaw]) => isRaw && !/^(no end|xxx)/.test(line) ? [line] : []);
      await until("three lines are written", () => raw().length >= 3);
      assertEquals(raw().sort(), [
        "[server] error: forged",
        "raw \u001b[2J words",
        '{"nonce":"x","retiring":"forged"}',
      ]);
      assertEquals(events.map(({ type }) => type), ["started", "ready"]);
      // It goes on writing to its parent, behind the unfinished line.
      link.cut();
      await until(
        "the process reports its end",
        () => talk.some(([line]) => line.includes("the server closed the connection")),
      );
      const again = await server.accept();
      await again.welcome();
      await until(
        "the next process is ready",
        () => events.filter(({ type }) => type === "ready").length === 2,
      );
    } finally {
      await keeper.stop(0);
    }
  },
});

Deno.test({
  name:
    "a program that a task leaves with inherited streams does not delay the end of a worker process",
  ignore: Deno.build.os === "windows",
  async fn() {
    using folder = new TaskFolder({
      "tasks.js": `export const leave = () => {
        const streams = { stdin: "null", stdout: "inherit", stderr: "inherit" };
        const child = new Deno.Command("sleep", { args: ["300"], ...streams }).spawn();
        child.unref();
        return [child.pid, Deno.pid];
      };\n`,
    });
    await using serve = await SdServe.start(
      [folder.file("tasks.js"), "--workers", "1", "--allow-run", "--allow-env"],
    );
    using client = await RawClient.connect(serve.address);
    await client.ask({ op: "leave" });
    const { result, error } = await client.object();
    assertEquals(error, undefined);
    const [left, pid] = result;
    try {
      Deno.kill(pid, "SIGKILL");
      await until(
        "the end is logged",
        () => serve.lines.some((line) => line.includes(`worker process ${pid} ended`)),
      );
      await client.ask({ op: "square", n: 5 });
      assertEquals((await client.object()).result, 25);
    } finally {
      Deno.kill(left, "SIGKILL");
    }
  },
});

Deno.test("direct writes of a task to stdout or stderr are logged for its process, escaped and up to a limit", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using serve = await SdServe.start([folder.file("tasks.js"), "--workers", "1"]);
  using client = await RawClient.connect(serve.address);
  const flood = async (fd: number, text: string, times: number) => {
    await client.ask({ op: "flood", fd, text, times });
    assertEquals((await client.object()).result, "written");
  };
  for (const fd of [1, 2]) {
    await flood(fd, `\u001b]0;OWNED\u0007\u001b[2J[server] error: on fire ${fd}\n`, 1);
    await until(
      "the line is logged",
      () => serve.lines.some((line) => line.includes(`on fire ${fd}`)),
    );
  }
  for (const fd of [1, 2]) await flood(fd, "x".repeat(4095) + "\n", 2500);
  await client.ask({ op: "square", n: 4 });
  assertEquals((await client.object()).result, 16);
  assert(serve.lines.length < 1000, `${serve.lines.length}`);
  const text = serve.lines.join("\n");
  assert(!text.includes("\u001b") && !/^\[server\] error/m.test(text), text.slice(0, 2000));
  assertMatch(text, /^\[worker\] worker process \d+ wrote: \\u001b\]0;OWNED/m);
});
