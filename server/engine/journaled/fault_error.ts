/** The errors for clients if a request to the store failed. */

import { SdError } from "../../../protocol/errors.ts";
import type { StoreFault } from "./task_store.ts";

/** Time after which a client can try again, in ms. */
const RETRY_AFTER_MS = 200;

export function faultError(reason: unknown): SdError {
  const { fault, message } = reason as { fault?: StoreFault; message?: string };
  const options = { retryAfterMs: RETRY_AFTER_MS, cause: reason };
  if (fault === "full") {
    return new SdError("storage_full", `there is no room to keep this: ${message}`, options);
  }
  if (fault === "io") {
    return new SdError("storage_full", `this could not be written: ${message}`, options);
  }
  return new SdError("internal", `the store does not work: ${message}`, { cause: reason });
}
