/** Takes back the leases of worker processes that have gone silent. */

import type { Clock } from "../clock.ts";
import type { Engine } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import type { TaskEvents } from "../task/task_events.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { Ticker } from "./ticker.ts";

export interface ReclaimerOptions {
  readonly engine: Engine;
  readonly events: TaskEvents;
  readonly dispatcher: Pick<Dispatcher, "kick" | "stopTasks" | "logOf">;
  readonly clock: Clock;
  readonly log: Log;
  readonly leaseMs: number;
}

export function createReclaimer(options: ReclaimerOptions): Ticker {
  const { engine, events, dispatcher, clock, log, leaseMs } = options;
  return new Ticker({
    room: "reclaimer",
    clock,
    log,
    async work() {
      const logOf = (lease: number) => dispatcher.logOf(lease);
      const { lost, finished } = await engine.reclaim(clock.now(), logOf);
      if (lost.length > 0) {
        log.warn("reclaimer", `${lost.length} leases ran out; their tasks are queued again`);
        // Should the worker still live, it learns that the tasks are not its own any more.
        dispatcher.stopTasks(lost, "lost");
        events.emit(finished);
        dispatcher.kick();
      }
      return leaseMs / 3;
    },
  });
}
