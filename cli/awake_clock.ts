/**
 * Counts the time in which this process ran. A process that is stopped, or on a machine that sleeps, has not been awake:
 * a deadline by this clock is never over just because nobody could keep it. Used by the server for leases, and by a
 * worker process for everything that it allows its workers.
 */

/** Longest time between two readings that counts, in ms: in the rest, the process did not run. Read it as often. */
export const AWAKE_STEP_MS = 500;

export class AwakeClock {
  readonly #monotonic: () => number;
  #awakeMs = 0;
  #asleepMs = 0;
  #readAt: number;

  constructor(monotonic: () => number = () => performance.now()) {
    this.#monotonic = monotonic;
    this.#readAt = monotonic();
  }

  /** In ms from an arbitrary start. */
  now(): number {
    const at = this.#monotonic();
    const passed = Math.max(0, at - this.#readAt);
    const counts = Math.min(passed, AWAKE_STEP_MS);
    this.#readAt = at;
    this.#awakeMs += counts;
    this.#asleepMs += passed - counts;
    return this.#awakeMs;
  }

  /** What did not count until the last reading, in ms. */
  get asleepMs(): number {
    return this.#asleepMs;
  }
}

/** Of this process. */
export const awake = new AwakeClock();
