/** A worker of ops that say something, in every way there is, for the tests of what tasks say. */
// deno-lint-ignore-file no-console

import { BUILTIN_OPS } from "../../workers/ops/builtin.ts";
import type { Handler } from "../../workers/ops/handler.ts";
import { serveTasks } from "../../workers/worker/serve_tasks.ts";

const BOMB = {
  get [Symbol.toStringTag](): string {
    throw new Error("bomb");
  },
  [Symbol.for("Deno.customInspect")]() {
    throw new Error("bomb");
  },
};

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

let ghost: ReturnType<typeof setInterval> | undefined;

const TALKING_OPS: [string, Handler][] = [
  ["say", ({ texts }, ctx) => {
    for (const text of texts as string[]) ctx.log(text);
    return "said";
  }],
  ["levels", () => {
    console.debug("d", 1);
    console.log("%s has %d", "l", 2, { more: true });
    console.info(["i"]);
    console.warn("w");
    console.error(new TypeError("e").message);
    console.assert(true, "not told");
    console.assert(false, "a %s", "told");
    return "said";
  }],
  ["other_methods", () => {
    console.dir({ a: 1 });
    console.table([[1]]);
    console.group("outer");
    console.log("inner");
    console.groupEnd();
    console.log("outside");
    console.count("c");
    console.count("c");
    console.countReset("c");
    console.count("c");
    console.timeEnd("never begun");
    console.clear();
    // Taken when no task ran, they still speak for the task.
    log("taken");
    table("taken");
    trace("traced");
    return "said";
  }],
  ["open_group", () => {
    console.group();
    console.log("indented");
    return "said";
  }],
  ["bombs", (_args, ctx) => {
    const cycle: Record<string, unknown> = {};
    cycle.itself = cycle;
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    ctx.log(BOMB, cycle, Symbol("s"), 10n, proxy, undefined, null, () => 1);
    console.count(BOMB as unknown as string);
    ctx.log("x".repeat(100_000));
    ctx.log("y".repeat(8192));
    ctx.log();
    return "survived";
  }],
  ["sabotage", (_args, ctx) => {
    const bad = () => {
      throw new Error("sabotaged");
    };
    JSON.stringify = bad;
    Deno.inspect = bad;
    Date.now = bad;
    Math.min = Math.max = bad;
    Array.prototype.push = Array.prototype.join = bad;
    String.prototype.slice = String.prototype.indexOf = bad;
    (String.prototype as { toJSON?: unknown }).toJSON = bad;
    ctx.log("said", "all the same");
    console.log("%s too", "printed");
    return "done";
  }],
  // Says something and does not yield until long after its worker was replaced. Nothing in this process can stop it.
  ["hang", (_args, ctx) => {
    ctx.log("last words");
    for (const end = performance.now() + 3000; performance.now() < end;);
  }],
  // Yields for ever after it has said something.
  ["wait", (_args, ctx) => {
    ctx.log("waiting");
    ctx.progress(0.5);
    return new Promise(() => undefined);
  }],
  ["flood", ({ lines }, ctx) => {
    for (let line = 1; line <= Number(lines); line++) ctx.log(`line ${line}`);
    return "flooded";
  }],
  ["slow_flood", async ({ lines, ms }, ctx) => {
    for (let line = 1; line <= Number(lines); line++) {
      ctx.log(`line ${line}`);
      if (line % 1000 === 0) await wait(Number(ms));
    }
    return "flooded";
  }],
  ["large", ({ chars }, ctx) => {
    ctx.log("\0".repeat(Number(chars)));
    ctx.log("\0".repeat(Number(chars)));
    return "x".repeat(Number(chars));
  }],
  // Goes on to speak when it has ended, until `hush`.
  ["haunt", (_args, ctx) => {
    ghost = setInterval(() => {
      console.log("left over");
      ctx.log("by an old context");
    }, 1);
    return "left";
  }],
  ["hush", () => clearInterval(ghost)],
  ["throw_later", (_args, ctx) => {
    ctx.log("about to throw");
    setTimeout(() => {
      throw new TypeError("nobody caught me");
    }, 5);
    return new Promise(() => undefined);
  }],
];

serveTasks(new Map([...BUILTIN_OPS, ...TALKING_OPS]));

// As a task file may, once it is loaded.
const { log, table, trace } = console;
