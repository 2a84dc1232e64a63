/**
 * Errors that no server sent: a command was typed wrongly, the server cannot be reached, the person
 * would not wait any longer. Codes of the wire are in `protocol/errors.ts`; these complete them.
 */

import type { ErrorCode } from "../protocol/errors.ts";

/** What can go wrong on the client's side of the wire alone. */
export const CLIENT_CODES = [
  /** The command line makes no sense as it stands. */
  "usage",
  /** No connection, or it was lost. */
  "unreachable",
  /** `--timeout` passed; the task goes on. */
  "timed_out",
  /** A result was asked for that does not exist yet; the task goes on. */
  "not_final",
  /** Ctrl-C. */
  "interrupted",
  /** The task ended without a result. */
  "cancelled",
  "expired",
  /** Stdout or a file of results did not take what came out. */
  "output_failed",
] as const;

export type ClientCode = typeof CLIENT_CODES[number];
/** Every code that an error of sd can have, on either side. */
export type AnyCode = ErrorCode | ClientCode;

/** An expected error of the client's side. */
export class ClientError extends Error {
  override readonly name: string = "ClientError";
  /** What to do next. */
  readonly hint: string | undefined;

  constructor(
    readonly code: ClientCode,
    message: string,
    options?: ErrorOptions & { hint?: string | undefined },
  ) {
    super(message, options);
    this.hint = options?.hint;
  }
}
