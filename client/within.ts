/** A promise that is waited for only so long. */

import { deadline } from "@std/async/deadline";

/** What `promise` came to, or what `late` throws once `ms` have passed; `Infinity` waits for ever. */
export async function within<T>(
  promise: Promise<T>,
  { ms, late }: { ms: number; late: () => Error },
): Promise<T> {
  if (ms === Infinity) return await promise;
  try {
    return await deadline(promise, ms);
  } catch (error) {
    if (error instanceof DOMException && error.name === "TimeoutError") throw late();
    throw error;
  }
}
