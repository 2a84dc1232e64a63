/**
 * `deno task bench`: sd beside a bare Deno TCP echo and the naive path of a task, measured in one run and
 * in turn, so that their ratios hold on a machine whose speed drifts. Prints the figures of
 * `docs/performance.md`. `--rounds N` (5), `--quick`.
 */

import { parseArgs } from "@std/cli/parse-args";
import { print } from "../cli/talk.ts";
import type { BenchReport } from "../client/bench_loop.ts";
import {
  benchEcho,
  benchTasks,
  type Load,
  median,
  startEcho,
  startNaive,
  startServer,
} from "./running.ts";
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
  await using naive = await startNaive();
  await using sd = await startServer(2);
  // All once, unmeasured: what runs for the first time is compiled for the first time.
  for (const { load } of SHAPES) {
    await benchEcho(echo.port, load);
    await benchTasks(naive.port, load);
    await benchTasks(sd.port, load);
  }
  print(
    "| connections × in flight | bare echo, lines/s | naive, tasks/s | sd, tasks/s | sd / naive | sd / echo " +
      "| echo p50, ms | naive p50, ms | sd p50, ms | sd p99, ms |",
  );
  print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
  for (const { name, load } of SHAPES) print(`| ${name} | ${(await row(load)).join(" | ")} |`);

  async function row(load: Load): Promise<string[]> {
    const runs = { echo: [] as Rate[], naive: [] as Rate[], sd: [] as Rate[] };
    for (let i = 0; i < ROUNDS; i++) {
      runs.echo.push({ ...await benchEcho(echo.port, load), p99: NaN });
      runs.naive.push(rateOf(await benchTasks(naive.port, load)));
      runs.sd.push(rateOf(await benchTasks(sd.port, load)));
    }
    const over = (other: readonly Rate[]) =>
      spread(runs.sd.map(({ rate }, i) => rate / (other[i]?.rate ?? NaN)), ms);
    const rates = (some: readonly Rate[]) => spread(some.map(({ rate }) => rate), perSecond);
    const p50s = (some: readonly Rate[]) => spread(some.map(({ p50 }) => p50), ms);
    return [
      rates(runs.echo),
      rates(runs.naive),
      rates(runs.sd),
      over(runs.naive),
      over(runs.echo),
      p50s(runs.echo),
      p50s(runs.naive),
      p50s(runs.sd),
      spread(runs.sd.map(({ p99 }) => p99), ms),
    ];
  }
}

interface Rate {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
}

function rateOf({ tasks_per_second: rate, latency }: BenchReport): Rate {
  return { rate, p50: latency.p50, p99: latency.p99 };
}

await throughput();
print(`\nFrom sd serve to the first result: ${Math.round(await startUp())} ms`);
