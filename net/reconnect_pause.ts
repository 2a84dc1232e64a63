/** How long a client, or a worker process, waits before it tries to connect again. Pure. */

const FIRST_MS = 50;
const MAX_MS = 1000;

/**
 * Before try `tries` (counted from 0): none before the first, then 50 ms, doubling up to 1 s. Up to a
 * half of it is left away at random, so that all that have lost one server do not come back together.
 */
export function reconnectPauseMs(tries: number, random = Math.random): number {
  if (tries === 0) return 0;
  return Math.min(FIRST_MS * 2 ** (tries - 1), MAX_MS) * (1 - random() / 2);
}
