/**
 * `deno task bench`: sd beside a bare Deno TCP echo, measured in one run and in turn, so that their
 * ratio holds on a machine whose speed drifts. Prints the tables of `docs/performance.md`.
 */

import { parseArgs } from "@std/cli/parse-args";
import { print } from "../cli/talk.ts";
import { cpuBound } from "./cpu_bound.ts";
import { benchEcho, benchTasks, type Load, median, startEcho, startServer } from "./running.ts";
import { startUp } from "./start_up.ts";

interface Shape {
  readonly name: string;
  readonly load: Load;
}

const { rounds, quick } = parseArgs(Deno.args, {
  string: ["rounds"],
  boolean: ["quick"],
  default: { rounds: "5" },
});
const ROUNDS = quick ? 1 : Number(rounds);
const SCALE = quick ? 0.1 : 1;

const SHAPES: readonly Shape[] = [
  { name: "1 × 1", load: { connections: 1, depth: 1, count: 10_000 * SCALE } },
  { name: "50 × 1", load: { connections: 50, depth: 1, count: 100_000 * SCALE } },
  { name: "8 × 64", load: { connections: 8, depth: 64, count: 600_000 * SCALE } },
];

/** A median and the range that it comes from. */
function spread(values: readonly number[], show: (value: number) => string): string {
  return `${show(median(values))} (${show(Math.min(...values))} … ${show(Math.max(...values))})`;
}

const perSecond = (rate: number) => Math.round(rate).toLocaleString("en");
const ms = (value: number) => value.toFixed(2);

async function throughput(): Promise<void> {
  await using echo = await startEcho();
  await using sd = await startServer(2);
  // Both once, unmeasured: what runs for the first time is compiled for the first time.
  for (const { load } of SHAPES) {
    await benchEcho(echo.port, load);
    await benchTasks(sd.port, load);
  }
  print(
    "| connections × in flight | bare echo, lines/s | sd, tasks/s | sd / echo | echo p50, ms | sd p50, ms | sd p99, ms |",
  );
  print("| --- | --- | --- | --- | --- | --- | --- |");
  for (const { name, load } of SHAPES) {
    const echoRuns: Awaited<ReturnType<typeof benchEcho>>[] = [];
    const sdRuns: Awaited<ReturnType<typeof benchTasks>>[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      echoRuns.push(await benchEcho(echo.port, load));
      sdRuns.push(await benchTasks(sd.port, load));
    }
    const ratios = sdRuns.map((run, i) => run.tasks_per_second / (echoRuns[i]?.rate ?? NaN));
    print(
      `| ${name} | ${spread(echoRuns.map((run) => run.rate), perSecond)} | ` +
        `${spread(sdRuns.map((run) => run.tasks_per_second), perSecond)} | ` +
        `${spread(ratios, ms)} | ${spread(echoRuns.map((run) => run.p50), ms)} | ` +
        `${spread(sdRuns.map((run) => run.latency.p50), ms)} | ` +
        `${spread(sdRuns.map((run) => run.latency.p99), ms)} |`,
    );
  }
}

await throughput();
print(`\nFrom sd serve to the first result: ${Math.round(await startUp())} ms`);
const { sd, bare, ratio } = await cpuBound();
print(
  `400 CPU-bound tasks of about 10 ms on 2 workers: ${sd.toFixed(2)} s, ` +
    `in 2 bare threads ${bare.toFixed(2)} s, ratio ${ratio.toFixed(3)}`,
);
