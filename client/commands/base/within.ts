/** A promise that is waited for only so long. */

import { deadline } from "@std/async/deadline";
import { GRACE_MS, LATE_MS } from "../../../net/awake_clock.ts";

/** What `promise` came to, or what `late` throws once `ms` have passed; `Infinity` waits for ever. */
export async function within<T>(
  promise: Promise<T>,
  { ms, late }: { ms: number; late: () => Error },
): Promise<T> {
  if (ms === Infinity) return await promise;
  const begun = performance.now();
  try {
    return await deadline(promise, ms);
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== "TimeoutError") throw error;
    if (performance.now() - begun < ms + LATE_MS) throw late();
    return await within(promise, { ms: GRACE_MS, late });
  }
}
