/**
 * How a command ends: the exit codes, which of them each error has, and what a person can do about
 * it. The table is closed: a code added to either list of errors does not compile until it is here.
 */

import type { AnyCode } from "../net/client_error.ts";
import { inLanguage, MESSAGES } from "./messages.ts";

export const EXIT = {
  ok: 0,
  /** The task ran and failed. */
  failed: 1,
  /** Bad usage or payload; `serve` could not start. */
  usage: 2,
  /** The server is not reachable, or was lost. */
  unreachable: 3,
  /** A token is needed, or it is wrong. */
  unauthorized: 4,
  notFound: 5,
  /** The task was cancelled, or expired. */
  ended: 6,
  /** The server refused: full, unknown op, conflict. */
  refused: 7,
  /** A fault of sd itself. */
  internal: 70,
  /** What came out could not be written: the disk is full, the terminal is gone. */
  outputFailed: 74,
  /** `--timeout` passed, or the task is not final yet; it goes on. */
  timedOut: 124,
  /** Ctrl-C. */
  interrupted: 130,
  /** Nobody reads stdout any more: what a shell says of a program that SIGPIPE ended. */
  brokenPipe: 141,
} as const;

export type ExitCode = typeof EXIT[keyof typeof EXIT];

const EXIT_CODES: Record<AnyCode, ExitCode> = {
  task_error: EXIT.failed,
  timeout: EXIT.failed,
  worker_crashed: EXIT.failed,
  out_of_memory: EXIT.failed,
  bad_result: EXIT.failed,
  bad_json: EXIT.usage,
  bad_request: EXIT.usage,
  line_too_long: EXIT.usage,
  usage: EXIT.usage,
  unreachable: EXIT.unreachable,
  unauthorized: EXIT.unauthorized,
  not_found: EXIT.notFound,
  cancelled: EXIT.ended,
  expired: EXIT.ended,
  output_failed: EXIT.outputFailed,
  unknown_op: EXIT.refused,
  unknown_cmd: EXIT.refused,
  conflict: EXIT.refused,
  queue_full: EXIT.refused,
  shutting_down: EXIT.refused,
  storage_full: EXIT.refused,
  internal: EXIT.internal,
  timed_out: EXIT.timedOut,
  not_final: EXIT.timedOut,
  interrupted: EXIT.interrupted,
};

/** The exit code of a command that ended with an error of this code. */
export function exitCodeOf(code: AnyCode): ExitCode {
  return EXIT_CODES[code];
}

/** What to do next about an error of this code, where that is the same every time. */
export function hintFor(code: AnyCode): string | undefined {
  return inLanguage(MESSAGES).hints[code];
}

/** Whether `code` is one of ours. */
export function isKnownCode(code: unknown): code is AnyCode {
  return typeof code === "string" && Object.hasOwn(EXIT_CODES, code);
}
