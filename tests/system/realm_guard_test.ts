/** A task cannot end its worker or its process, read the pool's orders, or reach another worker. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { SdServe } from "../kit/sd_process.ts";
import { RawClient } from "../kit/raw_client.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestPool } from "../kit/test_pool.ts";

const TASKS = `
import nodeProcess, { chdir, exit, kill, stdout as namedStdout } from "node:process";
import { createReadStream, readSync } from "node:fs";
import * as threads from "node:worker_threads";
import v8 from "node:v8";

const bytes = new Uint8Array(64);
const ATTEMPTS = {
  deno_exit: () => Deno.exit(0),
  deno_kill: () => Deno.kill(Deno.pid, "SIGKILL"),
  deno_chdir: () => Deno.chdir("/"),
  revoke: () => Deno.permissions.revokeSync({ name: "read" }),
  process_exit: () => process.exit(0),
  process_exit_imported: () => exit(0),
  process_exit_required: () => process.getBuiltinModule("node:process").exit(0),
  really_exit: () => nodeProcess.reallyExit(0),
  abort: () => process.abort(),
  process_kill: () => process.kill(process.pid, "SIGKILL"),
  process_kill_imported: () => kill(process.pid, "SIGKILL"),
  hidden_kill: () => process._kill(process.pid, 9),
  process_chdir: () => process.chdir("/"),
  close: () => self.close(),
  close_bare: () => close(),
  post_message: () => self.postMessage({ done: 1, end: 1 }),
  worker: () => new Worker("data:text/javascript,Deno.exit(1)", { type: "module" }),
  worker_by_prototype: () => {
    Object.setPrototypeOf(Worker, EventTarget);
    return new Worker("data:text/javascript,Deno.exit(1)", { type: "module" });
  },
  node_worker: () => new threads.Worker("process.exit(1)", { eval: true }),
  broadcast: () => new BroadcastChannel("tasks"),
  node_broadcast: () => new threads.BroadcastChannel("tasks"),
  flags: () => v8.setFlagsFromString("--stack-size=1"),
  again: () => { Deno.exit = () => {}; delete Deno.exit; Deno.exit(0); },
  redefined: () => Object.defineProperty(Deno, "exit", { value: () => "mine" }),
};
export async function attempt({ what }) {
  await ATTEMPTS[what]();
  return "went through";
}
export const names = () => Object.keys(ATTEMPTS);

const READS = {
  deno: () => Deno.stdin.readSync(bytes),
  deno_async: () => Deno.stdin.read(bytes),
  deno_stream: async () => (await Deno.stdin.readable.getReader().read()).value ?? null,
  node: () => new Promise((resolve) => {
    process.stdin.on("data", resolve);
    process.stdin.on("end", () => resolve(null));
  }),
  fs: () => { try { return readSync(0, bytes); } catch { return null; } },
  fs_stream: () => new Promise((resolve) => {
    try {
      const stream = createReadStream("", { fd: 0 });
      stream.on("data", resolve);
      stream.on("error", () => resolve(null));
      stream.on("end", () => resolve(null));
    } catch { resolve(null); }
  }),
};
export const read_input = async ({ how }) => await READS[how]();

export async function write_output() {
  const text = new TextEncoder().encode('{"retiring":"me"}\\n');
  Deno.stdout.writeSync(text);
  await Deno.stdout.write(text);
  const writer = Deno.stderr.writable.getWriter();
  await writer.write(text);
  process.stdout.write("words");
  process.stderr.write("words");
  return [Deno.stdout.isTerminal(), process.stdout.isTTY, process.stdout.fd];
}
export function listen_for_signals() {
  Deno.addSignalListener("SIGTERM", () => {});
  process.on("SIGTERM", () => {});
  process.once("SIGINT", () => {});
  return "no harm";
}
export const insides = () => Object.keys(Deno[Deno.internal]).filter((name) => name !== "nodeGlobals");
export const square = ({ n }) => n * n;
`;

Deno.test("calls that would end or harm a task's worker are refused, and the worker goes on", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  const { result: names } = await test.result({ op: "names" });
  assert(names.length > 20);
  for (const what of names) {
    const { error } = await test.result({ op: "attempt", what });
    assertEquals(error?.code, "task_error", what);
    assertMatch(error.message, /task|redefine|delete|read only|extensible/, what);
    assertEquals((await test.result({ op: "square", n: 7 })).result, 49, what);
  }
  assertEquals([test.workersStarted, test.spoiltTimes], [1, 0]);
});

Deno.test("a task cannot reach the internals of the runtime", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  assertEquals((await test.result({ op: "insides" })).result, []);
});

Deno.test("listening for signals has no effect", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  assertEquals((await test.result({ op: "listen_for_signals" })).result, "no harm");
});

Deno.test("a task finds an empty stdin, and orders still reach the pool", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using serve = await SdServe.start([folder.file("tasks.js"), "--workers", "1"]);
  using client = await RawClient.connect(serve.address);
  for (const how of ["deno", "deno_async", "deno_stream", "node", "fs", "fs_stream"]) {
    await client.ask({ op: "read_input", how });
    assertEquals((await client.object()).result, null, how);
  }
  const { task_id } = await client.ask({ op: "write_output" });
  assertEquals((await client.object()).result, [false, false, 1]);
  const { log } = await client.ask({ cmd: "logs", task_id });
  assertEquals(log.map(({ level, text }: { level: string; text: string }) => [level, text]), [
    ["info", '{"retiring":"me"}'],
    ["info", '{"retiring":"me"}'],
    ["error", '{"retiring":"me"}'],
    ["info", "words"],
    ["error", "words"],
  ]);
  await client.ask({ op: "square", n: 3 });
  assertEquals((await client.object()).result, 9);
  // The order to stop comes through the pipe that they tried to read.
  await client.ask({ op: "sleep", ms: 300 });
  assertEquals(await serve.stop(), 0);
});
