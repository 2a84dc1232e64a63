/**
 * Values that people write as text: durations, sizes, rates and times. Pure functions without state. Flags, task
 * options and the wire read them here, so each form means the same everywhere.
 */

import { quote, SdError } from "./errors.ts";
import { MAX_RATE_STARTS, MAX_RATE_WINDOW_MS } from "./limits.ts";

// Durations: `500ms`, `30s`, `5m`, `2h`, `1d`.

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/**
 * Milliseconds of a duration: `"1.5s"` is 1500. Throws `bad_request`, also for a number without a unit, unless
 * it is 0.
 */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim());
  if (!match) {
    throw new SdError(
      "bad_request",
      `not a duration: ${quote(text)}; write it like 500ms, 30s, 5m`,
    );
  }
  if (match[2] === undefined && Number(match[1]) !== 0) {
    throw new SdError(
      "bad_request",
      `a duration without a unit: ${quote(text)}; write it like ${match[1]}ms or ${match[1]}s`,
    );
  }
  return Math.round(Number(match[1]) * (UNIT_MS.get(match[2] ?? "ms") ?? 1));
}

/** A duration in the largest unit that keeps it readable: 90_000 is `"1.5m"`. */
export function formatDuration(ms: number): string {
  for (const unit of ["d", "h", "m", "s"]) {
    const size = UNIT_MS.get(unit) ?? 1;
    if (ms >= size) return `${Number((ms / size).toFixed(1))}${unit}`;
  }
  return `${Number(ms.toFixed(ms < 10 ? 2 : 0))}ms`;
}

// Sizes: `512M`, `2G`, `1.5G`. Each unit is 1024 times the one before it.

const SIZE_UNITS = ["K", "M", "G", "T"] as const;

/** Bytes of a size: `"1.5G"` is 1610612736, a number without a unit counts bytes. Throws `bad_request`. */
export function parseByteSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT])?$/i.exec(text.trim());
  if (!match) {
    throw new SdError("bad_request", `not a size: ${quote(text)}; write it like 512M, 2G, 1.5G`);
  }
  const power = SIZE_UNITS.findIndex((unit) => unit === match[2]?.toUpperCase()) + 1;
  return Math.round(Number(match[1]) * 1024 ** power);
}

/** A size in the largest unit that keeps it readable: 1610612736 is `"1.5G"`. */
export function formatByteSize(bytes: number): string {
  for (let power = SIZE_UNITS.length; power > 0; power--) {
    const size = 1024 ** power;
    if (bytes >= size) return `${Number((bytes / size).toFixed(1))}${SIZE_UNITS[power - 1]}`;
  }
  return String(bytes);
}

// Rates: `10/1m` is at most ten starts in any minute.

export interface Rate {
  /** Most starts in the window. */
  readonly starts: number;
  readonly windowMs: number;
}

const RATE = /^(\d{1,6})\/(\d+(?:\.\d+)?)?(ms|s|m|h|d)$/;

/** The rate that `text` names; `undefined` if `text` is `undefined`. Throws `bad_request`. */
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

/** A rate in the form that `readRate` reads. */
export function formatRate({ starts, windowMs }: Rate): string {
  return `${starts}/${windowMs}ms`;
}

// Times: RFC 3339, like `2030-01-31T08:00:00Z`.

const RFC_3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const MINUTE_MS = 60_000;

/**
 * Milliseconds since 1970 of a time in RFC 3339; `NaN` for anything else. A time that does not exist, like 30
 * February or 24:00:00, is `NaN` too, and so is a leap second: no machine's clock shows it.
 */
export function parseRfc3339(value: unknown): number {
  const match = typeof value === "string" ? RFC_3339.exec(value) : null;
  if (!match) return NaN;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as Six;
  const [fraction = "", sign, offsetHours = "0", offsetMinutes = "0"] = match.slice(7);
  if (hour > 23 || minute > 59 || second > 59) return NaN;
  if (Number(offsetHours) > 23 || Number(offsetMinutes) > 59) return NaN;
  const time = new Date(0);
  // Date.UTC would read the years 0 to 99 as 1900 to 1999.
  time.setUTCFullYear(year, month - 1, day);
  // A day beyond the end of its month has become one of the next month.
  if (time.getUTCMonth() !== month - 1 || time.getUTCDate() !== day) return NaN;
  time.setUTCHours(hour, minute, second, Number(`${fraction.slice(1, 4).padEnd(3, "0")}`));
  const offsetMs = (Number(offsetHours) * 60 + Number(offsetMinutes)) * MINUTE_MS;
  return time.getTime() - (sign === "-" ? -offsetMs : offsetMs);
}

type Six = [number, number, number, number, number, number];

/** A time in UTC to the millisecond: `2030-01-31T08:00:00.000Z`. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString();
}

/** A time in UTC to the second: `2030-01-31T08:00:00Z`. */
export function formatSecond(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

// Counts: `12,345`.

/** A whole number with a comma before each three digits. */
export function withCommas(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}
