/** No task leaves a changed language or platform to the next task, and ordinary code works in a task. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestPool } from "../kit/test_pool.ts";

const TASKS = `
const evil = () => { throw new Error("spoilt"); };
/** Objects that a task tries to change, and the next task then checks. */
const THINGS = {
  "Array.prototype.push": () => Array.prototype,
  "Array.prototype.map": () => Array.prototype,
  "Object.keys": () => Object,
  "Object.prototype.toString": () => Object.prototype,
  "Function.prototype.call": () => Function.prototype,
  "String.prototype.slice": () => String.prototype,
  "JSON.stringify": () => JSON,
  "Math.floor": () => Math,
  "Reflect.get": () => Reflect,
  "Promise.prototype.then": () => Promise.prototype,
  "Promise.all": () => Promise,
  "Map.prototype.get": () => Map.prototype,
  "WeakMap.prototype.set": () => WeakMap.prototype,
  "RegExp.prototype.exec": () => RegExp.prototype,
  "RegExp.prototype.flags": () => RegExp.prototype,
  "Date.now": () => Date,
  "Error.prototype.toString": () => Error.prototype,
  "Error.prepareStackTrace": () => Error,
  "Error.captureStackTrace": () => Error,
  "Symbol.prototype.toString": () => Symbol.prototype,
  "BigInt.prototype.toString": () => BigInt.prototype,
  "Uint8Array.prototype.buffer": () => Object.getPrototypeOf(Uint8Array.prototype),
  "DataView.prototype.getInt8": () => DataView.prototype,
  "Atomics.load": () => Atomics,
  "Intl.NumberFormat": () => Intl,
  "ArrayIterator.prototype.next": () => Object.getPrototypeOf([].values()),
  "Iterator.prototype.map": () => Iterator.prototype,
  "Generator.prototype.next": () => Object.getPrototypeOf(function* () {}).prototype,
  "AsyncFunction.prototype.constructor": () => Object.getPrototypeOf(async () => {}),
  "EventTarget.prototype.dispatchEvent": () => EventTarget.prototype,
  "Event.prototype.preventDefault": () => Event.prototype,
  "AbortController.prototype.abort": () => AbortController.prototype,
  "URL.prototype.toString": () => URL.prototype,
  "Headers.prototype.get": () => Headers.prototype,
  "HeadersIterator.prototype.next": () => Object.getPrototypeOf(new Headers().values()),
  "Response.prototype.json": () => Response.prototype,
  "Request.prototype.clone": () => Request.prototype,
  "ReadableStream.prototype.getReader": () => ReadableStream.prototype,
  "TextEncoder.prototype.encode": () => TextEncoder.prototype,
  "WebSocket.prototype.send": () => WebSocket.prototype,
  "Buffer.from": () => Buffer,
  "Timeout.prototype.unref": () => Object.getPrototypeOf(process.getBuiltinModule("node:timers").setTimeout(() => {}, 0)),
  "console.log": () => console,
  "performance.now": () => performance,
  "crypto.randomUUID": () => crypto,
  "process.nextTick": () => process,
  "Deno.readTextFile": () => Deno,
  "Deno.errors.NotFound": () => Deno.errors,
  "globalThis.fetch": () => globalThis,
  "globalThis.setTimeout": () => globalThis,
  "globalThis.structuredClone": () => globalThis,
  "globalThis.Array": () => globalThis,
  "globalThis.TaskError": () => globalThis,
  "TaskError.prototype.toString": () => TaskError.prototype,
  "TaskContext.prototype.progress": (ctx) => Object.getPrototypeOf(ctx),
};
const nameOf = (thing) => thing.slice(thing.lastIndexOf(".") + 1);
const WAYS = {
  assign: (owner, name) => { owner[name] = evil; },
  define: (owner, name) => Object.defineProperty(owner, name, { value: evil, configurable: true }),
  getter: (owner, name) => Object.defineProperty(owner, name, { get: evil, configurable: true }),
  remove: (owner, name) => { delete owner[name]; },
  method: (owner, name) => { owner[name].call = evil; owner[name].constructor = evil; },
};
const describe = (owner, name) => {
  const { value, get } = Object.getOwnPropertyDescriptor(owner, name) ?? {};
  return value === evil || get === evil || value?.call === evil || get?.call === evil ? "spoilt"
    : Object.hasOwn(owner, name) ? "there" : name in owner ? "inherited" : "none";
};
export const things = () => Object.keys(THINGS);
export function spoil({ thing }, ctx) {
  const owner = THINGS[thing](ctx);
  for (const way of Object.values(WAYS)) {
    try { way(owner, nameOf(thing)); } catch { /* refused */ }
  }
  return "tried";
}
export const look = ({ thing }, ctx) => describe(THINGS[thing](ctx), nameOf(thing));

export const add_global = () => {
  globalThis.added = 1;
  globalThis[Symbol.for("added")] = 1;
  Object.defineProperty(globalThis, "defined", { value: 1, configurable: true });
};
export const add_object = () => { globalThis.registry ??= { of: "a package" }; Object.defineProperty(Reflect, "mine", { value: () => 1, configurable: true }); };
export const see_object = () => [globalThis.registry?.of, Reflect.mine?.()];
export const add_visibly = () => { Array.prototype.last = function () { return this.at(-1); }; return [1, 2].last(); };
export const see_visibly = () => { const seen = []; for (const key in [1]) seen.push(key); return seen; };
export const set_handlers = () => { globalThis.onerror = () => {}; Error.stackTraceLimit = 3; Error.prepareStackTrace = () => "mine"; };
export const see_handlers = () => [globalThis.onerror, Error.stackTraceLimit, new Error("x").stack.split("\\n")[0]];
export const see_globals = () => [typeof added, typeof defined, Symbol.for("added") in globalThis];
export const stay_global = () => void Object.defineProperty(globalThis, "stays", { value: 1 });
export const see_stay = () => typeof stays;

globalThis.cache = { hits: 0 };
export const hit_cache = () => ++globalThis.cache.hits;
export const replace_cache = () => { globalThis.cache = { hits: 100 }; return 100; };

/** Assignments that a plain read-only property would refuse. */
const USUAL = {
  error_name: () => { "use strict"; const e = new Error("a"); e.name = "N"; e.message = "m"; return String(e); },
  own_to_string: () => { const o = {}; o.toString = () => "mine"; return String(o); },
  own_method: () => { const list = []; list.push = (...of) => of.length; return list.push(1, 2); },
  own_then: async () => { const p = Promise.resolve(1); p.then = (done) => done("mine"); return await { then: p.then }; },
  old_class: () => {
    function Base() {}
    Base.prototype.toString = function () { return "base"; };
    function Sub() {}
    Sub.prototype = Object.create(Error.prototype);
    Sub.prototype.constructor = Sub;
    Sub.prototype.name = "Sub";
    return [String(new Base()), new Sub() instanceof Error, new Sub().constructor === Sub];
  },
  map_class: () => {
    function Sub() {}
    Sub.prototype = Object.create(Map.prototype);
    Sub.prototype.constructor = Sub;
    Sub.prototype.get = () => "mine";
    return new Sub().get();
  },
  function_property: () => { const f = () => 1; f.toString = () => "f"; f.call = 5; return [String(f), f.call]; },
  response: async () => { const r = new Response("{}"); r.json = () => Promise.resolve("mine"); return await r.json(); },
  keys: () => { const o = {}; o.constructor = 1; o.valueOf = 2; o.hasOwnProperty = 3; return Object.keys(o); },
  assigned: () => Object.assign({}, { toString: 1, constructor: 2 }).constructor,
  parsed: () => JSON.parse('{"toString":1,"__proto__":{"x":1}}').toString,
  stack_trace: () => {
    const before = Error.prepareStackTrace;
    Error.prepareStackTrace = (_error, sites) => sites;
    const sites = new Error().stack;
    Error.prepareStackTrace = before;
    return Array.isArray(sites) && typeof new Error().stack === "string";
  },
  stack_limit: () => { Error.stackTraceLimit = 1; return new Error().stack.split("\\n").length <= 3; },
  symbol: () => { const o = {}; o[Symbol.toStringTag] = "T"; return String(o); },
  own_iterator: () => {
    const mine = Object.create(Iterator.prototype);
    mine[Symbol.iterator] = () => [1, 2].values();
    return [...mine];
  },
  wrapped_exit: () => {
    const { exit, chdir } = process;
    process.chdir = (path) => chdir(path);
    Object.setPrototypeOf(process.chdir, chdir);
    process.exit = (code) => exit(code);
    try { process.exit(1); } catch (error) { return error.message; }
  },
  emitter: () => {
    const { EventEmitter } = process.getBuiltinModule("node:events");
    const emitter = new EventEmitter();
    let heard = 0;
    emitter.on("x", () => heard++);
    emitter.emit("x");
    emitter.emit = () => "mine";
    return [heard, emitter.emit()];
  },
  descriptors: () => [Map.prototype.get, Array.prototype.push, Promise.prototype.then, Object.prototype.toString].every((method, at) =>
    Object.getOwnPropertyDescriptor([Map, Array, Promise, Object][at].prototype, method.name).value === method),
  open: () => [Object, Array, Promise, Event, Function, Error].every((made) => Object.isExtensible(made) && Object.isExtensible(made.prototype)),
  old_subs: () => [Array, Promise, Uint8Array, Map, Error, Date].every((Base) => {
    function Sub() {}
    Sub.prototype = Object.create(Base.prototype);
    Sub.prototype.constructor = Sub;
    return Sub.prototype.constructor === Sub;
  }),
  subclass: async () => {
    class List extends Array { static from() { return "mine"; } sum() { return this.reduce((a, b) => a + b, 0); } }
    class Later extends Promise { then(done, failed) { return super.then(done && ((value) => done(value + 1)), failed); } }
    class Fault extends TypeError { name = "Fault"; }
    return [List.from(), List.of(1, 2).map((n) => n * 2).sum(), await Later.resolve(1), String(new Fault("x"))];
  },
  own_symbols: () => {
    const list = [1];
    list[Symbol.iterator] = function* () { yield 9; };
    const map = new Map();
    map[Symbol.toStringTag] = "T";
    return [[...list], String(map)];
  },
  es5_extends: () => {
    function E() { this.constructor = L; }
    function L() { return Reflect.construct(Array, [], L); }
    E.prototype = Array.prototype;
    L.prototype = new E();
    return new L().length;
  },
  console_patch: () => { const { log } = console; console.log = () => {}; console.log("unheard"); console.log = log; return true; },
};
export const usual = async ({ what }) => await USUAL[what]();
export const usual_names = () => Object.keys(USUAL);
`;

const USUAL_RESULTS: Record<string, unknown> = {
  error_name: "N: m",
  own_to_string: "mine",
  own_method: 2,
  own_then: "mine",
  old_class: ["base", true, true],
  map_class: "mine",
  function_property: ["f", 5],
  response: "mine",
  keys: ["constructor", "valueOf", "hasOwnProperty"],
  assigned: 2,
  parsed: 1,
  stack_trace: true,
  stack_limit: true,
  symbol: "[object T]",
  own_iterator: [1, 2],
  wrapped_exit: "a task cannot end its worker; return or throw instead",
  emitter: [1, "mine"],
  descriptors: true,
  open: true,
  old_subs: true,
  subclass: ["mine", 6, 2, "Fault: x"],
  own_symbols: [[9], "[object T]"],
  es5_extends: 0,
  console_patch: true,
};

/** Each changes a built-in object and uses it, in a worker of its own. */
const CHANGES = `
const CHANGES = {
  tag: () => { Object.prototype.toString = () => "mine"; return {}.toString(); },
  prototype: () => { Object.prototype.should = 1; Array.prototype.last = function () { return this.at(-1); }; return [{}.should, [1, 2].last()]; },
  then: async () => {
    const { then } = Promise.prototype;
    let calls = 0;
    Promise.prototype.then = function (...args) { calls++; return then.apply(this, args); };
    await Promise.all([Promise.resolve(1)]);
    return calls > 0;
  },
  fetch: () => { globalThis.fetch = () => "mine"; return fetch(); },
  clock: () => { globalThis.Date = class extends Date { static now() { return 5; } }; return Date.now(); },
  metadata: () => { Reflect.defineMetadata ??= () => "metadata"; return Reflect.defineMetadata(); },
  json: () => { JSON.stringify = () => "mine"; return JSON.stringify(1); },
  to_json: () => { BigInt.prototype.toJSON = function () { return String(this); }; return JSON.stringify({ n: 1n }); },
  inherited: () => { Object.prototype.toJSON = () => "mine"; Object.prototype.error = "mine"; throw new Error("as it should"); },
  event: () => { Event.prototype.mine = 1; EventTarget.prototype.mine = 2; return [new Event("x").mine, new AbortController().signal.mine]; },
  freeze: () => { Object.freeze(Array.prototype); return Object.isFrozen(Array.prototype); },
};
export const change = ({ what }) => CHANGES[what]();
export const names = () => Object.keys(CHANGES);
export const look = () => [
  {}.toString(), {}.should, [].last, typeof fetch, Date.now() > 5, JSON.stringify({ n: 1 }), BigInt.prototype.toJSON, {}.toJSON, {}.error,
  Promise.prototype.then.length, Event.prototype.mine, Object.isFrozen(Array.prototype),
].map(String);
`;
const CHANGED: Record<string, unknown> = {
  tag: "mine",
  prototype: [1, 2],
  then: true,
  fetch: "mine",
  clock: 5,
  metadata: "metadata",
  json: "mine",
  to_json: '{"n":"1"}',
  inherited: "as it should",
  event: [1, 2],
  freeze: true,
};

function newPool(folder: TaskFolder): TestPool {
  return new TestPool(1, { modules: folder.modules("tasks.js") });
}

Deno.test("changes of a task to built-in objects are undone for the next task", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = newPool(folder);
  const { result: things } = await test.result({ op: "things" });
  for (const thing of things) {
    const before = await test.result({ op: "look", thing });
    assertMatch(before.result, /there|inherited|none/, thing);
    assertEquals((await test.result({ op: "spoil", thing })).result, "tried", thing);
    assertEquals((await test.result({ op: "look", thing })).result, before.result, thing);
    assertEquals((await test.result({ op: "square", n: 5 })).result, 25, thing);
  }
  assertMatch(test.strayLines.join("\n"), /a task of spoil has changed Array\.prototype\.push/);
});

Deno.test("a worker without changes is kept, even if a task read every property", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = newPool(folder);
  for (let i = 0; i < 3; i++) {
    const { result: names } = await test.result({ op: "usual_names" });
    for (const what of names) await test.result({ op: "usual", what });
    for (const thing of (await test.result({ op: "things" })).result) {
      await test.result({ op: "look", thing });
    }
  }
  assertEquals([test.workersStarted, test.strayLines], [1, []]);
});

Deno.test("changes are undone between tasks of one batch too", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = newPool(folder);
  const thing = "RegExp.prototype.exec";
  const tasks = Array.from({ length: 50 }, () => [{ op: "spoil", thing }, { op: "look", thing }]);
  const leases = test.run(...tasks.flat());
  const results = await Promise.all(leases.map((lease) => test.endOf(lease)));
  assertEquals(new Set(results.map(({ result }) => result)), new Set(["tried", "there"]));
});

Deno.test("globals of a task are removed after it, and globals of the files stay", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = newPool(folder);
  await test.result({ op: "add_global" });
  const seen = await test.result({ op: "see_globals" });
  assertEquals(seen.result, ["undefined", "undefined", false]);
  const hits: unknown[] = [];
  for (const op of ["hit_cache", "hit_cache", "replace_cache", "hit_cache"]) {
    hits.push((await test.result({ op })).result);
  }
  assertEquals(hits, [1, 2, 100, 101]);
});

Deno.test("a lasting global that a package adds during a run is reported once, and is not enumerable", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = newPool(folder);
  for (let i = 0; i < 3; i++) {
    await test.result({ op: "add_object" });
    assertEquals((await test.result({ op: "see_object" })).result, ["a package", 1]);
  }
  assertEquals(test.workersStarted, 1);
  assertEquals(test.strayLines.map((line) => line.split(",")[0]), [
    "a task of add_object has added Reflect.mine and 1 more",
  ]);
  assertEquals((await test.result({ op: "add_visibly" })).result, 2);
  assertEquals((await test.result({ op: "see_visibly" })).result, ["0"]);
  assertEquals(test.workersStarted, 2);
});

Deno.test("settings that a task changes are restored", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = newPool(folder);
  const before = await test.result({ op: "see_handlers" });
  await test.result({ op: "set_handlers" });
  assertEquals((await test.result({ op: "see_handlers" })).result, before.result);
  assertEquals(before.result[2], "Error: x");
  assertEquals(test.workersStarted, 1);
});

Deno.test("a worker that cannot be restored is replaced", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = newPool(folder);
  const leases = test.run({ op: "stay_global" }, { op: "see_stay" }, { op: "see_stay" });
  const ends = await Promise.all(leases.map((lease) => test.endOf(lease)));
  assertEquals(ends.map(({ result }) => result), [null, "undefined", "undefined"]);
  assertEquals([test.workersStarted, test.spoiltTimes], [2, 0]);
});

Deno.test("polyfills, mocks, subclasses and added members work in a task", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = newPool(folder);
  const { result: names } = await test.result({ op: "usual_names" });
  const results: Record<string, unknown> = {};
  for (const what of names) {
    const { result, error } = await test.result({ op: "usual", what });
    results[what] = error ?? result;
  }
  assertEquals(results, USUAL_RESULTS);
});

Deno.test("files can extend the language while they load", async () => {
  using folder = new TaskFolder({
    "tasks.js": `
      Array.prototype.last = function () { return this[this.length - 1]; };
      globalThis.fetch = () => "mine";
      Promise.mine = 1;
      export const last = () => [[1, 2, 3].last(), fetch(), Promise.mine];
    `,
  });
  using test = newPool(folder);
  assertEquals((await test.result({ op: "last" })).result, [3, "mine", 1]);
});

Deno.test("a task can change built-in objects, and the next task finds the originals", async () => {
  using folder = new TaskFolder({ "tasks.js": CHANGES });
  using test = newPool(folder);
  const before = await test.result({ op: "look" });
  for (const what of (await test.result({ op: "names" })).result) {
    const { result, error } = await test.result({ op: "change", what });
    assertEquals(error?.message ?? result, CHANGED[what], what);
    assertEquals((await test.result({ op: "look" })).result, before.result, what);
  }
  assert(test.workersStarted > 5, `${test.workersStarted} workers`);
});
