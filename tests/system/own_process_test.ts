/** `isolate: "process"`: each run has a process of its own that ends with it; all else is as for other runs. */

import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { machineName } from "../../cli/state_dir.ts";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe } from "../kit/sd_process.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { until } from "../kit/until.ts";

const TASKS = `
const own = (handler, more) => Object.assign(handler, { options: { isolate: "process", ...more } });
let runs = 0;
export const who = own(() => { globalThis.left = (globalThis.left ?? 0) + 1; Array.prototype.mine = 1; return [Deno.pid, ++runs, globalThis.left]; });
export const plain = () => [Deno.pid, globalThis.left ?? null, [].mine ?? null];
export const spin = own(() => { for (;;); }, { timeout: 300 });
export const pid_and_spin = own((_args, ctx) => { ctx.log(String(Deno.pid)); for (;;); }, { timeout: "1m" });
export const pid_and_wait = own(async (_args, ctx) => { ctx.log(String(Deno.pid)); await new Promise(() => {}); });
export const leave = own(() => { setTimeout(() => { for (;;); }, 0); return "left"; });
export const slow = own(async ({ ms }) => { await new Promise((r) => setTimeout(r, ms)); return Deno.pid; });
export const tell = own(async (_args, ctx) => { ctx.progress(0.5, "half"); ctx.log("said"); await new Promise((r) => setTimeout(r, 300)); return [ctx.after, ctx.attempt]; });
export const fail = own((_args, ctx) => { if (ctx.attempt < 2) throw new Error("once more"); return Deno.pid; }, { attempts: 3, backoff: 1 });
export const less = own(async () => (await Deno.permissions.query({ name: "env" })).state, { permissions: "none" });
export const more = own(async () => (await Deno.permissions.query({ name: "env" })).state);
export const checked = own(({ n }) => n, { schema: { "~standard": { version: 1, vendor: "test", validate: (v) => typeof v.n === "number" ? { value: v } : { issues: [{ message: "a number", path: ["n"] }] } } } });
`;

/** Every running process of the machine, with its parent. */
function processes(): Map<number, number> {
  const { stdout } = new Deno.Command("ps", { args: ["-eo", "pid=,ppid=,stat="] }).outputSync();
  const lines = new TextDecoder().decode(stdout).trim().split("\n").map((line) =>
    line.trim().split(/\s+/)
  );
  return new Map(
    lines.filter(([, , state]) => !state?.startsWith("Z")).map((
      [pid, parent],
    ) => [Number(pid), Number(parent)]),
  );
}

const isAlive = (pid: number) => processes().has(pid);

/** Processes that the server has started, and their children. */
function descendants(pid: number): number[] {
  const parents = processes();
  const isBelow = (one: number): boolean => {
    const parent = parents.get(one);
    return parent !== undefined && (parent === pid || isBelow(parent));
  };
  return [...parents.keys()].filter(isBelow);
}

const hasProcesses = Deno.build.os !== "windows";

async function serve(folder: TaskFolder, ...flags: string[]): Promise<SdServe> {
  return await SdServe.start([folder.file("tasks.js"), "--workers", "2", ...flags]);
}

/** The first log line of the task in the run with this number. */
async function pidLogged(
  client: RawClient,
  { task_id, attempt = 0 }: { task_id: string; attempt?: number },
) {
  for (;;) {
    const { log = [] } = await client.ask({ cmd: "logs", task_id });
    if (log.length > attempt) return Number(log[attempt].text);
    await delay(20);
  }
}

Deno.test("each run has a process of its own, without traces of the run before", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await serve(folder);
  using client = await RawClient.connect(server.address);
  const seen: [number, number, number][] = [];
  for (let i = 0; i < 4; i++) {
    await client.ask({ op: "who" });
    seen.push((await client.object()).result);
  }
  await client.ask({ op: "plain" });
  const { result: [pool, ...rest] } = await client.object();
  assertEquals(rest, [null, null]);
  assertEquals(new Set([pool, ...seen.map(([pid]) => pid)]).size, 5);
  assertEquals(seen.map(([, ...counts]) => counts), Array(4).fill([1, 1]));
  if (hasProcesses) await until("they are gone", () => !seen.some(([pid]) => isAlive(pid)));
  const { ops } = await client.ask({ cmd: "ops" });
  const who = ops.find(({ op }: { op: string }) => op === "who");
  assertEquals([who.isolate, who.workers], ["process", 2]);
});

Deno.test("a process for a single run never counts as a worker of the server", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await serve(folder);
  using client = await RawClient.connect(server.address);
  await client.ask({ op: "who" });
  await client.object();
  // Another process waits by now, or will soon.
  let idle = await client.ask({ cmd: "stats" });
  // This client, the pool, and the process that waits.
  for (; idle.connections < 3; idle = await client.ask({ cmd: "stats" })) await delay(20);
  assertEquals(idle.workers, { pools: 1, workers: 2, running: 0 });
  assertEquals(idle.pools.length, 1);
  const { task_id } = await client.ask({ op: "pid_and_wait" });
  const pid = await pidLogged(client, { task_id });
  const busy = await client.ask({ cmd: "stats" });
  assertEquals(busy.workers, { pools: 1, workers: 2, running: 1 });
  const ops = [{ op: "pid_and_wait", held: 1 }];
  assertEquals(busy.pools.filter(({ single }: { single?: true }) => single), [
    { pid, machine: machineName(), workers: 1, held: 1, ops, single: true },
  ]);
  await client.ask({ cmd: "cancel", task_id });
});

Deno.test("a run in its own process has logs, progress, attempts, permissions, checks and results as others have", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await serve(folder, "--allow-env=LANG");
  using client = await RawClient.connect(server.address);
  const first = await client.ask({ op: "who", task: { wait: false } });
  const { task_id } = await client.ask({ op: "tell", task: { after: [first.task_id] } });
  const { result } = await client.object();
  assertEquals(Object.keys(result[0]), [first.task_id]);
  const { log } = await client.ask({ cmd: "logs", task_id });
  assertEquals(log.map(({ text }: { text: string }) => text), ["said"]);
  const { task_id: failing } = await client.ask({ op: "fail" });
  assertEquals((await client.object()).status, "completed");
  assertEquals((await client.ask({ cmd: "get", task_id: failing })).attempt, 2);
  const states: unknown[] = [];
  for (const op of ["less", "more"]) {
    await client.ask({ op });
    states.push((await client.object()).result);
  }
  assertNotEquals(states[0], "granted");
  const refused = await client.ask({ op: "checked", n: "x" });
  assertMatch(refused.error.message, /argument "n": a number/);
  await client.ask({ op: "checked", n: 3 });
  assertEquals((await client.object()).result, 3);
});

Deno.test("a run is killed at its time limit or when cancelled, with all threads that it started", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await serve(folder);
  using client = await RawClient.connect(server.address);
  await client.ask({ op: "spin" });
  assertEquals((await client.object()).error.code, "timeout");
  await client.ask({ op: "leave" });
  assertEquals((await client.object()).result, "left");
  for (const op of ["pid_and_spin", "pid_and_wait"]) {
    const { task_id } = await client.ask({ op, task: { wait: false } });
    const pid = await pidLogged(client, { task_id });
    await client.ask({ cmd: "cancel", task_id });
    assertEquals((await client.ask({ cmd: "get", task_id })).status, "cancelled");
    if (hasProcesses) await until(`${op} is gone`, () => !isAlive(pid));
  }
  if (!hasProcesses) return;
  // The process of the pool, and the one that waits for the next task.
  await until("two processes are left", () => descendants(server.child.pid).length === 2);
});

Deno.test("no more processes run than there are workers, and many runs leave none behind", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await serve(folder);
  using client = await RawClient.connect(server.address);
  const count = 40;
  let most = 0;
  const watch = setInterval(() => {
    if (hasProcesses) most = Math.max(most, descendants(server.child.pid).length);
  }, 250);
  for (let i = 0; i < count; i++) await client.sendObjects({ op: "slow", ms: 1 });
  const pids = new Set<number>();
  for (let i = 0; i < 2 * count; i++) {
    const { result } = await client.object();
    if (result !== undefined) pids.add(result);
  }
  clearInterval(watch);
  assertEquals(pids.size, count);
  if (!hasProcesses) return;
  // The pool, two that run, one that waits, and one that is about to end.
  assert(most <= 5, `${most} processes at a time`);
  await until("two processes are left", () => descendants(server.child.pid).length === 2);
  assert(![...pids].some(isAlive));
});

Deno.test("a process that dies counts as a death of its own task only", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await serve(folder);
  using client = await RawClient.connect(server.address);
  if (!hasProcesses) return;
  const { task_id } = await client.ask({ op: "pid_and_spin", task: { wait: false } });
  const other = await client.ask({ op: "slow", ms: 3000 });
  for (let deaths = 0; deaths < 3; deaths++) {
    Deno.kill(await pidLogged(client, { task_id, attempt: deaths }), "SIGKILL");
  }
  assertEquals((await client.object()).task_id, other.task_id);
  const { error, status } = await client.ask({ cmd: "wait", task_id });
  assertEquals([status, error.code], ["failed", "worker_crashed"]);
  await client.ask({ op: "plain" });
  assertEquals((await client.object()).status, "completed");
});
