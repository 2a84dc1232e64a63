/** What waits, what runs and who runs it, as `stats` tells it: bounded, whatever there is. */

import { MAX_STATS_ROWS } from "../../protocol/limits.ts";
import type { OpLoadView, PoolView } from "../../protocol/task.ts";
import type { OpLoad } from "../engine/engine.ts";

/** `aheadMs`: what to take from a stored time to show it. */
export function opLoads(ops: readonly OpLoad[], aheadMs: number): OpLoadView[] {
  const most = ops.toSorted((a, b) => b.queued + b.running - a.queued - a.running);
  return most.slice(0, MAX_STATS_ROWS).map(({ op, queued, running, waitingSince }) => ({
    op,
    queued,
    running,
    ...(waitingSince === undefined
      ? {}
      : { waiting_since: new Date(waitingSince - aheadMs).toISOString() }),
  }));
}

/** A worker process as far as it is told of. */
interface Pool {
  readonly pid: number;
  readonly workers: number;
  readonly held: number;
  readonly isSingle: boolean;
  heldOps(): ReadonlyMap<string, number>;
}

export function poolViews(pools: readonly Pool[]): PoolView[] {
  // The dispatcher turns them round; whoever looks twice is to find each where it was.
  const shown = pools.filter(({ isSingle, held }) => !isSingle || held > 0);
  const byPid = shown.toSorted((a, b) => a.pid - b.pid).slice(0, MAX_STATS_ROWS);
  return byPid.map((pool) => {
    const { pid, workers, held, isSingle } = pool;
    const ops = [...pool.heldOps()].map(([op, held]) => ({ op, held }));
    ops.sort((a, b) => b.held - a.held || (a.op < b.op ? -1 : 1));
    return {
      pid,
      workers,
      held,
      ops: ops.slice(0, MAX_STATS_ROWS),
      ...(isSingle && { single: true as const }),
    };
  });
}
