/** `sleep {ms}` → ms: waits without using the processor, and stops at once when it is asked to. */

import { quote } from "../../protocol/errors.ts";
import { MAX_TIMEOUT_MS } from "../../protocol/limits.ts";
import type { TaskContext } from "./context.ts";

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
