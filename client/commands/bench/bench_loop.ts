/**
 * The load of `sd bench`: a number of connections, a number of tasks in flight on each. Every task is checked for exactly
 * one acknowledgement and one correct result. Used by the command and by the comparisons in `bench/`.
 */

import { ClientError } from "../../../net/client_error.ts";
import { formatTarget, type Target } from "../../../net/target.ts";
import { formatDuration } from "../../../protocol/text_forms.ts";
import { BenchConnection } from "./bench_connection.ts";
import type { BenchOp } from "./bench_op.ts";
import { type BenchTally, LatencySamples } from "./bench_slots.ts";

/** Most latencies that are kept. */
const MAX_SAMPLES = 4_000_000;
/** Longest time without any result, in ms; then the tasks in flight are lost or stuck. */
const STALL_MS = 30_000;
const WATCH_MS = 500;

export interface BenchPlan {
  target: Target;
  op: BenchOp;
  connections: number;
  /** Tasks in flight on each connection. */
  depth: number;
  /** Total number of tasks; `Infinity` if `durationMs` ends the bench. */
  count: number;
  /** Time to submit for, in ms; `Infinity` if `count` ends the bench. */
  durationMs: number;
}

export interface BenchReport {
  tasks: number;
  seconds: number;
  tasks_per_second: number;
  /** From submit to result, in ms. */
  latency: { p50: number; p99: number; max: number };
  /** Errors and their counts; empty if every result was correct. */
  errors: Record<string, number>;
}

/** Runs the bench. Throws `unreachable` if a connection is lost or the server stops replying. */
export async function runBench(plan: BenchPlan): Promise<BenchReport> {
  const tally: BenchTally = {
    left: plan.count,
    until: Infinity,
    finished: 0,
    samples: new LatencySamples(Math.min(plan.count, MAX_SAMPLES)),
    errors: new Map(),
  };
  const connections: BenchConnection[] = [];
  try {
    for (let index = 0; index < plan.connections; index++) {
      connections.push(await BenchConnection.open({ ...plan, index, tally }));
    }
    const startedAt = performance.now();
    tally.until = startedAt + plan.durationMs;
    using _watch = watch(tally, { plan, connections });
    await Promise.all(connections.map((connection) => connection.run()));
    return report(tally, (performance.now() - startedAt) / 1000);
  } finally {
    for (const connection of connections) connection.close();
  }
}

/** Closes the connections if the server stops replying, so that their `run` throws. */
function watch(
  tally: BenchTally,
  { plan, connections }: { plan: BenchPlan; connections: readonly BenchConnection[] },
): Disposable {
  let seen = -1;
  let seenAt = 0;
  const timer = setInterval(() => {
    if (tally.finished !== seen) {
      seen = tally.finished;
      seenAt = performance.now();
    } else if (performance.now() - seenAt > STALL_MS) {
      const message = `${formatTarget(plan.target)} has answered nothing for ${
        formatDuration(STALL_MS)
      }; ${tally.finished} tasks were answered before`;
      const stalled = new ClientError("unreachable", message, {
        hint: "see what is queued with: sd status",
      });
      for (const connection of connections) connection.close(stalled);
    }
  }, WATCH_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function report(tally: BenchTally, seconds: number): BenchReport {
  const { percentiles: [p50 = 0, p99 = 0], maxMs } = tally.samples.summary([0.5, 0.99]);
  return {
    tasks: tally.finished,
    seconds,
    tasks_per_second: tally.finished / seconds,
    latency: { p50, p99, max: maxMs },
    errors: Object.fromEntries(tally.errors),
  };
}
