/**
 * `deno task bench`: measures sd beside a bare Deno TCP echo and the naive path of a task. All three take turns in one
 * run, so that their ratios hold on a machine whose speed drifts. Prints the figures of `docs/performance.md`.
 * `--rounds N` (5), `--quick`.
 */

import { parseArgs } from "@std/cli/parse-args";
import { print } from "../cli/talk.ts";
import type { BenchReport } from "../client/commands/bench/bench_loop.ts";
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
  { name: "8 × 256", load: { connections: 8, depth: 256, count: 1_000_000 * SCALE } },
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
  await using sd = await startServer(2, "memory");
  await using durable = await startServer(2, "sqlite");
  // All once, unmeasured: what runs for the first time is compiled for the first time.
  for (const { load } of SHAPES) {
    await benchEcho(echo.port, load);
    await benchTasks(naive.port, load);
    await benchTasks(sd.port, load);
    await benchTasks(durable.port, load);
  }
  print(
    "| connections × in flight | bare echo, lines/s | naive, tasks/s | memory, tasks/s | sqlite, tasks/s " +
      "| memory / naive | sqlite / memory | p50 echo, ms | p50 naive, ms | p50 memory, ms | p50 sqlite, ms " +
      "| p99 memory, ms | p99 sqlite, ms |",
  );
  print("|" + " --- |".repeat(13));
  for (const { name, load } of SHAPES) print(`| ${name} | ${(await row(load)).join(" | ")} |`);

  async function row(load: Load): Promise<string[]> {
    const all = {
      echo: [] as Rate[],
      naive: [] as Rate[],
      sd: [] as Rate[],
      durable: [] as Rate[],
    };
    for (let i = 0; i < ROUNDS; i++) {
      all.echo.push({ ...await benchEcho(echo.port, load), p99: NaN });
      all.naive.push(rateOf(await benchTasks(naive.port, load)));
      all.sd.push(rateOf(await benchTasks(sd.port, load)));
      all.durable.push(rateOf(await benchTasks(durable.port, load)));
    }
    const over = (some: readonly Rate[], other: readonly Rate[]) =>
      spread(some.map(({ rate }, i) => rate / (other[i]?.rate ?? NaN)), ms);
    const rates = (some: readonly Rate[]) => spread(some.map(({ rate }) => rate), perSecond);
    const p50s = (some: readonly Rate[]) => spread(some.map(({ p50 }) => p50), ms);
    const p99s = (some: readonly Rate[]) => spread(some.map(({ p99 }) => p99), ms);

    return [
      ...[all.echo, all.naive, all.sd, all.durable].map(rates),
      over(all.sd, all.naive),
      over(all.durable, all.sd),
      ...[all.echo, all.naive, all.sd, all.durable].map(p50s),
      ...[all.sd, all.durable].map(p99s),
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
