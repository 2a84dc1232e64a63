/**
 * The errors of a connection: the server refused a message, cannot be reached, or was lost. Each names the server or
 * quotes it, and gives the reason.
 */

import { ClientError } from "../../net/client_error.ts";
import { type ErrorCode, FAILURE_CODES, REFUSAL_CODES, SdError } from "../../protocol/errors.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { formatDuration } from "../../protocol/text_forms.ts";

const CODES: ReadonlySet<unknown> = new Set([...REFUSAL_CODES, ...FAILURE_CODES]);

/** The error in `reply`. A code of a newer server becomes `internal`, with the reply in the text. */
export function refusalOf(reply: JsonObject): SdError {
  const { code, message, retry_after_ms: retryAfterMs } = (reply.error ?? {}) as JsonObject;
  if (!CODES.has(code)) {
    return new SdError("internal", `the server replied ${JSON.stringify(reply)}`);
  }
  return new SdError(
    code as ErrorCode,
    String(message),
    typeof retryAfterMs === "number" ? { retryAfterMs } : {},
  );
}

/** Cures for connections that cannot be made, by the texts of Deno and of Node. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /UnknownIssuer|self-signed|unable to (?:get|verify)/,
    "name the certificate to trust with: --tls-ca FILE",
  ],
  [
    /not valid for name|NotValidForName|altnames/i,
    "use the server by a name that its certificate is for",
  ],
  [
    /CaUsedAsEndEntity/,
    "its certificate is one of an authority; make one with basicConstraints=CA:FALSE",
  ],
  [/lookup address|ENOTFOUND|EAI_AGAIN/, "correct the name of the server, or use its address"],
  [/InvalidContentType/, "it does not speak TLS; leave out --tls"],
  [
    /^it does not answer$/,
    "see the log of the server: it can be stopped, or wait for its cluster or the store of its tasks",
  ],
  [
    /^unexpected end of file$/,
    "if a load balancer is there, start a server behind it, with: sd serve",
  ],
];

/** There is no connection to `target`. */
export function cannotReach(target: string, cause: unknown): ClientError {
  const reason = reasonOf(cause);
  const [, hint] = HINTS.find(([pattern]) => pattern.test(reason)) ?? [];
  return new ClientError("unreachable", `cannot reach ${target}: ${reason}`, { cause, hint });
}

/** The server at `target` speaks TLS, and this client did not. */
export function speaksTls(target: string): ClientError {
  return new ClientError("unreachable", `the server at ${target} speaks TLS`, {
    hint: "use --tls, or --tls-ca FILE with its certificate",
  });
}

/** The connection to `target` ended before every reply had come. */
export function connectionLost(target: string, cause: unknown): ClientError {
  return new ClientError("unreachable", `connection to ${target} lost: ${reasonOf(cause)}`, {
    cause,
    hint: "see whether the server runs with: sd status",
  });
}

/** The connection to `target` was lost, and no other succeeded within `ms`. */
export function stayedAway(
  target: string,
  { ms, cause }: { ms?: number; cause: unknown },
): ClientError {
  const reason = cause === undefined ? "" : `: ${reasonOf(cause)}`;
  const howLong = ms === undefined ? "" : ` and not back for ${formatDuration(ms)}`;
  return new ClientError("unreachable", `connection to ${target} lost${howLong}${reason}`, {
    cause,
    hint: "see whether the server runs with: sd status",
  });
}

/** The system's reason, shortened: `Connection refused (os error 111)` → `connection refused`. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const bare = text.replace(/ \(os error \d+\)/, "");
  return /^[A-Z][a-z]/.test(bare) ? bare[0]?.toLowerCase() + bare.slice(1) : bare;
}
