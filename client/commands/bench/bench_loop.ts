/**
 * The load that `sd bench` puts on a server: so many connections, so many tasks in flight on each,
 * and for every task a check that it got one acknowledgement and one answer, the right one. Used by
 * the command and by the comparisons in `bench/`.
 */

import { ClientError } from "../../../net/client_error.ts";
import { formatTarget, type Target } from "../../../net/target.ts";
import { formatDuration } from "../../../protocol/text_forms.ts";
import { BenchConnection } from "./bench_connection.ts";
import type { BenchOp } from "./bench_op.ts";
import { type BenchTally, LatencySamples } from "./bench_slots.ts";

const MAX_SAMPLES = 4_000_000;
/** No answer at all for so long: the tasks in flight are lost or stuck. */
const STALL_MS = 30_000;
const WATCH_MS = 500;

export interface BenchPlan {
  target: Target;
  op: BenchOp;
  connections: number;
  /** Tasks in flight on each connection. */
  depth: number;
  /** Tasks to submit in all; `Infinity` where `durationMs` ends it. */
  count: number;
  /** Submits for so long; `Infinity` where `count` ends it. */
  durationMs: number;
}

export interface BenchReport {
  tasks: number;
  seconds: number;
  tasks_per_second: number;
  /** From submit to final answer, in milliseconds. */
  latency: { p50: number; p99: number; max: number };
  /** What went wrong, and how often; empty where every answer was the right one. */
  errors: Record<string, number>;
}

/** Runs the bench. Throws `unreachable` when a connection is lost or nothing is answered any more. */
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

/** Ends the connections when the server answers nothing any more, and their `run` throws. */
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
