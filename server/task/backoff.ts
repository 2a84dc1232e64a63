/** How long a failed task waits before its next attempt. Pure. */

import { MAX_BACKOFF_MS } from "../../protocol/limits.ts";

/** Up to a fifth more or less, so that tasks which failed together do not come back together. */
const JITTER = 0.2;

/**
 * Milliseconds after attempt `attempt` (from 1) failed: `baseMs`, doubled by every attempt after the
 * first, at most an hour, ±20 %. `random` is in 0…1.
 */
export function backoffMs(baseMs: number, attempt: number, random: number): number {
  const doubled = Math.min(baseMs * 2 ** (attempt - 1), MAX_BACKOFF_MS);
  return Math.round(doubled * (1 - JITTER + 2 * JITTER * random));
}
