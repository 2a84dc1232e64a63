/** A worker of ops that no decent program would have, for the tests of the pool. */

import { BUILTIN_OPS } from "../../workers/ops/builtin.ts";
import type { Handler } from "../../workers/ops/handler.ts";
import { serveTasks } from "../../workers/worker/serve_tasks.ts";

function spin(ms: unknown): void {
  const end = performance.now() + Number(ms);
  while (performance.now() < end);
}

/** What tasks leave behind in their worker. */
const kept: unknown[] = [];

/** A mebibyte that is really there. */
function piece(kind: unknown): unknown {
  switch (kind) {
    case "heap":
      return new Array(131_072).fill(kept.length);
    case "wasm": {
      const memory = new WebAssembly.Memory({ initial: 16 });
      new Uint8Array(memory.buffer).fill(1);
      return memory;
    }
    default:
      return new Uint8Array(1024 * 1024).fill(1);
  }
}

const ODD_OPS: [string, Handler][] = [
  ["busy", ({ ms }) => {
    spin(ms);
    return "was busy";
  }],
  // Takes `mib` MiB, a MiB at a time, and holds them for `ms`.
  ["hoard", ({ mib, kind, ms }) => {
    const pieces: unknown[] = [];
    while (pieces.length < Number(mib)) pieces.push(piece(kind));
    spin(ms);
    return pieces.length;
  }],
  ["hoard_slowly", async ({ mib, kind, ms }) => {
    const pieces: unknown[] = [];
    while (pieces.length < Number(mib)) {
      pieces.push(piece(kind));
      if (pieces.length % 8 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await new Promise((resolve) => setTimeout(resolve, Number(ms)));
    return pieces.length;
  }],
  ["leak", ({ mib, kind }) => {
    for (let i = 0; i < Number(mib); i++) kept.push(piece(kind));
    return kept.length;
  }],
  ["never", () => new Promise(() => undefined)],
  ["stray", () => {
    setTimeout(() => {
      throw new TypeError("nobody caught me");
    }, 5);
    return new Promise(() => undefined);
  }],
  ["close", () => self.close()],
  ["close_later", () => {
    setTimeout(() => self.close(), 20);
    return "closing";
  }],
  // Obeys the flag in the table, without ever giving way to another.
  ["watch_flag", (_args, ctx) => {
    while (!ctx.cancelled);
    return "saw the flag";
  }],
  ["steps", async (_args, ctx) => {
    for (let step = 1; step <= 4; step++) {
      ctx.progress(step / 4, `step ${step}`);
      await new Promise((resolve) => setTimeout(resolve, 120));
    }
    return "walked";
  }],
  ["late_progress", (_args, ctx) => {
    setTimeout(() => ctx.progress(0.9, "of a task that has ended"), 30);
    return "gone";
  }],
  ["large", ({ chars }) => "x".repeat(Number(chars))],
  ["resolved", (args) => Promise.resolve(args)],
  // deno-lint-ignore no-explicit-any
  ["twice", () => ({ then: (done: any, failed: any) => (done(1), done(2), failed(3)) })],
  ["then_bomb", () => ({
    get then() {
      throw new Error("then bomb");
    },
  })],
  ["sabotage", () => {
    const bad = () => {
      throw new Error("sabotaged");
    };
    JSON.stringify = JSON.parse = bad;
    Array.prototype.push = Array.prototype.shift = Map.prototype.get = bad;
    String.prototype.slice = String.prototype.indexOf = String.prototype.charCodeAt = bad;
    Promise.prototype.then = bad;
    performance.now = bad;
    (globalThis as unknown as Worker).postMessage({ done: 1, end: 1 });
    return "done";
  }],
];

serveTasks(new Map([...BUILTIN_OPS, ...ODD_OPS]));
