/**
 * Takes back the leases of worker processes that have gone silent. Leases are measured by the time in which this process
 * was awake: after a stop of the server, or of the machine, none has run out that had not before, and the renewals that
 * wait in the sockets are read first.
 */

import { AWAKE_STEP_MS } from "../../net/awake_clock.ts";
import type { Clock } from "../clock.ts";
import type { Engine } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import type { TaskEvents } from "../task/task_events.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { Ticker } from "./ticker.ts";

export interface ReclaimerOptions {
  readonly engine: Engine;
  readonly events: TaskEvents;
  readonly dispatcher: Pick<Dispatcher, "kick" | "cutHolders" | "logOf">;
  readonly clock: Clock;
  readonly log: Log;
  readonly leaseMs: number;
}

/** Looks at all leases in the time of one. */
const LOOKS = 10;
/** Between two readings of the clock, which counts as awake what it is read in: half of a step, in ms. */
const READ_MS = AWAKE_STEP_MS / 2;

export function createReclaimer(options: ReclaimerOptions): Ticker {
  const { engine, events, dispatcher, clock, log, leaseMs } = options;
  const lookMs = leaseMs / LOOKS;
  let nextLook = 0;
  return new Ticker({
    room: "reclaimer",
    clock,
    log,
    async work() {
      const awake = clock.awake();
      if (awake >= nextLook) {
        nextLook = awake + lookMs;
        const logOf = (lease: number) => dispatcher.logOf(lease);
        const { lost, finished } = await engine.reclaim(awake, clock.now(), logOf);
        if (lost.length > 0) {
          log.warn("reclaimer", `${lost.length} leases ran out; their tasks are queued again`);
          // Otherwise they would be given the same tasks again. A process that lives connects again.
          dispatcher.cutHolders(lost, "its leases ran out");
          events.emit(finished);
          dispatcher.kick();
        }
      }
      return Math.min(lookMs, READ_MS);
    },
  });
}
