/** Sizes in bytes as people write them: `512M`, `2G`, `1.5G`. A unit is 1024 of the one before it. Pure. */

import { quote, SdError } from "./errors.ts";

const UNITS = ["K", "M", "G", "T"] as const;

/** Bytes of `text` (`"1.5G"` → 1610612736); a bare number counts bytes. */
export function parseByteSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT])?$/i.exec(text.trim());
  if (!match) {
    throw new SdError("bad_request", `not a size: ${quote(text)}; write it like 512M, 2G, 1.5G`);
  }
  const power = UNITS.findIndex((unit) => unit === match[2]?.toUpperCase()) + 1;
  return Math.round(Number(match[1]) * 1024 ** power);
}

/** `bytes` in the largest unit that keeps it readable: 1610612736 → `"1.5G"`. */
export function formatByteSize(bytes: number): string {
  for (let power = UNITS.length; power > 0; power--) {
    const size = 1024 ** power;
    if (bytes >= size) return `${Number((bytes / size).toFixed(1))}${UNITS[power - 1]}`;
  }
  return String(bytes);
}
