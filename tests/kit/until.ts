/** Waiting for a condition in a test, for longer than any slow machine needs. */

import { delay } from "@std/async/delay";

/** Longest wait, in ms. */
const PATIENCE_MS = 60_000;
/** Time between two looks, in ms. */
const LOOK_MS = 20;

/** Resolves to the first value of `find` that is neither `false` nor `undefined`. Throws after a minute; `what` is missing then. */
export async function until<T>(
  what: string,
  find: () => T | Promise<T>,
): Promise<Exclude<T, false | undefined>> {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(LOOK_MS)) {
    const found = await find();
    if (found !== false && found !== undefined) return found as Exclude<T, false | undefined>;
  }
  throw new Error(`waited ${PATIENCE_MS / 1000} s, but never: ${what}`);
}
