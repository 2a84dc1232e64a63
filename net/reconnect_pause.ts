/** The pauses of clients and worker processes between tries to connect again. Pure. */

const FIRST_MS = 50;
const MAX_MS = 1000;

/**
 * The pause before try `tries` (counted from 0), in ms: none before the first, then 50 ms, doubling up to 1 s. A random
 * part, up to half, is taken off, so that the clients of one server do not all come back together.
 */
export function reconnectPauseMs(tries: number, random = Math.random): number {
  if (tries === 0) return 0;
  return Math.min(FIRST_MS * 2 ** (tries - 1), MAX_MS) * (1 - random() / 2);
}
