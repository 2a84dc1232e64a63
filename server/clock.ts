/**
 * The server's clock, handed to every room that needs the time, so that tests can move it by hand. It keeps
 * three times, since a wall clock jumps and a process or a machine stops:
 *
 * - `now`, server time: for spans and for all stored times. It never goes back. It follows the monotonic clock,
 *   and when the wall clock jumps ahead of it (a machine that slept, a clock that was set) it follows that. So a
 *   delay is over at the earlier of the two, and a clock that is set back makes nothing wait longer.
 * - `wall`, what the wall clock says: for times that people name or read (`at`, cron, the stamps of answers). It is
 *   `now` less `aheadMs`, which is 0 until the wall clock is set back.
 * - `awake`, the time in which this process ran: for leases, and for the silence of others. A process that was
 *   stopped counts none of it, so the first look after it finds no lease run out that was not before.
 */

import { AwakeClock } from "../net/awake_clock.ts";

export interface Clock {
  /** Server time in ms since 1970, a whole number. */
  now(): number;
  /** Wall time in ms since 1970, a whole number. */
  wall(): number;
  /** How far `now` is ahead of `wall`, in ms: subtract it from a stored time before showing it. */
  readonly aheadMs: number;
  /** Time in which this process ran, in ms from an arbitrary start. Read it every `AWAKE_STEP_MS` at least. */
  awake(): number;
  /** Moves `now` up to `ms`, the last time that an earlier process of this data knew. */
  reach(ms: number): void;
  /** Calls `run` once, `ms` from now at the earliest; the returned function cancels it. */
  after(ms: number, run: () => void): () => void;
}

/** Where a clock reads the time; in ms. */
interface TimeSource {
  wall(): number;
  /** Never goes back, and may stand still while the machine sleeps. */
  monotonic(): number;
}

/** Timers count in 32 bits; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** A smaller difference of the two clocks is drift: nothing shown changes for it. */
const DRIFT_MS = 1000;
/** Server time that is ahead of the wall clock by drift runs slower by this share until both agree. */
const SLOWER = 0.001;

const SYSTEM: TimeSource = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
};

export class SteadyClock implements Clock {
  readonly #source: TimeSource;
  #now: number;
  #seenAt: number;
  #aheadMs = 0;
  readonly #awake: AwakeClock;

  constructor(source = SYSTEM) {
    this.#source = source;
    this.#now = source.wall();
    this.#seenAt = source.monotonic();
    this.#awake = new AwakeClock({ monotonic: () => source.monotonic() });
  }

  now(): number {
    this.#look();
    return Math.floor(this.#now);
  }

  wall(): number {
    return this.now() - this.#aheadMs;
  }

  get aheadMs(): number {
    this.#look();
    return this.#aheadMs;
  }

  awake(): number {
    return this.#awake.now();
  }

  reach(ms: number): void {
    // First the time that has passed since the last look, which must not be added to `ms`.
    this.#look();
    this.#now = Math.max(this.#now, ms);
    this.#look();
  }

  after(ms: number, run: () => void): () => void {
    const timer = setTimeout(run, Math.min(Math.max(ms, 0), MAX_TIMER_MS));
    return () => clearTimeout(timer);
  }

  #look(): void {
    const wall = this.#source.wall();
    const at = this.#source.monotonic();
    const passed = Math.max(0, at - this.#seenAt);
    this.#seenAt = at;
    // Where the wall clock would be, had it not been set back.
    const expected = wall + this.#aheadMs;
    let now = this.#now + passed;
    if (now > expected + 1) now -= Math.min(passed * SLOWER, now - expected - 1);
    else if (expected - now <= DRIFT_MS) now = Math.max(now, expected);
    this.#now = Math.max(now, wall);
    const ahead = Math.floor(this.#now) - wall;
    if (Math.abs(ahead - this.#aheadMs) <= DRIFT_MS) return;
    this.#aheadMs = ahead <= DRIFT_MS ? 0 : ahead;
  }
}

export const systemClock: Clock = new SteadyClock();
