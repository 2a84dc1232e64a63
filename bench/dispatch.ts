/**
 * How much of two workers' time tasks get that only compute: `deno run -A bench/dispatch.ts`. 400 tasks of
 * 10 ms each are submitted at once; the ideal is half of what one bare thread takes for all of them. Before and
 * behind it two bare threads with half of them each: where these came near the ideal both times, the machine had two
 * processors for sd as well, and the round says something of sd. How much of the time the workers had a processor
 * holds on any machine: what is missing of it is what sd costs. Linux only. `--rounds N` (7).
 */

import { parseArgs } from "@std/cli/parse-args";
import { print } from "../cli/talk.ts";
import { connect } from "../client/mod.ts";
import { median, startServer } from "./running.ts";

const TASK_FILE = new URL("./spin_tasks.js", import.meta.url).pathname;
const TASKS = 400;
const TASK_MS = 10;
const WORKERS = 2;
const TRIAL_SIZE = 1_000_000;
/** Bare threads that take longer than this, over the ideal, shared their processors with something else. */
const QUIET = 1.05;

/** Wall times over the ideal: of bare threads before and behind, of sd between. */
interface Round {
  readonly bare: readonly [number, number];
  readonly sd: number;
  /** How much of the time the workers had a processor: 1 is all of it. */
  readonly busy: number;
}

class BareThread implements Disposable {
  readonly #worker = new Worker(new URL("./spin_worker.ts", import.meta.url), { type: "module" });

  /** ms for `count` tasks of this size. */
  run(n: number, count: number): Promise<number> {
    return new Promise((resolve) => {
      this.#worker.onmessage = ({ data }) => resolve(data);
      this.#worker.postMessage({ n, count });
    });
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** CPU time of the Web Workers of a process so far, in ms, as Linux reports it. Other work of the process counts as theirs. */
function workerCpuMs(pid: number): number {
  let ns = 0;
  for (const { name: thread } of Deno.readDirSync(`/proc/${pid}/task`)) {
    const about = (what: string) => Deno.readTextFileSync(`/proc/${pid}/task/${thread}/${what}`);
    if (about("comm").startsWith("worker-")) ns += Number(about("schedstat").split(" ")[0]);
  }
  return ns / 1e6;
}

/** ms until `work` is done. */
async function wall(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

async function measure(count: number): Promise<void> {
  using one = new BareThread();
  using other = new BareThread();
  await using server = await startServer(WORKERS, "memory", [TASK_FILE]);
  await using client = await connect({ hostname: "127.0.0.1", port: server.port });
  // What runs for the first time is compiled for the first time.
  await one.run(TRIAL_SIZE, 20);
  const size = Math.round(TRIAL_SIZE * TASK_MS / (await one.run(TRIAL_SIZE, 50) / 50));
  const submitAll = async () => {
    const tasks = await Promise.all(
      Array.from(
        { length: TASKS },
        () => client.submit("spin", { n: size }),
      ),
    );
    await Promise.all(tasks.map(({ result }) => result));
  };
  await submitAll();
  const pid = (await client.stats()).pools[0]!.pid;
  const rounds: Round[] = [];
  const taskMs: number[] = [];
  const half = TASKS / WORKERS;
  const bareAll = () => Promise.all([one.run(size, half), other.run(size, half)]);
  for (let round = 0; round < count; round++) {
    const alone = await one.run(size, TASKS / 4) * 4;
    taskMs.push(alone / TASKS);
    const ideal = alone / WORKERS;
    const before = await wall(bareAll) / ideal;
    const cpuBefore = workerCpuMs(pid);
    const sdMs = await wall(submitAll);
    const busy = (workerCpuMs(pid) - cpuBefore) / (WORKERS * sdMs);
    rounds.push({ bare: [before, await wall(bareAll) / ideal], sd: sdMs / ideal, busy });
  }
  print(
    `${TASKS} tasks of ${
      median(taskMs).toFixed(1)
    } ms on ${WORKERS} workers, wall time over the ideal`,
  );
  tell("all rounds", rounds);
  tell("undisturbed ones", rounds.filter(({ bare }) => Math.max(...bare) <= QUIET));
}

function tell(which: string, rounds: readonly Round[]): void {
  print(`${which}: ${rounds.length}`);
  if (rounds.length === 0) return;
  print(`  bare threads  ${spread(rounds.flatMap(({ bare }) => bare))}`);
  print(`  sd            ${spread(rounds.map(({ sd }) => sd))}`);
  print(`  sd over bare  ${spread(rounds.map(({ bare: [a, b], sd }) => 2 * sd / (a + b)))}`);
  print(`  workers busy  ${spread(rounds.map(({ busy }) => busy))}`);
}

function spread(values: readonly number[]): string {
  const [low, mid, high] = [Math.min(...values), median(values), Math.max(...values)];
  return `${mid.toFixed(3)} (${low.toFixed(3)} … ${high.toFixed(3)})`;
}

const { rounds } = parseArgs(Deno.args, { string: ["rounds"], default: { rounds: "7" } });
await measure(Number(rounds));
