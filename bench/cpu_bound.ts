/**
 * CPU-bound tasks: how much longer they take through sd than in bare threads that do nothing else. The
 * work is the op `hash` with as many rounds as take about 10 ms here; two workers share 400 of them.
 */

import { benchTasks, median, type Running, startServer } from "./running.ts";

const TASKS = 400;
const WORKERS = 2;
const ROUNDS_OF_BENCH = 3;

/** Runs `tasks` of `rounds` on each of so many bare workers; answers the wall time in seconds. */
async function bareThreads(workers: number, { tasks, rounds }: { tasks: number; rounds: number }) {
  const threads = Array.from(
    { length: workers },
    () => new Worker(new URL("./bare_worker.ts", import.meta.url), { type: "module" }),
  );
  const run = (work: { tasks: number; rounds: number }) =>
    Promise.all(threads.map((thread) =>
      new Promise<number>((resolve) => {
        thread.onmessage = ({ data }) => resolve(data);
        thread.postMessage(work);
      })
    ));
  // Once to load and warm up, then for the clock.
  await run({ tasks: 5, rounds });
  const start = performance.now();
  await run({ tasks, rounds });
  const seconds = (performance.now() - start) / 1000;
  for (const thread of threads) thread.terminate();
  return seconds;
}

async function throughSd(server: Running, rounds: number): Promise<number> {
  const report = await benchTasks(
    server.port,
    { connections: 1, depth: TASKS, count: TASKS },
    ["--op=hash", `--rounds=${rounds}`],
  );
  return report.seconds;
}

/** Wall time of sd and of bare threads in seconds, and their ratio, each the median of its runs. */
export async function cpuBound(): Promise<{ sd: number; bare: number; ratio: number }> {
  const probe = await bareThreads(1, { tasks: 20, rounds: 5000 });
  const rounds = Math.max(1, Math.round(5000 * 0.01 / (probe / 20)));
  await using server = await startServer(WORKERS);
  await throughSd(server, rounds);
  const runs: { sd: number; bare: number; ratio: number }[] = [];
  for (let i = 0; i < ROUNDS_OF_BENCH; i++) {
    const bare = await bareThreads(WORKERS, { tasks: TASKS / WORKERS, rounds });
    const sd = await throughSd(server, rounds);
    runs.push({ sd, bare, ratio: sd / bare });
  }
  return {
    sd: median(runs.map((run) => run.sd)),
    bare: median(runs.map((run) => run.bare)),
    ratio: median(runs.map((run) => run.ratio)),
  };
}
