/** The server's clock: handed to every room that needs the time, so that tests can hold it still. */

// Timers count in 32 bits; a longer one would fire at once.
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number;
  /** Calls `run` once, `ms` from now at the earliest; returns what takes that back. */
  after(ms: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(Math.max(ms, 0), MAX_TIMER_MS));
    return () => clearTimeout(timer);
  },
};
