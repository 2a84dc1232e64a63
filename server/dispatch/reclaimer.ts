/**
 * Takes back the leases of worker processes that have gone silent. Leases are measured by the time in which this process
 * was awake: after a stop of the server, or of the machine, none has run out that had not before, and the renewals that
 * wait in the sockets are read first.
 */

import { AWAKE_STEP_MS } from "../../net/awake_clock.ts";
import type { Clock } from "../clock.ts";
import type { Engine } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { Ticker } from "./ticker.ts";

export interface ReclaimerOptions {
  readonly engine: Engine;
  readonly dispatcher: Pick<Dispatcher, "kick" | "cutHolders">;
  readonly clock: Clock;
  readonly log: Log;
  readonly leaseMs: number;
}

/** Looks at all leases in the time of one. */
const LOOKS = 10;
/** Between two readings of the clock, which counts as awake what it is read in: half of a step, in ms. */
const READ_MS = AWAKE_STEP_MS / 2;

export function createReclaimer(options: ReclaimerOptions): Ticker {
  const { engine, dispatcher, clock, log, leaseMs } = options;
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
        const overdue = await engine.overdue(awake);
        if (overdue.length > 0) {
          log.warn("reclaimer", `${overdue.length} leases ran out; their tasks are queued again`);
          // Its process would be given the same tasks again if it stayed. If it lives it connects again.
          const unheld = dispatcher.cutHolders(overdue, "its leases ran out");
          const nacks = unheld.map((lease) => ({ lease, reason: "lost" as const }));
          if (nacks.length > 0) await engine.nack(nacks, clock.now());
          dispatcher.kick();
        }
      }
      return Math.min(lookMs, READ_MS);
    },
  });
}
