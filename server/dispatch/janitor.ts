/**
 * Drops the records of tasks that were kept long enough, expires tasks that nobody started, and has the directory
 * forget the ops of pools that have left long ago.
 */

import type { Clock } from "../clock.ts";
import type { Engine } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import type { OpDirectory } from "./op_directory.ts";
import { Ticker } from "./ticker.ts";

export interface JanitorOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  readonly ops: Pick<OpDirectory, "isDue" | "forget">;
  /** The ops of recurring tasks: they are in use while no task of them is there. */
  readonly recurringOps: () => Iterable<string>;
}

/** A task that is submitted after a look may be due before the next one, so look often enough. */
const LONGEST_MS = 500;
const SHORTEST_MS = 20;

export function createJanitor(options: JanitorOptions): Ticker {
  const { engine, clock, log, ops, recurringOps } = options;
  return new Ticker({
    room: "janitor",
    clock,
    log,
    async work() {
      const { nextAt } = await engine.prune(clock.now(), clock.aheadMs);
      if (ops.isDue) {
        const stats = await engine.stats();
        const open = new Set([...stats.ops.map(({ op }) => op), ...recurringOps()]);
        ops.forget((op) => open.has(op));
      }
      return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, nextAt - clock.now()));
    },
  });
}
