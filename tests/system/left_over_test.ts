/** Timers, listeners and errors that a task leaves behind end with it, or fail no other task. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe } from "../kit/sd_process.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestPool } from "../kit/test_pool.ts";

const TASKS = `
import { setInterval as nodeInterval, setImmediate as nodeImmediate, setTimeout as nodeTimeout } from "node:timers";
import { setTimeout as promisedTimeout } from "node:timers/promises";
import { AsyncLocalStorage } from "node:async_hooks";

/** Belongs to the file, not to a task. */
const counts = {};
const count = (name) => { counts[name] = (counts[name] ?? 0) + 1; };
setInterval(() => count("of the file"), 5);
const asTheFile = AsyncLocalStorage.snapshot();

const LEFT = {
  timeout: () => { setTimeout(() => count("timeout"), 20); },
  interval: () => { setInterval(() => count("interval"), 5); },
  immediate: () => { setImmediate(() => count("immediate")); },
  node_timeout: () => { nodeTimeout(() => count("node_timeout"), 20); },
  node_interval: () => { nodeInterval(() => count("node_interval"), 5); },
  promised: () => { promisedTimeout(20).then(() => count("promised")); },
  refreshed: async () => {
    const timer = nodeTimeout(() => count("refreshed"), 1);
    await new Promise((resolve) => setTimeout(resolve, 10));
    counts.refreshed = 0;
    timer.refresh();
  },
  loop: () => { (async () => { for (;;) { count("loop"); await new Promise((r) => setTimeout(r, 5)); } })(); counts.loop = 0; },
  kept: () => { asTheFile(() => setInterval(() => count("kept"), 5)); },
};
export const leave = ({ what }) => LEFT[what]();
export const left = () => Object.keys(LEFT);
export const counted = ({ what }) => counts[what] ?? 0;
export const wait = ({ ms }, ctx) => new Promise((resolve) => setTimeout(() => resolve(ms), ms));
export const clear_many = async () => {
  for (let i = 0; i < 1000; i++) clearTimeout(setTimeout(() => count("cleared"), 1));
  await new Promise((resolve) => setTimeout(resolve, 5));
  return counts.cleared ?? 0;
};
export const unref = () => { setTimeout(() => {}, 1000).unref?.(); return true; };

export const listen = () => {
  addEventListener("tasks", () => count("heard"));
  EventTarget.prototype.addEventListener.call(globalThis, "tasks", () => count("heard"));
  process.on("tasks", () => count("heard"));
  process.once("tasks", () => count("heard"));
};
export const speak = () => {
  dispatchEvent(new Event("tasks"));
  process.emit("tasks");
  return counts.heard ?? 0;
};

/** Errors of the running task. */
const FAILS = {
  timer: () => { setTimeout(() => { throw new TypeError("in a timer"); }, 5); },
  rejection: () => { Promise.reject(new TypeError("nobody's")); },
  async: () => { (async () => { await null; throw new TypeError("not awaited"); })(); },
  microtask: () => { queueMicrotask(() => { throw new TypeError("in a microtask"); }); },
  tick: () => { process.nextTick(() => { throw new TypeError("in a tick"); }); },
  immediate: () => { setImmediate(() => { throw new TypeError("in an immediate"); }); },
  listener: () => {
    const target = new EventTarget();
    target.addEventListener("x", () => { throw new TypeError("in a listener"); });
    target.dispatchEvent(new Event("x"));
  },
  reported: () => { reportError(new TypeError("reported")); },
};
export const fails = () => Object.keys(FAILS);
export const fail_beside = ({ what }) => { FAILS[what](); return new Promise(() => {}); };
export const fail_after = ({ what }) => { FAILS[what](); return "well"; };
export const fail_once_over = ({ ms }) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { port1.close(); throw new TypeError("too late"); };
  asTheFile(() => setTimeout(() => port2.postMessage(1), ms));
};
export const fail_on_abort = (_args, { signal }) => {
  signal.addEventListener("abort", () => { throw new TypeError("in abort"); });
  return new Promise(() => {});
};
`;

Deno.test("timers of a task are cleared when it ends, and timers of the file go on", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  const { result: names } = await test.result({ op: "left" });
  for (const what of names) {
    await test.result({ op: "leave", what });
    await test.result({ op: "wait", ms: 60 });
    const { result } = await test.result({ op: "counted", what });
    assertEquals(result > 0, what === "kept", `${what}: ${result}`);
  }
  assert((await test.result({ op: "counted", what: "of the file" })).result > 0);
  assertEquals((await test.result({ op: "clear_many" })).result, 0);
  assertEquals(test.workersStarted, 1);
});

Deno.test("listeners of a task on shared objects are removed after it", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  await test.result({ op: "listen" });
  assertEquals((await test.result({ op: "speak" })).result, 0);
});

/** Older runtimes cannot attribute an unhandled rejection to a task. */
const TELLS_OWNERS = Number(Deno.version.deno.split(".")[1]) >= 9;

Deno.test("an error that no handler catches fails its own task, and no other", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  const { result: names } = await test.result({ op: "fails" });
  for (const what of names) {
    const isRejection = what === "rejection" || what === "async";
    const beside = await test.result({ op: "fail_beside", what, timeout: 400 });
    if (isRejection && !TELLS_OWNERS) assertEquals(beside.error.code, "timeout");
    else {
      assertEquals(beside.error.code, "task_error", what);
      assertMatch(beside.error.message, /^TypeError: /, what);
    }
    assertEquals((await test.result({ op: "fail_after", what })).result, "well", what);
    assertEquals((await test.result({ op: "wait", ms: 10 })).result, 10, what);
  }
  const [late, innocent] = test.run({ op: "fail_once_over", ms: 20 }, { op: "wait", ms: 100 });
  assertEquals((await test.endOf(late!)).result, null);
  assertEquals((await test.endOf(innocent!)).result, 100);
  assertMatch(
    test.strayLines.at(-1) ?? "",
    /something that the task task-\d+ \(fail_once_over\) has left behind failed: TypeError: too/,
  );
  assertEquals(test.workersStarted, TELLS_OWNERS ? 1 : 3);
});

Deno.test("a task that throws when it is cancelled is stopped", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  const { error } = await test.result({ op: "fail_on_abort", timeout: 50 });
  assertEquals(error.code, "timeout");
  assertEquals((await test.result({ op: "wait", ms: 1 })).result, 1);
});

const SPINNING = `
const spin = () => { for (;;); };
const LEFT = {
  microtasks: () => { const again = () => queueMicrotask(again); again(); },
  promises: () => { const again = () => Promise.resolve().then(again); again(); },
  ticks: () => { const again = () => process.nextTick(again); again(); },
  message: () => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = spin;
    port2.postMessage(1);
  },
};
export const leave = ({ what }) => { LEFT[what](); return what; };
export const leave_async = async ({ what }) => { await null; LEFT[what](); return what; };
export const quick = ({ n }) => n;
export const slow = ({ n }) => new Promise((resolve) => setTimeout(() => resolve(n), 20));
`;

Deno.test("a task that keeps its thread busy after its return fails no other, and its process is replaced", async () => {
  using folder = new TaskFolder({ "tasks.js": SPINNING });
  await using serve = await SdServe.start([folder.file("tasks.js"), "--workers", "1"]);
  using client = await RawClient.connect(serve.address);
  for (const op of ["leave", "leave_async"]) {
    for (const what of ["microtasks", "promises", "ticks", "message"]) {
      const tasks = [
        { op: "quick", n: 1 },
        { op, what },
        ...Array.from({ length: 10 }, (_, n) => ({ op: n % 2 ? "slow" : "quick", n })),
      ].map((task, ref) => ({ ...task, ref, task: { timeout: 3000 } }));
      await client.sendObjects(...tasks);
      const ends = new Map<number, unknown>();
      while (ends.size < tasks.length) {
        const reply = await client.object();
        if (reply.status === "queued") continue;
        assertEquals(reply.status, "completed", `${op} ${what}: ${JSON.stringify(reply)}`);
        ends.set(reply.ref, reply.result);
      }
      assertEquals([ends.get(1), ends.get(11)], [what, 9]);
    }
  }
  assert(serve.lines.some((line) => line.includes("never ends")), serve.lines.join("\n"));
});
