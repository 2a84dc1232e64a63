/**
 * Errors of the client's side: wrong usage, no connection, a timeout. The codes of the wire are in
 * `protocol/errors.ts`.
 */

import type { ErrorCode } from "../protocol/errors.ts";

/** Codes of errors that arise on the client's side. */
export const CLIENT_CODES = [
  /** A wrong command line, or a wrong call. */
  "usage",
  /** There is no connection, or it was lost. */
  "unreachable",
  /** `--timeout` passed; the task goes on. */
  "timed_out",
  /** The task has no result yet; it goes on. */
  "not_final",
  /** Ctrl-C. */
  "interrupted",
  /** The task ended without a result. */
  "cancelled",
  "expired",
  /** A write to stdout or to a file of results failed. */
  "output_failed",
] as const;

/** One of `CLIENT_CODES`; the library itself uses `unreachable` and `usage`. */
export type ClientCode = typeof CLIENT_CODES[number];
/** Every code of an error of sd. */
export type AnyCode = ErrorCode | ClientCode;

/**
 * An expected error of the client's side. `hint` is the cure, for people.
 *
 * @example
 * ```ts
 * try {
 *   await client.ping();
 * } catch (error) {
 *   if (error instanceof ClientError && error.code === "unreachable") console.warn(error.message);
 *   else throw error;
 * }
 * ```
 */
export class ClientError extends Error {
  override readonly name: string = "ClientError";
  /** The cure. */
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
