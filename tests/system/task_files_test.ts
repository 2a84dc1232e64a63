/** Task files on a real server: each exported function is an op, with the options that it names. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { RawClient } from "../kit/raw_client.ts";
import { runSd, SdServe } from "../kit/sd_process.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestServer } from "../kit/test_server.ts";

const TASKS = `
import { times } from "./lib/times.ts";
export function triple({ n }: { n: number }): number { return times(n, 3); }
export const later = async ({ ms }: { ms: number }) => {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return "later";
};
export function square({ n }: { n: number }) { return n * n + 1; }
export default function named() { return "by its own name"; }
export const NOT_AN_OP = 5;
export class NotAnOpEither {}
`;
const TIMES = "export const times = (n: number, by: number): number => n * by;";

Deno.test("every exported function of a file is an op, and replaces a built-in op of its name", async () => {
  using folder = new TaskFolder({ "tasks.ts": TASKS, "lib/times.ts": TIMES });
  await using server = await TestServer.start({ work: { taskFiles: folder.refs("tasks.ts") } });
  using client = await server.connect();
  const results: unknown[] = [];
  for (const task of [{ op: "triple", n: 7 }, { op: "later", ms: 5 }, { op: "square", n: 7 }]) {
    await client.ask(task);
    results.push((await client.object()).result);
  }
  await client.ask({ op: "named" });
  results.push((await client.object()).result);
  assertEquals(results, [21, "later", 50, "by its own name"]);
  const { ops } = await client.ask({ cmd: "ops" });
  assertEquals(ops.map(({ op }: { op: string }) => op), [
    "echo",
    "hash",
    "later",
    "named",
    "sleep",
    "square",
    "triple",
  ]);
});

Deno.test("sd serve loads files and folders of TypeScript and JavaScript", async () => {
  using folder = new TaskFolder({
    "one.ts": "export const one = (): number => 1;",
    "more/two.js": "export const two = () => 2;",
    "more/three.mts": "export const three = (): number => 3;",
    "more/lib/none.ts": "throw new Error('nobody asked for this one');",
    "more/two_test.ts": "throw new Error('nor for this one');",
    "more/README.md": "no module",
  });
  await using serve = await SdServe.start([
    folder.file("one.ts"),
    `${folder.path}/more`,
    "--workers",
    "1",
  ]);
  for (const [op, result] of [["one", "1"], ["two", "2"], ["three", "3"]]) {
    const { stdout } = await runSd(["submit", JSON.stringify({ op }), "--server", serve.server]);
    assertEquals(stdout, `${result}\n`);
  }
});

Deno.test("a TaskError with retry: false ends the attempts, any other error does not", async () => {
  using folder = new TaskFolder({
    "tasks.js": `
      export function give_up() { throw new TaskError("for good", { retry: false }); }
      export function go_on() { throw new TaskError("for now"); }
      export function by_itself() { throw Object.assign(new Error("mine"), { retry: false }); }
    `,
  });
  await using server = await TestServer.start({ work: { taskFiles: folder.refs("tasks.js") } });
  using client = await server.connect();
  const ends: unknown[] = [];
  for (const op of ["give_up", "go_on", "by_itself"]) {
    await client.ask({ op, task: { attempts: 3, backoff: 1 } });
    const { status, attempt, error } = await client.object();
    ends.push([status, attempt, error.code, error.message]);
  }
  assertEquals(ends, [
    ["failed", 1, "task_error", "for good"],
    ["failed", 3, "task_error", "for now"],
    ["failed", 1, "task_error", "mine"],
  ]);
});

Deno.test("a pool reports the file, the version and the options of each op", async () => {
  using folder = new TaskFolder({
    "tasks.ts": `
      import "./lib/dep.ts";
      export function fetch_it() {}
      fetch_it.options = {
        timeout: "2m", attempts: 3, backoff: 250, expires: "1h", limit: 2, rate: "10/1m",
        permissions: "none", isolate: true,
      };
    `,
    "lib/dep.ts": "export {};",
  });
  const specOf = async () => {
    await using server = await TestServer.start({ work: { taskFiles: folder.refs("tasks.ts") } });
    using client = await server.connect();
    const { ops } = await client.ask({ cmd: "ops" });
    return ops.find(({ op }: { op: string }) => op === "fetch_it");
  };
  const { version, ...spec } = await specOf();
  assertMatch(version, /^[0-9a-f]{12}$/);
  assertEquals(spec, {
    op: "fetch_it",
    workers: 2,
    file: "tasks.ts",
    timeout: 120_000,
    attempts: 3,
    backoff: 250,
    expires: 3_600_000,
    limit: 2,
    rate: "10/1m",
    permissions: ["none"],
    isolate: true,
  });
  folder.write("lib/dep.ts", "export {}; // changed");
  assert((await specOf()).version !== version, "another text has the same version");
});

Deno.test("without --watch, a changed file is loaded as a whole once a worker is replaced", async () => {
  using folder = new TaskFolder({
    "tasks.js": "export const value = () => 1; export const wait = () => new Promise(() => {});",
  });
  await using server = await TestServer.start({ work: { taskFiles: folder.refs("tasks.js") } });
  using client = await server.connect();
  const ask = async (op: string, task = {}) => {
    await client.ask({ op, task });
    return await client.object();
  };
  assertEquals((await ask("value")).result, 1);
  folder.write(
    "tasks.js",
    "export const value = () => 22; export const wait = () => new Promise(() => {});",
  );
  assertEquals((await ask("value")).result, 1);
  assertEquals((await ask("wait", { timeout: 50 })).error.code, "timeout");
  // Its worker is replaced, and so is the process: no old code is left in the new one.
  await ask("wait", { timeout: 50 });
  for (let i = 0; i < 10; i++) assertEquals((await ask("value")).result, 22);
});

Deno.test("members of the context work on their own, and wrong uses of it name the cure", async () => {
  using folder = new TaskFolder({
    "tasks.js": `
      export const taken = (_args, { id, attempt, progress, log, signal, cancelled, after }) => {
        progress(0.5, "half");
        log("taken");
        return [typeof id, attempt, signal.aborted, cancelled, after];
      };
      export const handed = (_args, ctx) => { ["a", "b"].forEach((word) => ctx.log(word)); [1].forEach(ctx.log); return ctx.log === ctx.log; };
      export const later = async (_args, { log }) => { setTimeout(log, 1, "from a timer"); await new Promise((r) => setTimeout(r, 20)); };
      export const made = (_args, ctx) => Object.create(ctx).id;
      export const proxied = (_args, ctx) => new Proxy(ctx, {}).progress(1);
    `,
  });
  await using serve = await SdServe.start([folder.file("tasks.js"), "--workers", "1"]);
  using client = await RawClient.connect(serve.address);
  const said: Record<string, unknown> = {};
  for (const op of ["taken", "handed", "later", "made", "proxied"]) {
    const { task_id } = await client.ask({ op });
    const { result, error } = await client.object();
    const { log } = await client.ask({ cmd: "logs", task_id });
    said[op] = [error?.message ?? result, log.map(({ text }: { text: string }) => text)];
  }
  const madeOf = (name: string) =>
    `TypeError: ${name} was read from an object that is made of the task's context; read it from the context itself: ` +
    `{ ${name}: ctx.${name} }`;
  assertEquals(said, {
    taken: [["string", 1, false, false, {}], ["taken"]],
    handed: [true, ["a", "b", "1 0 [ 1 ]"]],
    later: [null, ["from a timer"]],
    made: [madeOf("id"), []],
    proxied: [madeOf("progress"), []],
  });
});
