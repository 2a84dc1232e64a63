/**
 * The ops that every worker has: `square`, `echo`, `sleep` and `hash`. To add one, write its handler here and add a
 * line to `BUILTIN_OPS`.
 */

import { quote } from "../../protocol/errors.ts";
import { MAX_TIMEOUT_MS } from "../../protocol/limits.ts";
import type { TaskContext } from "./context.ts";
import type { Handler } from "./handler.ts";

/** Most digits of `n`: the square still fits a result, and takes milliseconds. */
export const MAX_DIGITS = 100_000;

const DECIMAL = /^-?\d+$/;
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
/** The largest integer whose square is a safe integer. */
const MAX_SMALL = Math.floor(Math.sqrt(Number.MAX_SAFE_INTEGER));

/**
 * `square {n}` → n²: exact for integers of any size, given as safe integers or as decimal strings; a
 * result beyond ±(2^53−1) is a decimal string. A number with a fraction is squared as a number.
 */
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

/**
 * `echo {data}` → data: shows that a task arrives and its result comes back. Without `data`, a task that
 * came after others returns their results, by their ids.
 */
export function echo({ data }: Record<string, unknown>, ctx: TaskContext): unknown {
  if (data !== undefined) return data;
  const { after } = ctx;
  return Object.keys(after).length > 0 ? after : null;
}

/** `sleep {ms}` → ms: waits without using the processor, and stops at once when it is asked to. */
export function sleep({ ms }: Record<string, unknown>, ctx: TaskContext): Promise<number> {
  if (typeof ms !== "number" || !(ms >= 0 && ms <= MAX_TIMEOUT_MS)) {
    const got = ms === undefined ? "none" : quote(ms);
    throw new Error(`sleep needs ms: a number from 0 to ${MAX_TIMEOUT_MS}; got ${got}`);
  }
  const { signal } = ctx;
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve(ms);
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

type Crypto = typeof import("node:crypto");

// Loaded with the first hash: it would more than double the time that a worker takes to start.
let crypto: Crypto | undefined;

/**
 * `hash {data, rounds}` → SHA-256 in hex: round 1 hashes the UTF-8 of `data`, each further round the 32
 * bytes before it. This is the CPU-bound op: one synchronous loop that never yields and never asks whether it
 * must stop, like code that was not written for sd.
 */
export function hash({ data, rounds = 1 }: Record<string, unknown>): string {
  if (typeof data !== "string") {
    const got = data === undefined ? "none" : quote(data);
    throw new Error(`hash needs data: a string; got ${got}`);
  }
  if (!Number.isSafeInteger(rounds) || (rounds as number) < 1) {
    throw new Error(
      `hash needs rounds: an integer from 1 to ${Number.MAX_SAFE_INTEGER}; got ${quote(rounds)}`,
    );
  }
  crypto ??= process.getBuiltinModule("node:crypto") as Crypto;
  let digest = crypto.createHash("sha256").update(data, "utf8").digest();
  for (let round = 2; round <= (rounds as number); round++) {
    digest = crypto.createHash("sha256").update(digest).digest();
  }
  return digest.toString("hex");
}

export const BUILTIN_OPS: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ["square", square],
  ["echo", echo],
  ["sleep", sleep],
  ["hash", hash],
]);
