/** `sd bench`: measures how many tasks a second a server gets through, and how long one takes. */

import { ClientError } from "../../net/client_error.ts";
import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS, targetOf } from "../../cli/server_flags.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData, tellError } from "../../cli/report.ts";
import { print } from "../../cli/talk.ts";
import { type BenchPlan, type BenchReport, runBench } from "./bench/bench_loop.ts";
import { BENCH_OPS, benchOp } from "./bench/bench_op.ts";
import { alignedTable, withCommas } from "./base/table.ts";
import { withClient } from "./base/with_client.ts";

const DEFAULT_MS = 1;
const DEFAULT_ROUNDS = 1000;
const DEFAULT_COUNT = 200_000;
/** An hour: the refs of the tasks fit 31 bits. */
const MAX_DURATION_MS = 3_600_000;

export const bench = defineCommand({
  name: "bench",
  summary: "measure how many tasks a second the server gets through",
  flags: {
    ...CLIENT_FLAGS,
    connections: {
      type: "integer",
      value: "N",
      min: 1,
      max: 1000,
      default: 8,
      help: "connections, all at once",
    },
    depth: {
      type: "integer",
      value: "N",
      min: 1,
      max: 4096,
      default: 64,
      help: "tasks in flight on each",
    },
    count: {
      type: "integer",
      value: "N",
      min: 1,
      max: 1_000_000_000,
      help: `tasks in all; ${DEFAULT_COUNT} where neither this nor --duration is given`,
    },
    duration: {
      type: "duration",
      value: "TIME",
      min: 1,
      max: MAX_DURATION_MS,
      help: "submit for so long, instead of --count",
    },
    op: {
      type: "string",
      value: "OP",
      choices: BENCH_OPS,
      default: "square",
      help: "what to submit",
    },
    ms: {
      type: "integer",
      value: "N",
      min: 0,
      max: 60_000,
      help: `for sleep: milliseconds; ${DEFAULT_MS} if not given`,
    },
    rounds: {
      type: "integer",
      value: "N",
      min: 1,
      max: 10_000_000,
      help: `for hash: rounds of SHA-256; ${DEFAULT_ROUNDS} if not given`,
    },
  },
  examples: [
    ["sd bench", "a flood of small tasks"],
    ["sd bench --connections 1 --depth 1 --count 2000", "how long one task takes"],
    ["sd bench --op hash --rounds 5000 --duration 10s", "work that keeps the processors busy"],
  ],
  notes: [
    "Each task must get exactly one acknowledgement and one answer, the right one; exit 1 where " +
    "any did not. Latency is from submit to answer.",
  ],
  async run({ flags }) {
    if (flags.count !== undefined && flags.duration !== undefined) {
      throw new ClientError("usage", "--count or --duration ends the bench, not both");
    }
    for (const [flag, op] of [["ms", "sleep"], ["rounds", "hash"]] as const) {
      if (flags[flag] === undefined || flags.op === op) continue;
      throw new ClientError("usage", `--${flag} is for --op ${op}, and this is ${flags.op}`);
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
    // Who cannot speak to the server learns why from one connection, not from many that are cut.
    await withClient({ flags }, (client) => client.ping());
    const report = await runBench(plan);
    const wrong = Object.keys(report.errors).length > 0;
    if (!flags.json) print(reportTable(plan, report));
    else if (!wrong) printData(report);
    if (!wrong) return EXIT.ok;
    const message = "not every task got one acknowledgement and the right answer";
    return tellError({ code: "task_error", message, hint: "see the server's log" }, {
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
