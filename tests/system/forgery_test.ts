/** Task code cannot reach the channel of its worker to the pool, and the pool checks every report of a worker. */

import { assertEquals, assertMatch } from "@std/assert";
import { FORGERIES } from "../kit/forging_worker.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestPool } from "../kit/test_pool.ts";

/** Loads before all tasks, and replaces every replaceable function by a spy. */
const SPY = `
const { apply, construct, ownKeys } = Reflect;
const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf } = Object;
const isA = Function.prototype.call.bind(Object.prototype.isPrototypeOf);
const Port = MessagePort.prototype, Shared = SharedArrayBuffer.prototype, Ints = Int32Array.prototype;
const bufferOf = getOwnPropertyDescriptor(getPrototypeOf(Ints), "buffer").get;
/** Members of the messages on the port. */
const ORDERS = ["lines", "share", "end", "stop", "noted", "strayed"];

const loot = new Set();
let spies = 0;
let isNoting = false;
function note(value, where) {
  if (isNoting || value === null || typeof value !== "object") return;
  isNoting = true;
  try {
    if (isA(Port, value)) loot.add("a port by " + where);
    else if (isA(Shared, value)) loot.add("a buffer by " + where);
    else if (ArrayBuffer.isView(value) && isA(Shared, apply(bufferOf, value, []))) loot.add("shared bytes by " + where);
    else for (const name of ORDERS) if (Object.hasOwn(value, name)) loot.add(name + " by " + where);
  } finally {
    isNoting = false;
  }
}
function spied(original, where) {
  spies++;
  return new Proxy(original, {
    apply(target, self, args) {
      note(self, where);
      for (let i = 0; i < args.length; i++) note(args[i], where);
      const result = apply(target, self, args);
      note(result, where);
      return result;
    },
    construct(target, args, made) {
      for (let i = 0; i < args.length; i++) note(args[i], where);
      const result = construct(target, args, made);
      note(result, where);
      return result;
    },
  });
}
const seen = new Set([globalThis]);
function spyOn(owner, path) {
  if (seen.has(owner)) return;
  seen.add(owner);
  for (const name of ownKeys(owner)) {
    const where = path + "." + String(name);
    const descriptor = getOwnPropertyDescriptor(owner, name);
    if (!descriptor.configurable || name === "prototype" || name === "constructor") continue;
    const { value, get, set } = descriptor;
    try {
      if (typeof value === "function") defineProperty(owner, name, { ...descriptor, value: spied(value, where) });
      else if (get) defineProperty(owner, name, { ...descriptor, get: spied(get, where), ...(set && { set: spied(set, where) }) });
    } catch { /* it does not let itself be replaced */ }
  }
}
const hidden = [[].values(), new Map().values(), new Set().values(), function* () {}, async function () {}, Uint8Array.prototype];
const SKIP = /^(GPU|process$|console$|self$|globalThis$|global$|caches|on)/;
const entries = [];
for (const name of ownKeys(globalThis)) {
  if (SKIP.test(String(name))) continue;
  let value;
  try { value = globalThis[name]; } catch { continue; }
  if (value !== null && (typeof value === "object" || typeof value === "function")) entries.push([String(name), value]);
}
for (const one of hidden) entries.push(["a hidden prototype", getPrototypeOf(one)]);
const node = ["async_hooks", "timers", "events", "worker_threads", "buffer", "util"];
for (const name of node) entries.push([name, process.getBuiltinModule("node:" + name)]);
entries.push(["AsyncLocalStorage", process.getBuiltinModule("node:async_hooks").AsyncLocalStorage]);
for (const [name, value] of entries) {
  if (typeof value === "function" && value.prototype) spyOn(value.prototype, name + ".prototype");
  spyOn(value, name);
}
// Last, the functions through which the spies themselves are called.
spyOn(Function.prototype, "Function.prototype");
spyOn(Object.prototype, "Object.prototype");
for (const name of ["lines", "seq", "done", "bubbles", "data", "ports", "then", "toJSON"]) {
  for (const owner of [Object.prototype, MessageEvent.prototype, Event.prototype]) {
    try {
      defineProperty(owner, name, { get() { note(this, name); }, set(value) { note(this, name); note(value, name); } });
    } catch { /* refused */ }
  }
}
try { Object.setPrototypeOf(MessageEvent, spied(Event, "MessageEvent")); } catch { /* refused */ }
for (const name of ownKeys(globalThis)) {
  const descriptor = getOwnPropertyDescriptor(globalThis, name);
  if (SKIP.test(String(name)) || !descriptor.configurable || typeof descriptor.value !== "function") continue;
  try { defineProperty(globalThis, name, { ...descriptor, value: spied(descriptor.value, String(name)) }); } catch { /* refused */ }
}
export const loot_so_far = () => ({ spies, loot: [...loot] });
`;

const TASKS = `
export const add = ({ n }) => n + 1;
export const add_later = async ({ n }) => { await new Promise((r) => setTimeout(r, 1)); return n + 1; };
export const fail = () => { throw new TypeError("as it should"); };
export const large = () => "x".repeat(100_000);
export const long = () => "ä".repeat(500);
export const stop_me = (_args, ctx) => new Promise((_, reject) => ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason)));
export const tell = async (_args, ctx) => { ctx.progress(0.5, "half"); await new Promise((r) => setTimeout(r, 120)); return ctx.after; };
`;

Deno.test("spies on all replaceable functions see neither the port, nor the shared bytes, nor orders", async () => {
  using folder = new TaskFolder({ "a_spy.js": SPY, "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("a_spy.js", "tasks.js") });
  for (let n = 0; n < 3; n++) {
    assertEquals((await test.result({ op: "add", n })).result, n + 1);
    assertEquals((await test.result({ op: "add_later", n })).result, n + 1);
    assertEquals((await test.result({ op: "fail" })).error.message, "TypeError: as it should");
    assertEquals((await test.result({ op: "large" })).result.length, 100_000);
    assertEquals((await test.result({ op: "long" })).result.length, 500);
    assertEquals((await test.result({ op: "stop_me", timeout: 50 })).error.code, "timeout");
    assertEquals((await test.result({ op: "tell" })).result, {});
    assertEquals((await test.result({ op: "square", n: 3 })).result, 9);
  }
  const { result } = await test.result({ op: "loot_so_far" });
  assertEquals(result.loot, []);
  assertEquals(result.spies > 1000, true, `${result.spies} spies`);
  assertEquals([test.workersStarted, test.spoiltTimes], [1, 0]);
});

const HONEST = Array.from({ length: 40 }, (_, n) => ({ op: "honest", n }));

Deno.test("a worker with an impossible report is replaced and its reports dropped; its neighbours go on", async () => {
  for (const how of FORGERIES) {
    using test = new TestPool(2, { modules: [], entry: "./forging_worker.ts" });
    const [warm] = test.run({ op: "honest", n: 1 });
    await test.endOf(warm!);
    const [forged, ...honest] = test.run({ op: "forge", how }, ...HONEST);
    const { error } = await test.endOf(forged!);
    assertEquals(error?.code, "worker_crashed", how);
    assertMatch(error.message, /interfered with its worker/);
    for (const [n, lease] of honest.entries()) {
      assertEquals((await test.endOf(lease)).result, n, how);
    }
    const ends = test.reports.filter(({ lease }) => lease !== undefined);
    assertEquals(ends.length, HONEST.length + 2, `${how}: ${JSON.stringify(ends)}`);
    assertEquals(test.workersStarted, 3, how);
  }
});
