/** Rates as people write them: so many starts in any stretch of time of a length, like "10/1m". Pure. */

import { parseDuration } from "./duration.ts";
import { quote, SdError } from "./errors.ts";
import { MAX_RATE_STARTS, MAX_RATE_WINDOW_MS } from "./limits.ts";

export interface Rate {
  /** Most starts in the window. */
  readonly starts: number;
  readonly windowMs: number;
}

const RATE = /^(\d{1,6})\/(\d+(?:\.\d+)?)?(ms|s|m|h|d)$/;

/** The rate that `text` names, `undefined` for none. Throws `bad_request`. */
export function readRate(text: unknown): Rate | undefined {
  if (text === undefined) return undefined;
  const [, count, size = "1", unit] = typeof text === "string" ? RATE.exec(text) ?? [] : [];
  if (unit !== undefined) {
    const starts = Number(count);
    // "10/m" is ten a minute.
    const windowMs = parseDuration(size + unit);
    const isInRange = starts >= 1 && starts <= MAX_RATE_STARTS && windowMs >= 1 &&
      windowMs <= MAX_RATE_WINDOW_MS;
    if (isInRange) return { starts, windowMs };
  }
  throw new SdError(
    "bad_request",
    `a rate is a number of starts and a time, like "10/1m": 1 to ${MAX_RATE_STARTS} starts in ` +
      `at most a day; this is ${quote(text)}`,
  );
}

/** `rate` as `readRate` reads it. */
export function formatRate({ starts, windowMs }: Rate): string {
  return `${starts}/${windowMs}ms`;
}
