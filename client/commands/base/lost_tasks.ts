/**
 * What a command that waits for tasks says where it stops waiting: because the person gave it no more
 * time, or because the server stayed away. Either way the tasks go on, and their ids lead back to them.
 */

import { ClientError } from "../../../net/client_error.ts";
import { inLanguage } from "../../../cli/language.ts";
import { formatDuration } from "../../../protocol/text_forms.ts";
import type { Client } from "../../client.ts";
import { MESSAGES } from "./messages.ts";
import { rawOf } from "../../base_client.ts";

/** `waitMs` have passed; `what` is missing. A server that is away is the reason where it is. */
export function outOfTime(
  client: Client,
  { waitMs, what, hint }: { waitMs: number; what: string; hint: string | undefined },
): ClientError {
  const messages = inLanguage(MESSAGES);
  const after = messages.after(what, formatDuration(waitMs));
  const { lostBy } = rawOf(client);
  if (!lostBy) return new ClientError("timed_out", after, { hint });
  const message = `${after}, ${messages.noConnection(client.target)}: ${lostBy.message}`;
  return new ClientError("unreachable", message, { cause: lostBy, hint });
}

/** `error` with `hint` if the server cannot be reached or a result cannot be written; otherwise as it is. */
export function withHint(error: unknown, hint: string | undefined): unknown {
  if (!(error instanceof ClientError) || !hint) return error;
  if (error.code !== "unreachable" && error.code !== "output_failed") return error;
  return new ClientError(error.code, error.message, { cause: error, hint });
}
