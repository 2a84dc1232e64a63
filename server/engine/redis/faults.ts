/** The faults of a store, for what Redis answers. */

import { StoreError, type StoreFault } from "../journaled/task_store.ts";
import { ConnectionLost, RedisReplyError } from "./connection.ts";

const FAULTS: readonly (readonly [code: string, fault: StoreFault])[] = [
  ["OOM", "full"],
  ["MISCONF", "io"],
  ["NOREPLICAS", "io"],
  ["NOAUTH", "io"],
  ["NOPERM", "io"],
  ["WRONGPASS", "io"],
  ["SD_DAMAGED", "damaged"],
  ["WRONGTYPE", "damaged"],
  ["SD_FENCED", "fenced"],
];

/** `error` as a `StoreError`; one that Redis does not answer is `bug`. */
export function storeErrorOf(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const { message } = error as Error;
  if (error instanceof ConnectionLost) return new StoreError("io", message);
  if (!(error instanceof RedisReplyError)) return new StoreError("bug", message);
  const fault = FAULTS.find(([code]) => error.has(code))?.[1] ?? "bug";
  return new StoreError(fault, readable(message));
}

/** Without our own codes, and without the place in a script. */
function readable(message: string): string {
  return message.replace(/^SD_[A-Z]+ /, "").replace(/\.? script: [0-9a-f]{40}.*$/s, "");
}
