/** From a reply that refuses to the error that it stands for. */

import { type ErrorCode, FAILURE_CODES, REFUSAL_CODES, SdError } from "../../protocol/errors.ts";
import type { JsonObject } from "../../protocol/message.ts";

const CODES: ReadonlySet<unknown> = new Set([...REFUSAL_CODES, ...FAILURE_CODES]);

/** The error in `reply`. A code that only a newer server knows is kept in the text. */
export function refusalOf(reply: JsonObject): SdError {
  const { code, message, retry_after_ms: retryAfterMs } = (reply.error ?? {}) as JsonObject;
  if (!CODES.has(code)) {
    return new SdError("internal", `the server answered ${JSON.stringify(reply)}`);
  }
  return new SdError(
    code as ErrorCode,
    String(message),
    typeof retryAfterMs === "number" ? { retryAfterMs } : {},
  );
}
