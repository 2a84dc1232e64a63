/** Durations as people write them: `500ms`, `30s`, `5m`, `2h`, `1d`. Pure, used by flags and options. */

import { quote, SdError } from "./errors.ts";

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** Milliseconds of `text` (`"1.5s"` → 1500). Throws `bad_request`, also for a number without a unit other than 0. */
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

/** `ms` in the largest unit that keeps it readable: 90_000 → `"1.5m"`. */
export function formatDuration(ms: number): string {
  for (const unit of ["d", "h", "m", "s"]) {
    const size = UNIT_MS.get(unit) ?? 1;
    if (ms >= size) return `${Number((ms / size).toFixed(1))}${unit}`;
  }
  return `${Number(ms.toFixed(ms < 10 ? 2 : 0))}ms`;
}
