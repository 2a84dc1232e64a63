/**
 * A clock of the time in which this process ran. While the process is stopped, or its machine sleeps, the clock stands
 * still, so no deadline by it passes then. The server measures leases by it, a worker process the times of its
 * workers, and both sides of a connection the silence of the other.
 */

/** Longest time between two readings that counts, in ms; in the rest the process did not run. Read it as often. */
export const AWAKE_STEP_MS = 500;

/** Delay of a timer, in ms, above which the process was stopped: it must first read the bytes that came meanwhile. */
export const LATE_MS = 500;
/** Time to read those bytes, in ms. */
export const GRACE_MS = 250;

interface AwakeOptions {
  /** Replaces `AWAKE_STEP_MS` for a clock that is read less often: twice the time between readings. */
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

  /** The time since the last reading that counts, in ms. */
  passed(): number {
    const at = this.#monotonic();
    const passed = Math.max(0, at - this.#readAt);
    const counts = Math.min(passed, this.#stepMs);
    this.#readAt = at;
    this.#awakeMs += counts;
    this.#asleepMs += passed - counts;
    return counts;
  }

  /** The time that did not count, up to the last reading, in ms. */
  get asleepMs(): number {
    return this.#asleepMs;
  }
}

/** The clock of this process. */
export const awake = new AwakeClock();
