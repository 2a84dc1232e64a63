// deno-lint-ignore-file no-console -- a task prints; what becomes of it is what is tested
/**
 * Task code that does what no decent task does: one op for every behaviour in hazards that task code was
 * ever seen with, and the good ones that must not notice.
 */

const tick = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// The good: each would tell if anything of its worker had been spoilt.

export function good({ n }) {
  const list = [];
  for (let i = 0; i < 10; i++) list.push(n + i);
  const text = JSON.stringify({ list, date: new Date(n).toISOString() });
  const { list: again } = JSON.parse(text);
  return again.map((each) => each * 2).filter((each) => each % 4 === 0).reduce((a, b) => a + b, 0);
}

export async function good_async({ n }) {
  const parts = await Promise.all([n, n + 1].map(async (each) => {
    await tick(1);
    return new Map([[each, String(each)]]).get(each);
  }));
  return parts.join("-");
}

// Never ends.

export function spin() {
  for (;;);
}
export function wait() {
  return new Promise(() => {});
}
export async function spin_microtasks() {
  for (;;) await null;
}
export function spin_in_regexp() {
  return /^(a+)+$/.test("a".repeat(60) + "!");
}

// Takes memory.

export function heap() {
  const held = [];
  for (;;) held.push(new Array(10_000).fill(held.length));
}
export function buffers() {
  const held = [];
  for (;;) held.push(new Uint8Array(8 * 1024 * 1024).fill(1));
}
export async function slow_heap() {
  const held = [];
  for (;;) {
    held.push(new Array(200_000).fill(held.length));
    await tick(1);
  }
}

// Ends what is not its own.

export function exit_deno() {
  Deno.exit(0);
}
export async function exit_process() {
  const { default: process } = await import("node:process");
  process.exit(0);
}
export function close_worker() {
  self.close();
}
export function kill() {
  Deno.kill(Deno.pid, "SIGKILL");
}

// Throws and returns what nobody expects.

export function throw_undefined() {
  throw undefined;
}
export function throw_bomb() {
  throw new Proxy(new Error("bomb"), {
    get() {
      throw new Error("a bomb in the error");
    },
    getPrototypeOf() {
      throw new Error("a bomb in its prototype");
    },
  });
}
export function return_function() {
  return () => 1;
}
export function return_cycle() {
  const cycle = {};
  cycle.cycle = cycle;
  return cycle;
}
export function return_bigint() {
  return { n: 1n };
}
export function return_much() {
  return "x".repeat(100 * 1024 * 1024);
}
export function return_never() {
  return { then() {} };
}
export function return_twice() {
  return {
    then(done, fail) {
      done("once");
      done("twice");
      fail(new Error("and failed"));
    },
  };
}
export function return_json_bomb() {
  return {
    toJSON() {
      throw new Error("toJSON bomb");
    },
  };
}

// Speaks for the pool.

export function forge() {
  for (const lease of [1, 2, 3, 50, 100, 1000]) {
    self.postMessage({ lease, result: "forged" });
    self.postMessage({ done: lease, end: 1000, line: `{"lease":${lease},"result":"forged"}` });
    console.log(`{"lease":${lease},"result":"forged"}`);
  }
  self.dispatchEvent(new MessageEvent("message", { data: { table: null, workers: 1, row: 0 } }));
  return "forged nothing";
}

// Leaves things behind.

export function overwrite() {
  const bad = () => {
    throw new Error("overwritten");
  };
  const put = (where, name) => {
    try {
      where[name] = bad;
    } catch {
      // It may be protected: all the better.
    }
  };
  for (const name of ["stringify", "parse"]) put(JSON, name);
  for (const name of ["push", "map", "filter", "reduce", "join"]) put(Array.prototype, name);
  for (const name of ["get", "set"]) put(Map.prototype, name);
  for (const name of ["then", "catch", "finally"]) put(Promise.prototype, name);
  for (const name of ["slice", "repeat", "indexOf"]) put(String.prototype, name);
  for (const name of ["setTimeout", "Promise", "Map", "Date", "String", "JSON"]) {
    put(globalThis, name);
  }
  put(performance, "now");
  put(Object.prototype, "then");
  put(Object.prototype, "toJSON");
  return "overwritten";
}
export function leave_timers() {
  setInterval(() => {
    throw new Error("a timer that was left behind");
  }, 1);
  setTimeout(() => Promise.reject(new Error("a promise that was left behind")), 2);
  return "left";
}
export function leave_listeners() {
  self.addEventListener("message", () => {
    throw new Error("a listener that was left behind");
  });
  self.onmessage = () => {}; // Refused, as a change of any global is.
  return "left";
}
export function leave_promise() {
  Promise.reject(new Error("nobody waits for me"));
  return "left";
}
export function leave_spin() {
  setTimeout(() => {
    for (;;);
  }, 5);
  return "left";
}
export function flood_log({ lines }) {
  for (let i = 0; i < lines; i++) console.log(`line ${i} \u001b[31m\u0007 of a flood`);
  return "flooded";
}

/** Sends itself, so many times, to the server that runs it; only where it may reach it. */
export async function submit_itself({ port, depth }) {
  if (depth === 0) return "the last";
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const line = { op: "submit_itself", port, depth: depth - 1, task: { wait: false } };
  await connection.write(new TextEncoder().encode(JSON.stringify(line) + "\n"));
  await connection.read(new Uint8Array(1024));
  connection.close();
  return `submitted ${depth}`;
}
