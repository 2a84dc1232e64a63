/**
 * How much of two workers' time tasks get that only compute: `deno run -A bench/dispatch.ts`. 400 tasks of
 * 10 ms each are submitted at once; the ideal is half of what one bare thread takes for all of them. Beside it
 * two bare threads with half of them each, in the same turns. `--rounds N` (7).
 */

import { parseArgs } from "@std/cli/parse-args";
import { print } from "../cli/talk.ts";
import { connect } from "../client/mod.ts";
import { median, startServer } from "./running.ts";

const TASKS = 400;
const TASK_MS = 10;
const WORKERS = 2;
const TRIAL_ROUNDS = 2000;

class BareThread implements Disposable {
  readonly #worker = new Worker(new URL("./hash_worker.ts", import.meta.url), { type: "module" });

  /** ms for `count` tasks of so many rounds. */
  run(rounds: number, count: number): Promise<number> {
    return new Promise((resolve) => {
      this.#worker.onmessage = ({ data }) => resolve(data);
      this.#worker.postMessage({ rounds, count });
    });
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** ms until `work` is done. */
async function wall(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

async function measure(rounds: number): Promise<void> {
  using one = new BareThread();
  using other = new BareThread();
  await using server = await startServer(WORKERS, "memory");
  await using client = await connect({ hostname: "127.0.0.1", port: server.port });
  // What runs for the first time is compiled for the first time.
  await one.run(TRIAL_ROUNDS, 20);
  const size = Math.round(TRIAL_ROUNDS * TASK_MS / (await one.run(TRIAL_ROUNDS, 50) / 50));
  const submitAll = async () => {
    const tasks = await Promise.all(
      Array.from(
        { length: TASKS },
        (_, i) => client.submit("hash", { data: `task ${i}`, rounds: size }),
      ),
    );
    await Promise.all(tasks.map(({ result }) => result));
  };
  await submitAll();
  const bare: number[] = [];
  const sd: number[] = [];
  const taskMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const alone = await one.run(size, TASKS / 4) * 4;
    taskMs.push(alone / TASKS);
    const ideal = alone / WORKERS;
    const half = TASKS / WORKERS;
    bare.push(await wall(() => Promise.all([one.run(size, half), other.run(size, half)])) / ideal);
    sd.push(await wall(submitAll) / ideal);
  }
  print(
    `${TASKS} tasks of ${median(taskMs).toFixed(1)} ms on ${WORKERS} workers, ${rounds} rounds`,
  );
  print(`wall time over the ideal, bare threads: ${spread(bare)}`);
  print(`wall time over the ideal, sd:           ${spread(sd)}`);
  print(`sd over bare threads:                   ${spread(sd.map((each, i) => each / bare[i]!))}`);
}

function spread(values: readonly number[]): string {
  const [low, mid, high] = [Math.min(...values), median(values), Math.max(...values)];
  return `${mid.toFixed(3)} (${low.toFixed(3)} … ${high.toFixed(3)})`;
}

const { rounds } = parseArgs(Deno.args, { string: ["rounds"], default: { rounds: "7" } });
await measure(Number(rounds));
