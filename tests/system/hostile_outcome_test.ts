/** Any return value and any error of a handler ends its task with the right code, and the next task runs right. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestPool } from "../kit/test_pool.ts";

const TASKS = `
const bomb = () => { throw new Error("bomb"); };
const cycle = {}; cycle.self = cycle;
const revoked = () => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; };
const RETURNS = {
  undefined: () => undefined,
  null: () => null,
  nan: () => NaN,
  function: () => () => 1,
  symbol: () => Symbol("s"),
  bigint: () => 1n,
  deep_bigint: () => ({ a: [1n] }),
  cycle: () => cycle,
  getter_bomb: () => ({ get a() { return bomb(); } }),
  to_json_bomb: () => ({ toJSON: bomb }),
  to_json_nothing: () => ({ toJSON: () => undefined }),
  to_json_itself: () => { const o = { toJSON: () => o, a: 1 }; return o; },
  then_bomb: () => ({ get then() { return bomb(); } }),
  then_throws: () => ({ then: bomb }),
  then_twice: () => ({ then(done, failed) { done(1); done(2); failed(new Error("late")); throw new Error("later"); } }),
  then_itself: () => ({ then(done) { done({ then(again) { again("deep"); } }); } }),
  then_rejects_undefined: () => ({ then(_done, failed) { failed(undefined); } }),
  revoked: () => revoked(),
  proxy_bombs: () => new Proxy({}, { get: bomb, ownKeys: bomb, has: bomb, getPrototypeOf: bomb }),
  proxy_keys: () => new Proxy({}, { ownKeys: () => ["a"], getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: 1 }), get: (_target, name) => name === "then" || name === "toJSON" ? undefined : 7 }),
  context: (_args, ctx) => ctx,
  global: () => Object.keys(globalThis).length > 0 && globalThis,
  map: () => new Map([[1, 2]]),
  date: () => new Date(0),
  bytes: () => new Uint8Array(3),
  buffer: () => new ArrayBuffer(3),
  boxed: () => new String("boxed"),
  lone_surrogate: () => "\\ud800",
  newlines: () => "a\\nb\\u2028",
  too_large: () => "x".repeat(2_000_000),
  huge: () => "x".repeat(2 ** 29 - 24),
  huge_in_object: () => ({ a: "x".repeat(2 ** 28), b: "y".repeat(2 ** 28) }),
  deep: () => { let deep = 1; for (let i = 0; i < 100_000; i++) deep = [deep]; return deep; },
  sparse: () => Array(1_000_000),
  foreign_promise: () => { class Mine extends Promise {} return Mine.resolve("mine"); },
};
const THROWS = {
  undefined: () => undefined,
  null: () => null,
  number: () => 5,
  text: () => "text",
  symbol: () => Symbol("s"),
  function: () => bomb,
  bigint: () => 1n,
  cycle: () => cycle,
  revoked: () => revoked(),
  proxy_bombs: () => new Proxy({}, { get: bomb, getPrototypeOf: bomb, ownKeys: bomb }),
  message_bomb: () => Object.defineProperty(new Error("x"), "message", { get: bomb }),
  name_bomb: () => Object.defineProperty(new Error("x"), "name", { get: bomb }),
  name_object: () => Object.assign(new Error("x"), { name: { toString: bomb } }),
  message_object: () => Object.defineProperty(new Error(), "message", { value: { toString: bomb } }),
  cause_bomb: () => Object.defineProperty(new Error("with a cause"), "cause", { get: bomb }),
  stack_bomb: () => Object.defineProperty(new Error("with a stack"), "stack", { get: bomb }),
  retry_bomb: () => Object.defineProperty(new Error("with retry"), "retry", { get: bomb }),
  code: () => Object.assign(new Error("cheat"), { code: "worker_crashed", lease: 1, result: 1 }),
  promise: () => Promise.resolve(1),
  huge: () => new Error("m".repeat(2 ** 28)),
  multiline: () => new Error("a\\nb\\n{\\"lease\\":1}"),
  overflow: () => { const f = () => f(); return f(); },
  context_error: (ctx) => ctx,
};
export const return_it = ({ what }, ctx) => RETURNS[what]({}, ctx);
export const return_later = async ({ what }, ctx) => { await null; return RETURNS[what]({}, ctx); };
export const throw_it = ({ what }, ctx) => { throw THROWS[what](ctx); };
export const reject_it = async ({ what }, ctx) => { await null; throw THROWS[what](ctx); };
export const all = () => [Object.keys(RETURNS), Object.keys(THROWS)];
// Long enough for the worker to be replaced, and no longer: only the end of the test process would stop it.
const spin = () => { for (const end = performance.now() + 1500; performance.now() < end;); };
export const spin_in_then = () => ({ get then() { return spin(); } });
export const spin_in_json = () => ({ toJSON() { return spin(); } });
export const spin_in_message = () => { throw Object.defineProperty(new Error(), "message", { get() { return spin(); } }); };
export const never = () => ({ then() {} });
export const sane = ({ n }) => ({ n });
`;

/** The results of returnable values; all others are `bad_result`, or `task_error` if `then` threw. */
const RESULTS: Record<string, unknown> = {
  undefined: null,
  null: null,
  to_json_itself: { a: 1 },
  then_twice: 1,
  then_itself: "deep",
  proxy_keys: { a: 7 },
  context: {},
  map: {},
  date: "1970-01-01T00:00:00.000Z",
  bytes: { 0: 0, 1: 0, 2: 0 },
  buffer: {},
  boxed: "boxed",
  lone_surrogate: "\ud800",
  newlines: "a\nb\u2028",
  foreign_promise: "mine",
};
const THROWING_THEN = [
  "then_bomb",
  "then_throws",
  "then_rejects_undefined",
  "revoked",
  "proxy_bombs",
];

async function checkSane(test: TestPool, n: number, what: string): Promise<void> {
  assertEquals((await test.result({ op: "sane", n })).result, { n }, `after ${what}`);
  assertEquals((await test.result({ op: "square", n })).result, n * n, `after ${what}`);
}

Deno.test("any return value of a handler is a result, or is refused with the reason", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  const [returns] = (await test.result({ op: "all" })).result;
  for (const [n, what] of returns.entries()) {
    for (const op of ["return_it", "return_later"]) {
      const { result, error } = await test.result({ op, what });
      const name = `${op} ${what}`;
      if (what in RESULTS) assertEquals(error ?? result, RESULTS[what], name);
      // Older runtimes run out of stack.
      else if (what === "deep") assertEquals(error?.code ?? "bad_result", "bad_result", name);
      else {
        const code = THROWING_THEN.includes(what) ? "task_error" : "bad_result";
        assertEquals(
          error?.code,
          code,
          `${name}: ${JSON.stringify(result ?? error)?.slice(0, 200)}`,
        );
        assert(error.message.length < 10_000, name);
      }
    }
    await checkSane(test, n, what);
  }
  // A worker that is left with much memory is replaced, the process is not.
  assertEquals(test.spoiltTimes, 0);
});

Deno.test("any value that a handler throws becomes an error with a message", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  const [, throws] = (await test.result({ op: "all" })).result;
  for (const [n, what] of throws.entries()) {
    for (const op of ["throw_it", "reject_it"]) {
      const report = await test.result({ op, what });
      const name = `${op} ${what}`;
      assertEquals(report.error?.code, "task_error", name);
      assert(report.error.message.length > 0 && report.error.message.length <= 8192, name);
      assertEquals(Object.keys(report).sort(), ["error", "lease"], name);
    }
    await checkSane(test, n, what);
  }
  assertEquals([test.workersStarted, test.spoiltTimes], [1, 0]);
});

Deno.test("a handler whose outcome can never be read is stopped at its limit", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  for (const op of ["spin_in_then", "spin_in_json", "spin_in_message"]) {
    const test = new TestPool(1, { modules: folder.modules("tasks.js") });
    const [lease] = test.run({ op, timeout: 100 });
    await test.until(() => test.stuckTasks.length > 0);
    assertEquals(test.stuckTasks, [[lease, "timeout"]]);
    test.pool.stop();
  }
  using test = new TestPool(1, { modules: folder.modules("tasks.js") });
  const { error } = await test.result({ op: "never", timeout: 100 });
  assertStringIncludes(error.message, "stopped after 100 ms");
  await checkSane(test, 1, "never");
});
