/**
 * `square {n}` → n²: exact for integers of any size, given as safe integers or as decimal strings; a
 * result beyond ±(2^53−1) is a decimal string. A number with a fraction is squared as such.
 */

import { quote } from "../../protocol/errors.ts";

/** The square of so many digits still fits a result, and takes milliseconds. */
export const MAX_DIGITS = 100_000;

const DECIMAL = /^-?\d+$/;
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
/** The largest integer whose square is a safe one. */
const MAX_SMALL = Math.floor(Math.sqrt(Number.MAX_SAFE_INTEGER));

export function square({ n }: Record<string, unknown>): number | string {
  if (typeof n === "number") {
    if (n <= MAX_SMALL && n >= -MAX_SMALL) return n * n;
    if (Number.isSafeInteger(n)) return squareOf(BigInt(n));
    if (!Number.isInteger(n)) return n * n;
    throw new Error(
      `square needs n exactly: ${quote(n)} is beyond ±${MAX_SAFE}; send it as a string of digits`,
    );
  }
  if (typeof n === "string" && DECIMAL.test(n)) {
    const digits = n.startsWith("-") ? n.length - 1 : n.length;
    if (digits > MAX_DIGITS) {
      throw new Error(`square takes ${MAX_DIGITS} digits at most; this n has ${digits}`);
    }
    return squareOf(BigInt(n));
  }
  const got = n === undefined ? "none" : quote(n);
  throw new Error(`square needs n: an integer, or a string of decimal digits; got ${got}`);
}

function squareOf(n: bigint): number | string {
  const result = n * n;
  return result <= MAX_SAFE ? Number(result) : String(result);
}
