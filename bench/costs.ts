/**
 * Costs that must grow with what is asked for, and not with all that there is: each with little there, and with much.
 * A figure of the right column that is several times that of the left one has grown wrongly.
 * `deno run -A bench/costs.ts`: half a minute.
 */

import { delay } from "@std/async/delay";
import { print } from "../cli/talk.ts";
import { MAX_CRONS } from "../protocol/limits.ts";
import { Transfer } from "../server/api/export_import.ts";
import type { Engine, Leased } from "../server/engine/engine.ts";
import { openMemoryEngine } from "../server/engine/memory/memory.ts";
import { openEngine } from "../server/engine/open.ts";
import type { TaskLog } from "../server/task/task_log.ts";
import { newTask } from "../server/task/new_task.ts";
import { Wait, WaitsById, WaitTable } from "../server/task/task_events.ts";
import { CronStage } from "../tests/kit/cron_stage.ts";
import { median } from "./running.ts";

const ROUNDS = 5;
const LEASE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Tasks that one `enqueue` takes in. */
const BATCH = 1000;
const OPS: ReadonlySet<string> = new Set(["square"]);

const folder = await Deno.makeTempDir({ prefix: "sd-bench-" });
let files = 0;

function openFile(): Promise<Engine> {
  return openEngine(`sqlite:${folder}/${++files}.db`, {
    report: (message) => print(`the engine reports: ${message}`),
  });
}

async function fill(engine: Engine, count: number, options: object = {}): Promise<void> {
  for (let from = 0; from < count; from += BATCH) {
    const now = Date.now();
    const tasks = Array.from({ length: Math.min(BATCH, count - from) }, (_, i) => {
      const line = { op: "square", n: from + i, task: { wait: false, ...options } };
      return newTask(line, JSON.stringify(line), { now, serials: engine.serials });
    });
    await engine.enqueue(tasks, now);
  }
}

async function lease(engine: Engine, limit: number): Promise<Leased["tasks"]> {
  for (;;) {
    const now = Date.now();
    const leased = await engine.lease({ ops: OPS, limit, leaseUntil: now + LEASE_MS }, now);
    if (leased.tasks.length > 0 || !leased.more) return leased.tasks;
    await leased.more;
  }
}

/** Microseconds that `work` takes for each of `count` things, the median of some rounds. */
async function microsOf(
  count: number,
  work: () => Promise<unknown> | unknown,
  rounds = ROUNDS,
): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    await work();
    times.push((performance.now() - start) * 1000 / count);
  }
  return median(times);
}

async function listPage(tasks: number): Promise<number> {
  const engine = openMemoryEngine();
  await fill(engine, tasks);
  return await microsOf(100, () => engine.list({ limit: 100 }));
}

/** Tasks of which each has said a line. */
async function exportLogged(tasks: number): Promise<number> {
  const engine = await openFile();
  await fill(engine, tasks);
  const log: TaskLog = [{ n: 1, at: 0, attempt: 1, retries: 0, level: "info", text: "said" }];
  for (let done = 0; done < tasks;) {
    const leased = (await lease(engine, BATCH)).map(({ lease }) => ({ lease, result: "1", log }));
    await engine.ack(leased, Date.now());
    done += leased.length;
  }
  const clock = { aheadMs: 0 };
  const transfer = new Transfer({ engine, entry: undefined as never, takers: [], clock });
  const micros = await microsOf(tasks, async () => {
    let page = await transfer.exportPage({});
    while (page.cursor !== null) page = await transfer.exportPage({ cursor: page.cursor });
  }, 1);
  await engine.close();
  return micros;
}

/** Starts of a key whose rate is never reached, and whose window holds `window` of them already. */
async function leaseUnderRate(window: number): Promise<number> {
  const engine = await openFile();
  const count = 200;
  await fill(engine, window + count * ROUNDS, { key: "k", rate: "10000/1h" });
  const start = async (limit: number, each: number) => {
    for (let left = limit; left > 0;) {
      const tasks = await lease(engine, Math.min(left, each));
      await engine.ack(tasks.map(({ lease }) => ({ lease, result: "1" })), Date.now());
      left -= tasks.length;
    }
  };
  await start(window, BATCH);
  const micros = await microsOf(count, () => start(count, 1));
  await engine.close();
  return micros;
}

/** Recurring tasks that are due at one time, with the tasks that they submit, until it is kept how far they have come. */
async function recurring(count: number): Promise<number> {
  const stage = new CronStage({ engine: await openFile() });
  const { clock, engine } = stage;
  for (let i = 0; i < count; i++) await stage.create({ id: `n${i}`, cron: "0 * * * *" });
  const progress = () => engine.settings.list("cron_run/").map(([, value]) => value).join();
  const times: number[] = [];
  for (let round = 0; round < 3; round++) {
    const untilHour = HOUR_MS - clock.now() % HOUR_MS;
    await clock.pass(untilHour - 1);
    const before = progress();
    const start = performance.now();
    await clock.pass(2);
    while (progress() === before || stage.submitted.length < (round + 1) * count) await delay(1);
    times.push((performance.now() - start) * 1000 / count);
  }
  await stage.scheduler.stop();
  await engine.close();
  return median(times);
}

/** Clients that wait for the same task and leave in the order in which they came. */
async function dropWaits(count: number): Promise<number> {
  const table = new WaitTable(new WaitsById());
  const waits = Array.from({ length: count }, (_, ref) => {
    const wait = new Wait("a", { closed: false, deliver() {} }, ref);
    table.add("id", wait);
    return wait;
  });
  return await microsOf(count, () => waits.forEach((wait) => table.remove("id", wait)), 1);
}

interface Cost {
  readonly name: string;
  readonly little: number;
  readonly much: number;
  readonly micros: (there: number) => Promise<number>;
}

const COSTS: readonly Cost[] = [
  { name: "a task of a list page; tasks in memory", little: 1000, much: 300_000, micros: listPage },
  { name: "an exported task with a log; of all", little: 500, much: 10_000, micros: exportLogged },
  { name: "a start under a rate; in its window", little: 100, much: 5000, micros: leaseUnderRate },
  { name: "a recurring task; due at once", little: 50, much: MAX_CRONS, micros: recurring },
  {
    name: "a dropped wait, all for the same task",
    little: 10_000,
    much: 100_000,
    micros: dropWaits,
  },
];

try {
  print(`${"microseconds for".padEnd(40)}${"with little".padStart(20)}${"with much".padStart(20)}`);
  for (const { name, little, much, micros } of COSTS) {
    const cells: string[] = [];
    for (const there of [little, much]) {
      const text = `${(await micros(there)).toFixed(1)} (${there.toLocaleString("en")})`;
      cells.push(text.padStart(20));
    }
    print(`${name.padEnd(40)}${cells.join("")}`);
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
