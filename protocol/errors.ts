/**
 * The closed list of error codes, and the error class that carries them. Every expected error of sd is an `SdError`;
 * any other thrown value is a bug, and reaches a client as `internal`.
 *
 * To add a code: add it here, to the table in `docs/protocol.md`, and to `cli/exit.ts`.
 */

/** Why a message was refused. */
export const REFUSAL_CODES = [
  "bad_json",
  "bad_request",
  "unknown_op",
  "unknown_cmd",
  "line_too_long",
  "unauthorized",
  "not_found",
  "conflict",
  "queue_full",
  "shutting_down",
  "storage_full",
  "internal",
] as const;

/** Why a task failed. */
export const FAILURE_CODES = [
  "task_error",
  "timeout",
  "worker_crashed",
  "out_of_memory",
  "bad_result",
] as const;

/** The code of a refusal: one of `REFUSAL_CODES`. */
export type RefusalCode = typeof REFUSAL_CODES[number];
/** The code of a failed task: one of `FAILURE_CODES`. */
export type FailureCode = typeof FAILURE_CODES[number];
/** A code of the wire. */
export type ErrorCode = RefusalCode | FailureCode;

/** An error as it travels: `{"code":"timeout","message":"…"}`. */
export interface ErrorBody<Code extends ErrorCode = ErrorCode> {
  code: Code;
  message: string;
  /** Time after which a second try can succeed, in ms. */
  retry_after_ms?: number;
}

/**
 * An expected error of the server: a code of the closed list, and a message for people.
 *
 * @example
 * ```ts
 * try {
 *   await client.cancel("order-17");
 * } catch (error) {
 *   if (error instanceof SdError && error.code === "conflict") console.log("it is final already");
 *   else throw error;
 * }
 * ```
 */
export class SdError extends Error {
  override readonly name = "SdError";
  /** Time after which a second try can succeed, in ms; `undefined` if it cannot. */
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions & { retryAfterMs?: number | undefined },
  ) {
    super(message, options);
    this.retryAfterMs = options?.retryAfterMs;
  }
}

/** The form of `error` on the wire. An unexpected error reaches a client only as `internal`. */
export function errorBody(error: unknown): ErrorBody {
  if (error instanceof SdError) {
    const { code, message, retryAfterMs } = error;
    return {
      code,
      message,
      ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
    };
  }
  return {
    code: "internal",
    message: "the server met an error of its own; its log has the details",
  };
}

/** Longest run of accents and joined emoji that is not cut. */
const MAX_CHAR_UNITS = 32;
const JOINER = "\u200d";

/** `value` as a quotation in a message: JSON, cut at 80 characters. */
export function quote(value: unknown): string {
  const text = typeof value === "bigint" ? `${value}n` : JSON.stringify(value) ?? String(value);
  return text.length <= 80 ? text : cutText(text, 78);
}

/** `text` in at most `most` UTF-16 units. A cut text ends in `…`, and is never cut within a character. */
export function cutText(text: string, most: number): string {
  if (text.length <= most) return text;
  let end = most - 1;
  for (let steps = 0; steps < MAX_CHAR_UNITS && isWithinChar(text, end); steps++) end--;
  return `${text.slice(0, end)}…`;
}

/** Whether a visible character continues at `at`: by the second half of a pair, an accent, or a joined emoji. */
function isWithinChar(text: string, at: number): boolean {
  if (at <= 0) return false;
  if (/[\udc00-\udfff]/.test(text[at] ?? "") && /[\ud800-\udbff]/.test(text[at - 1] ?? "")) {
    return true;
  }
  if (text[at - 1] === JOINER) return true;
  return /^(\p{M}|\p{Emoji_Modifier}|\u200d)/u.test(text.slice(at, at + 2));
}
