/** The errors of a connection: it cannot be had, or it is lost. Each names the server and the reason. */

import { ClientError } from "../cli/client_error.ts";

/** No connection to `target`, because of `cause`. */
export function cannotReach(target: string, cause: unknown): ClientError {
  return new ClientError("unreachable", `cannot reach ${target}: ${reasonOf(cause)}`, { cause });
}

/** The connection to `target` ended before everything was answered. */
export function connectionLost(target: string, cause: unknown): ClientError {
  return new ClientError("unreachable", `connection to ${target} lost: ${reasonOf(cause)}`, {
    cause,
    hint: "see whether the server runs with: sd status",
  });
}

/** The system's reason in few words: `Connection refused (os error 111)` → `connection refused`. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const bare = text.replace(/ \(os error \d+\)/, "");
  return /^[A-Z][a-z]/.test(bare) ? bare[0]?.toLowerCase() + bare.slice(1) : bare;
}
