/**
 * Periodic work that keeps an engine in order. The reclaimer takes back leases that ran out; the janitor drops old records
 * and expires tasks. Both are a `Ticker`, which runs one piece of work again and again and never twice at a time. The
 * server starts and stops them; `watchdog.ts` is a ticker too.
 */

import { AWAKE_STEP_MS } from "../../net/awake_clock.ts";
import type { Clock } from "../clock.ts";
import type { Engine } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { OpDirectory } from "./op_directory.ts";

interface TickerOptions {
  /** Stands in the log before a failure of the work. */
  readonly room: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Does the work; resolves with the pause before the next run, in ms. */
  readonly work: () => Promise<number>;
}

/** Pause after work that failed, in ms: soon enough to recover, rare enough not to flood the log. */
const AFTER_ERROR_MS = 1000;

/** A loop of one piece of work, which says when it must run next. */
export class Ticker {
  readonly #options: TickerOptions;
  #cancel: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #started = false;

  constructor(options: TickerOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#schedule(0);
  }

  /** Waits for the run under way. */
  async stop(): Promise<void> {
    this.#started = false;
    this.#cancel?.();
    this.#cancel = undefined;
    await this.#running;
  }

  #schedule(ms: number): void {
    if (!this.#started) return;
    this.#cancel = this.#options.clock.after(ms, () => {
      this.#running = this.#run();
    });
  }

  async #run(): Promise<void> {
    const { work, log, room } = this.#options;
    let next = AFTER_ERROR_MS;
    try {
      next = await work();
    } catch (error) {
      log.bug(room, error);
    }
    this.#schedule(next);
  }
}

interface ReclaimerOptions {
  readonly engine: Pick<Engine, "overdue" | "nack">;
  readonly dispatcher: Pick<Dispatcher, "kick" | "cutHolders">;
  readonly clock: Clock;
  readonly log: Log;
  /** Length of a lease. */
  readonly leaseMs: number;
}

/** Looks at all leases in the time of one lease. */
const LOOKS = 10;
/** Longest time between two readings of the awake clock, in ms: half of its step, so that it misses nothing. */
const READ_MS = AWAKE_STEP_MS / 2;

/**
 * The loop that takes back the leases of worker processes that have gone silent. Leases are measured in awake time: a
 * stop of the server or of the machine lets none run out. Renewals that wait in the sockets then are read first.
 */
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
          // A process that kept its link would be given the same tasks again. If it lives, it connects again.
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

interface JanitorOptions {
  readonly engine: Pick<Engine, "prune" | "stats">;
  readonly clock: Clock;
  readonly log: Log;
  readonly ops: Pick<OpDirectory, "isDue" | "forget">;
  /** The ops of recurring tasks, which are in use even while no task of theirs exists. */
  readonly recurringOps: () => Iterable<string>;
}

/** Longest pause of the janitor, in ms: a task that is submitted after a look can be due before the next. */
const LONGEST_MS = 500;
/** Shortest pause of the janitor, in ms. */
const SHORTEST_MS = 20;

/** The loop that drops old records, expires tasks that did not start in time, and forgets ops of pools long gone. */
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
