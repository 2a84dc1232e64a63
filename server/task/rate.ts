/**
 * Rates: so many starts in any stretch of time of a length, like "10/1m". Exact: the starts within the
 * stretch are remembered, so that no edge of a window lets twice as many through. Pure.
 */

import { parseDuration } from "../../protocol/duration.ts";
import { quote, SdError } from "../../protocol/errors.ts";
import { MAX_RATE_STARTS, MAX_RATE_WINDOW_MS } from "../../protocol/limits.ts";

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

/** The starts that still count. */
export class RateWindow {
  /** Times of starts, the oldest first. */
  #starts: number[];

  constructor(starts: readonly number[] = []) {
    this.#starts = [...starts];
  }

  get starts(): readonly number[] {
    return this.#starts;
  }

  add(now: number): void {
    this.#starts.push(now);
    if (this.#starts.length > 2 * MAX_RATE_STARTS) this.#starts.splice(0, MAX_RATE_STARTS);
  }

  /** When the next start may be: `now` or later. Starts are forgotten once no longer window asks. */
  nextAt({ starts, windowMs }: Rate, now: number): number {
    if (this.#starts.length < starts) return now;
    // The start that must have left the window before another may come.
    const blocking = this.#starts[this.#starts.length - starts] as number;
    return Math.max(now, blocking + windowMs);
  }

  /** Forgets what lies more than `windowMs` back; true when nothing is left. */
  prune(windowMs: number, now: number): boolean {
    const first = this.#starts.findIndex((start) => start + windowMs > now);
    if (first === -1) this.#starts = [];
    else if (first > 0) this.#starts.splice(0, first);
    return this.#starts.length === 0;
  }
}
