/**
 * `deno task bench:engines`: sd on each durable engine beside the library that people use on the same store, and through a
 * follower, a load balancer and RabbitMQ. All take turns in one run, so that their ratios hold on a machine whose speed
 * drifts. It brings its own PostgreSQL and Redis, with their default settings and AOF every second; RabbitMQ is that of the
 * machine. `--rounds N` (3), `--quick`.
 */

import { parseArgs } from "@std/cli/parse-args";
import { print } from "../cli/talk.ts";
import { ownName, OwnPostgres, OwnRedis, SHARED } from "../tests/kit/services.ts";
import type { PeerReport } from "./peers/rpc.ts";
import { benchTasks, type Load, median, output, type Running, startServer } from "./running.ts";

const { rounds, quick } = parseArgs(Deno.args, {
  string: ["rounds"],
  boolean: ["quick"],
  default: { rounds: "3" },
});
const ROUNDS = quick ? 1 : Number(rounds);
const SCALE = quick ? 0.2 : 1;
const SECONDS = quick ? 3 : 6;
/** Tasks in flight of the pipelined shape, and the window of the peers. */
const WINDOW = 1024;

const PIPELINED: Load = { connections: 8, depth: WINDOW / 8, count: 120_000 * SCALE };
const MANY: Load = { connections: 50, depth: 1, count: 30_000 * SCALE };
const ONE: Load = { connections: 1, depth: 1, count: 2000 * SCALE };

interface Row {
  readonly name: string;
  readonly values: number[];
}

/** Rows by name, in the order in which they were first measured. */
const table = new Map<string, Row>();

function add(name: string, value: number): void {
  const row = table.get(name) ?? { name, values: [] };
  row.values.push(value);
  table.set(name, row);
}

function ratio(name: string, other: string): string {
  const [a, b] = [table.get(name)?.values, table.get(other)?.values];
  if (!a || !b) return "";
  const each = a.map((value, i) => value / (b[i] ?? NaN));
  return `${median(each).toFixed(2)} (${Math.min(...each).toFixed(2)} … ${
    Math.max(...each).toFixed(2)
  })`;
}

async function measure(name: string, { port }: Running, load: Load): Promise<void> {
  const { tasks_per_second, latency } = await benchTasks(port, load);
  add(`${name}, tasks/s`, tasks_per_second);
  if (load === ONE) add(`${name}, p50 in ms`, latency.p50);
}

async function measurePeer(name: string, script: string, args: readonly string[]): Promise<void> {
  const path = new URL(`./peers/${script}`, import.meta.url).pathname;
  const text = await output(Deno.execPath(), [
    ...["run", "--quiet", "--no-check", "-A", path, ...args],
    ...["--seconds", String(SECONDS), "--window", String(WINDOW)],
  ]);
  const report = JSON.parse(text.trim().split("\n").at(-1)!) as PeerReport;
  if (report.wrong > 0) throw new Error(`${report.peer}: ${report.wrong} wrong results`);
  add(`${name}, tasks/s`, report.tasksPerSecond);
}

await using postgres = await OwnPostgres.start();
await using redis = await OwnRedis.start({ appendfsync: "everysec" });
const postgresUrl = postgres.url as `postgres://${string}`;
const redisUrl = redis.url as `redis://${string}`;
const queue = ownName("bench");

await using onSqlite = await startServer(2, "sqlite");
await using onPostgres = await startServer(2, postgresUrl);
await using follower = await startServer(0, postgresUrl);
await using onRedis = await startServer(2, redisUrl);
await using behindRabbit = await startServer(2, "sqlite", [
  "--intake",
  `${SHARED.amqp}?queue=${queue}`,
]);
void behindRabbit;

for (let round = 0; round <= ROUNDS; round++) {
  for (const load of [PIPELINED, MANY, ONE]) {
    const shape = `${load.connections} × ${load.depth}`;
    await measure(`sqlite ${shape}`, onSqlite, load);
    await measure(`postgres ${shape}`, onPostgres, load);
    await measure(`follower ${shape}`, follower, load);
    await measure(`redis ${shape}`, onRedis, load);
  }
  await measurePeer("pg-boss", "pg_boss.ts", ["--url", postgres.url]);
  await measurePeer("BullMQ", "bullmq.ts", ["--url", redis.url]);
  await measurePeer("sd behind RabbitMQ", "amqp_rpc.ts", ["--url", SHARED.amqp, "--sd", queue]);
  await measurePeer("RabbitMQ RPC", "amqp_rpc.ts", ["--url", SHARED.amqp]);
  // The first round is not counted: code that runs for the first time is compiled for the first time.
  if (round === 0) table.clear();
}

print("| what | median | range |\n| --- | --- | --- |");
for (const { name, values } of table.values()) {
  const show = (value: number) =>
    value < 100 ? value.toFixed(2) : Math.round(value).toLocaleString("en");
  print(
    `| ${name} | ${show(median(values))} | ${show(Math.min(...values))} … ${
      show(Math.max(...values))
    } |`,
  );
}
const pipelined = `${PIPELINED.connections} × ${PIPELINED.depth}, tasks/s`;
print("\n| ratio | median (range) |\n| --- | --- |");
for (
  const [name, a, b] of [
    ["postgres / pg-boss", `postgres ${pipelined}`, "pg-boss, tasks/s"],
    ["postgres / sqlite", `postgres ${pipelined}`, `sqlite ${pipelined}`],
    ["redis / BullMQ", `redis ${pipelined}`, "BullMQ, tasks/s"],
    ["redis / sqlite", `redis ${pipelined}`, `sqlite ${pipelined}`],
    ["follower / leader", `follower ${pipelined}`, `postgres ${pipelined}`],
    ["sd behind RabbitMQ / its RPC", "sd behind RabbitMQ, tasks/s", "RabbitMQ RPC, tasks/s"],
    ["postgres / sqlite, p50 of 1 × 1", "postgres 1 × 1, p50 in ms", "sqlite 1 × 1, p50 in ms"],
  ] as const
) print(`| ${name} | ${ratio(a, b)} |`);
