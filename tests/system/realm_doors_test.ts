/**
 * Things that the runtime allows every worker without a permission, and sd does not allow a task: reach descriptors of its
 * process, write to the disk of the user, end the process. And a list of all names that there are, so that a new one
 * is looked at before it is trusted.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestPool } from "../kit/test_pool.ts";

const TASKS = `
import * as fs from "node:fs";
import { Server, Socket, createServer } from "node:net";
import { ReadStream, WriteStream } from "node:tty";
const { binding } = process;
import { DatabaseSync } from "node:sqlite";
import * as threads from "node:worker_threads";
import { inspect } from "node:util";

const bytes = new TextEncoder().encode("WRITTEN BY A TASK\\n");
const event = (emitter, name) => new Promise((resolve, reject) => {
  emitter.on(name, resolve);
  emitter.on("error", reject);
});

/** Tries every way to reach descriptor \`fd\`; returns the ways that succeeded. */
export async function reach({ fd }) {
  const ways = {
    socket: () => new Socket({ fd }),
    socket_of_required: () => new (process.getBuiltinModule("node:net").Socket)({ fd }),
    listen: () => { const s = createServer(); const up = event(s, "listening"); s.listen({ fd }); return up; },
    listen_server: () => { const s = new Server(); const up = event(s, "listening"); s.listen({ fd }); return up; },
    raw_tcp: () => { if (new (binding("tcp_wrap").TCP)(0).open(fd) !== 0) throw new Error("no"); },
    raw_pipe: () => { if (new (binding("pipe_wrap").Pipe)(0).open(fd) !== 0) throw new Error("no"); },
    raw_udp: () => { if (new (binding("udp_wrap").UDP)().open(fd) !== 0) throw new Error("no"); },
    write: () => fs.writeSync(fd, bytes),
    write_text: () => fs.writeSync(fd, "WRITTEN BY A TASK\\n"),
    writev: () => fs.writevSync(fd, [bytes]),
    write_later: () => new Promise((resolve, reject) => fs.write(fd, bytes, (e) => e ? reject(e) : resolve())),
    write_file: () => fs.writeFileSync(fd, bytes),
    append_file: () => fs.appendFileSync(fd, bytes),
    write_stream: async () => {
      const stream = fs.createWriteStream("", { fd });
      stream.write(bytes);
      await new Promise((resolve, reject) => { stream.on("error", reject); stream.end((e) => e ? reject(e) : resolve()); });
    },
    read: () => fs.readSync(fd, new Uint8Array(1)),
    read_file: () => fs.readFileSync(fd),
    truncate: () => fs.ftruncateSync(fd, 0),
    chmod: () => fs.fchmodSync(fd, 0o777),
    sync: () => fs.fsyncSync(fd),
    times: () => fs.futimesSync(fd, 1, 1),
    stat: () => fs.fstatSync(fd),
    close: () => fs.closeSync(fd),
    terminal_in: async () => {
      const stream = new ReadStream(fd);
      const end = event(stream, "end");
      stream.write("WRITTEN BY A TASK\\n");
      stream.resume();
      await end;
    },
    terminal_out: async () => {
      const stream = new WriteStream(fd);
      await new Promise((resolve, reject) => { stream.on("error", reject); stream.write("WRITTEN BY A TASK\\n", (e) => e ? reject(e) : resolve()); });
    },
  };
  // There these numbers belong to the worker: it would close its own port.
  if (Deno.version.deno.startsWith("2.6.")) delete ways.close;
  const through = [];
  for (const [name, way] of Object.entries(ways)) {
    try {
      await way();
      through.push(name);
    } catch { /* as it should be */ }
  }
  return through;
}

const attempts = {
  caches: () => caches.open("x"),
  caches_match: () => caches.match("http://x/"),
  caches_again: () => { delete globalThis.caches; return caches.open("x"); },
  vsock_listen: () => Deno.listen({ transport: "vsock", cid: 1, port: 5 }),
  vsock_connect: () => Deno.connect({ transport: "vsock", cid: 1, port: 5 }),
  vsock_serve: () => Deno.serve({ cid: 1, port: 5 }, () => new Response()),
  vsock_by_a_getter: () => {
    let asked = 0;
    return Deno.connect({ get transport() { return asked++ ? "vsock" : "tcp"; }, cid: 1, port: 5, hostname: "127.0.0.1" });
  },
  sqlite_file: () => new DatabaseSync("/tmp/written-by-a-task.db"),
  sqlite_attach: () => new DatabaseSync(":memory:").exec("ATTACH '/tmp/written-by-a-task.db' AS a; CREATE TABLE a.t (x)"),
  sqlite_vacuum: () => new DatabaseSync(":memory:").exec("CREATE TABLE t (x); VACUUM INTO '/tmp/written-by-a-task.db'"),
  sqlite_temp_store: () => new DatabaseSync(":memory:").exec("PRAGMA temp_store = 1"),
  sqlite_temp_store_prepared: () => new DatabaseSync(":memory:").prepare("pragma main.TEMP_STORE(file)").all(),
  sqlite_temp_folder: () => new DatabaseSync(":memory:").exec("PRAGMA temp_store_directory = '/tmp'"),
  storage: () => localStorage.setItem("a", "b"),
  session_storage: () => sessionStorage.setItem("a", "b"),
  kv: () => Deno.openKv(":memory:"),
  cron: () => Deno.cron("a", "* * * * *", () => {}),
  worker: () => new Worker(URL.createObjectURL(new Blob(["close()"])), { type: "module" }),
  inspector: () => process.getBuiltinModule("node:inspector").open(0),
  inspector_session: () => new (process.getBuiltinModule("node:inspector").Session)().connect(),
  inspector_of_the_pool: () => new (process.getBuiltinModule("node:inspector").Session)().connectToMainThread(),
  native: () => process.dlopen({ exports: {} }, "/lib/x86_64-linux-gnu/libc.so.6"),
  pointer: () => Deno.UnsafePointer.of(new Uint8Array(4)),
  heap_file: () => {
    const { writeHeapSnapshot } = process.getBuiltinModule("node:v8");
    writeHeapSnapshot("/tmp/written-by-a-task.heapsnapshot");
  },
  env: () => { process.env.SD_WRITTEN = "1"; },
  user: () => process.setuid(65534),
  dns: () => process.getBuiltinModule("node:dns").promises.lookup("localhost"),
};
if (navigator.locks) {
  attempts.locks = () => navigator.locks.request("x", () => "held");
  attempts.locks_asked = () => navigator.locks.query();
  attempts.locks_of_node = () => threads.locks.request("x", () => "held");
}
export const names = () => Object.keys(attempts);
export const attempt = async ({ what }) => inspect(await attempts[what]());

export function temporary() {
  const database = new DatabaseSync(":memory:");
  database.exec("CREATE TEMP TABLE t (x)");
  const insert = database.prepare("INSERT INTO t VALUES (randomblob(1000000))");
  for (let i = 0; i < 20; i++) insert.run();
  globalThis.kept = database;
  return database.prepare("SELECT count(*) AS n FROM t").get().n;
}
export const gpu = () => navigator.gpu === undefined;
export const square = ({ n }) => n * n;
`;

Deno.test("a task cannot open a descriptor of its process in any way", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using conn = await Deno.connect({
    hostname: "127.0.0.1",
    port: (listener.addr as Deno.NetAddr).port,
  });
  using other = await listener.accept();
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  // It can write to the first two: see process_talk_test.ts.
  for (const fd of [0, ...Array.from({ length: 97 }, (_, i) => i + 3)]) {
    const { result, error } = await test.result({ op: "reach", fd });
    assertEquals([result, error], [[], undefined], `descriptor ${fd}`);
  }
  // Only the output of the process itself arrives.
  await conn.write(new TextEncoder().encode("ours"));
  const buffer = new Uint8Array(100);
  assertEquals(new TextDecoder().decode(buffer.subarray(0, await other.read(buffer) ?? 0)), "ours");
  await other.write(new TextEncoder().encode("back"));
  assertEquals(new TextDecoder().decode(buffer.subarray(0, await conn.read(buffer) ?? 0)), "back");
  assertEquals((await test.result({ op: "square", n: 7 })).result, 49);
});

Deno.test("calls that write to the user's disk or end the process are refused, and the worker goes on", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  const { result: names } = await test.result({ op: "names" });
  assert(names.length > 25);
  for (const what of names) {
    const { error, result } = await test.result({ op: "attempt", what });
    assertEquals(error?.code, "task_error", `${what}: ${result}`);
    assertEquals((await test.result({ op: "square", n: 7 })).result, 49, what);
  }
  assertEquals([test.workersStarted, test.spoiltTimes], [1, 0]);
  for (const { name } of Deno.readDirSync("/tmp")) {
    assert(!name.startsWith("written-by-a-task"), name);
  }
});

Deno.test("a refusal names the alternative", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  const messages = { caches: /share no storage; return/, vsock_listen: /vsock/ };
  for (const [what, message] of Object.entries(messages)) {
    assertMatch((await test.result({ op: "attempt", what })).error.message, message);
  }
});

Deno.test({
  name: "temporary data of SQLite stays in memory",
  ignore: Deno.build.os !== "linux",
  async fn() {
    using folder = new TaskFolder({ "tasks.js": TASKS });
    using test = new TestPool(1, { modules: folder.modules("tasks.js") });
    assertEquals((await test.result({ op: "temporary" })).result, 20);
    const list = new Deno.Command("ls", { args: ["-l", `/proc/${Deno.pid}/fd`] });
    const files = new TextDecoder().decode((await list.output()).stdout).split("\n");
    assert(files.length > 3);
    assertEquals(files.filter((file) => file.includes("etilqs")), []);
  },
});

Deno.test("a worker cannot reach the GPU or other devices of the machine", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  assertEquals((await test.result({ op: "gpu" })).result, true);
});

const KNOWN_FILE = new URL("../kit/runtime_names.txt", import.meta.url);
const NAMES_TASK = `
import { builtinModules } from "node:module";
const found = {
  Deno: Object.getOwnPropertyNames(Deno),
  process: Object.getOwnPropertyNames(process),
  globalThis: Object.getOwnPropertyNames(globalThis),
  navigator: Object.getOwnPropertyNames(Object.getPrototypeOf(navigator)),
};
for (const name of builtinModules) {
  const full = name.startsWith("node:") ? name : "node:" + name;
  found[full] = Object.keys(process.getBuiltinModule(name) ?? {});
}
export const names = () => found;
`;

Deno.test("every name of the runtime is in the reviewed list", async () => {
  using folder = new TaskFolder({ "tasks.js": NAMES_TASK });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  const { result } = await test.result({ op: "names" });
  const known = new Map<string, Set<string>>();
  for (const line of Deno.readTextFileSync(KNOWN_FILE).split("\n")) {
    const [owner, ...names] = line.split(" ");
    if (owner && owner !== "#") known.set(owner, new Set([...known.get(owner) ?? [], ...names]));
  }
  const unknown = Object.entries(result as Record<string, string[]>).flatMap(([owner, names]) =>
    names.filter((name) => !known.get(owner)?.has(name)).map((name) => `${owner}.${name}`)
  );
  // Try each in a worker without permissions; refuse it in workers/realm/realm_doors.ts, or add it to the file.
  assertEquals(unknown, []);
});
