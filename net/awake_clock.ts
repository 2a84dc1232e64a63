/**
 * Counts the time in which this process ran. A process that is stopped, or on a machine that sleeps, has not been awake:
 * a deadline by this clock is never over just because it could not be kept. The server measures leases by it, a
 * worker process all that it allows its workers, and every side of a connection the silence of the other.
 */

/** Longest time between two readings that counts, in ms: for the rest, the process did not run. Read it as often. */
export const AWAKE_STEP_MS = 500;

/** A timer that is later than this, in ms, means that the process was stopped: it first reads what came meanwhile. */
export const LATE_MS = 500;
/** Time in which that is read, in ms. */
export const GRACE_MS = 250;

export interface AwakeOptions {
  /** As `AWAKE_STEP_MS`, for a clock that is read less often: twice the time between its readings. */
  readonly stepMs?: number;
  /** A clock in ms that never goes back. */
  readonly monotonic?: () => number;
}

export class AwakeClock {
  readonly #monotonic: () => number;
  readonly #stepMs: number;
  #awakeMs = 0;
  #asleepMs = 0;
  #readAt: number;

  constructor(
    { stepMs = AWAKE_STEP_MS, monotonic = () => performance.now() }: AwakeOptions = {},
  ) {
    this.#stepMs = stepMs;
    this.#monotonic = monotonic;
    this.#readAt = monotonic();
  }

  /** In ms from an arbitrary start. */
  now(): number {
    this.passed();
    return this.#awakeMs;
  }

  /** What counts of the time since the last reading, in ms. */
  passed(): number {
    const at = this.#monotonic();
    const passed = Math.max(0, at - this.#readAt);
    const counts = Math.min(passed, this.#stepMs);
    this.#readAt = at;
    this.#awakeMs += counts;
    this.#asleepMs += passed - counts;
    return counts;
  }

  /** What did not count until the last reading, in ms. */
  get asleepMs(): number {
    return this.#asleepMs;
  }
}

/** Of this process. */
export const awake = new AwakeClock();
