/** Times as they travel: RFC 3339, like `2030-01-31T08:00:00Z`. Pure. */

const RFC_3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const MINUTE_MS = 60_000;

/**
 * Milliseconds since 1970; `NaN` where `value` is no such time, or one that does not exist, like 30 February or
 * 24:00:00. A leap second is none: no clock of a machine shows it.
 */
export function parseRfc3339(value: unknown): number {
  const match = typeof value === "string" ? RFC_3339.exec(value) : null;
  if (!match) return NaN;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as Six;
  const [fraction = "", sign, offsetHours = "0", offsetMinutes = "0"] = match.slice(7);
  if (hour > 23 || minute > 59 || second > 59) return NaN;
  if (Number(offsetHours) > 23 || Number(offsetMinutes) > 59) return NaN;
  const time = new Date(0);
  // Date.UTC takes the years up to 99 for those of the last century.
  time.setUTCFullYear(year, month - 1, day);
  // A day too many would be one of the next month.
  if (time.getUTCMonth() !== month - 1 || time.getUTCDate() !== day) return NaN;
  time.setUTCHours(hour, minute, second, Number(`${fraction.slice(1, 4).padEnd(3, "0")}`));
  const offsetMs = (Number(offsetHours) * 60 + Number(offsetMinutes)) * MINUTE_MS;
  return time.getTime() - (sign === "-" ? -offsetMs : offsetMs);
}

type Six = [number, number, number, number, number, number];
