/** `sd bench`: measures the throughput of a server and the latency of its tasks. */

import { ClientError } from "../../net/client_error.ts";
import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS, targetOf } from "../../cli/server_flags.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData, reportError } from "../../cli/report.ts";
import { print } from "../../cli/talk.ts";
import { type BenchPlan, type BenchReport, runBench } from "./bench/bench_loop.ts";
import { BENCH_OPS, benchOp } from "./bench/bench_op.ts";
import { alignedTable, withCommas } from "./base/table.ts";
import { withClient } from "./base/with_client.ts";

const DEFAULT_MS = 1;
const DEFAULT_ROUNDS = 1000;
const DEFAULT_COUNT = 200_000;
/** Longest run, in ms: the refs of its tasks fit 31 bits. */
const MAX_DURATION_MS = 3_600_000;

export const bench = defineCommand({
  name: "bench",
  summary: "measure the throughput and latency of the server",
  flags: {
    ...CLIENT_FLAGS,
    connections: {
      type: "integer",
      value: "N",
      min: 1,
      max: 1000,
      default: 8,
      help: "number of connections",
    },
    depth: {
      type: "integer",
      value: "N",
      min: 1,
      max: 4096,
      default: 64,
      help: "tasks in flight on each connection",
    },
    count: {
      type: "integer",
      value: "N",
      min: 1,
      max: 1_000_000_000,
      help: "total number of tasks",
      fallback: `${DEFAULT_COUNT} without --duration`,
    },
    duration: {
      type: "duration",
      value: "TIME",
      min: 1,
      max: MAX_DURATION_MS,
      help: "submit for this time, instead of --count",
    },
    op: {
      type: "string",
      value: "OP",
      choices: BENCH_OPS,
      default: "square",
      help: "op to submit",
    },
    ms: {
      type: "integer",
      value: "N",
      min: 0,
      max: 60_000,
      help: "for sleep: milliseconds",
      fallback: String(DEFAULT_MS),
    },
    rounds: {
      type: "integer",
      value: "N",
      min: 1,
      max: 10_000_000,
      help: "for hash: rounds of SHA-256",
      fallback: String(DEFAULT_ROUNDS),
    },
  },
  examples: [
    ["sd bench", "throughput of small tasks"],
    ["sd bench --connections 1 --depth 1 --count 2000", "latency of a single task"],
    ["sd bench --op hash --rounds 5000 --duration 10s", "tasks that need the processor"],
  ],
  notes: [
    "Each task must get exactly one acknowledgement and one correct result; otherwise the exit code is 1. " +
    "Latency is the time from submit to result.",
  ],
  async run({ flags }) {
    if (flags.count !== undefined && flags.duration !== undefined) {
      throw new ClientError("usage", "--count and --duration exclude each other");
    }
    for (const [flag, op] of [["ms", "sleep"], ["rounds", "hash"]] as const) {
      if (flags[flag] === undefined || flags.op === op) continue;
      throw new ClientError("usage", `--${flag} goes with --op ${op}, and the op is ${flags.op}`);
    }
    const { ms = DEFAULT_MS, rounds = DEFAULT_ROUNDS } = flags;
    const plan: BenchPlan = {
      target: targetOf(flags),
      op: await benchOp(flags.op, { ms, rounds }),
      connections: flags.connections,
      depth: flags.depth,
      count: flags.duration === undefined ? flags.count ?? DEFAULT_COUNT : Infinity,
      durationMs: flags.duration ?? Infinity,
    };
    // One connection first: if the server refuses it, its error says why.
    await withClient({ flags }, (client) => client.ping());
    const report = await runBench(plan);
    const wrong = Object.keys(report.errors).length > 0;
    if (!flags.json) print(reportTable(plan, report));
    else if (!wrong) printData(report);
    if (!wrong) return EXIT.ok;
    const message = "not every task got one acknowledgement and the correct result";
    return reportError({ code: "task_error", message, hint: "see the server's log" }, {
      json: flags.json,
      data: report,
    });
  },
});

function reportTable(plan: BenchPlan, report: BenchReport): string {
  const { p50, p99, max } = report.latency;
  const errors = Object.entries(report.errors).map(([what, count]) =>
    `${withCommas(count)} ${what}`
  );
  return alignedTable([
    ["tasks", `${withCommas(report.tasks)} ${plan.op.name}`],
    ["in flight", `${plan.depth} on each of ${plan.connections} connections`],
    ["time", `${report.seconds.toFixed(2)} s`],
    ["throughput", `${withCommas(Math.round(report.tasks_per_second))} tasks/s`],
    ["latency", `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, max ${max.toFixed(2)} ms`],
    ["errors", errors.length > 0 ? errors.join(", ") : "none"],
  ]);
}
