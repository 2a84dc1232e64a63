/** Drops the records of tasks that were kept long enough, and expires tasks that nobody started. */

import type { Clock } from "../clock.ts";
import type { Engine } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import type { TaskEvents } from "../task/task_events.ts";
import { Ticker } from "./ticker.ts";

export interface JanitorOptions {
  readonly engine: Engine;
  readonly events: TaskEvents;
  readonly clock: Clock;
  readonly log: Log;
}

/** A task that is submitted after a look may be due before the next one, so look often enough. */
const LONGEST_MS = 500;
const SHORTEST_MS = 20;

export function createJanitor({ engine, events, clock, log }: JanitorOptions): Ticker {
  return new Ticker({
    room: "janitor",
    clock,
    log,
    async work() {
      const { expired, nextAt } = await engine.prune(clock.now(), clock.aheadMs);
      events.emit(expired);
      return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, nextAt - clock.now()));
    },
  });
}
