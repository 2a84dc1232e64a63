/**
 * Exit codes, the exit code of each error, and the usual hint for it. The table is closed: a new error code does
 * not compile until it has an exit code here.
 */

import type { AnyCode } from "../net/client_error.ts";
import { CLI_MESSAGES, inLanguage } from "./messages.ts";

export const EXIT = {
  ok: 0,
  /** The task ran and failed. */
  failed: 1,
  /** Bad usage or payload; `serve` could not start. */
  usage: 2,
  /** The server cannot be reached, or the connection was lost. */
  unreachable: 3,
  /** The token is missing or wrong. */
  unauthorized: 4,
  notFound: 5,
  /** The task was cancelled, or expired. */
  ended: 6,
  /** The server refused: full, unknown op, conflict. */
  refused: 7,
  /** A fault of sd itself. */
  internal: 70,
  /** The output could not be written: the disk is full, the terminal is closed. */
  outputFailed: 74,
  /** `--timeout` passed, or the task is not final yet. The task goes on. */
  timedOut: 124,
  /** Ctrl-C. */
  interrupted: 130,
  /** The reader of stdout has closed it: the code that shells report for SIGPIPE. */
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

/** The usual hint for an error of this code, if there is one. */
export function hintFor(code: AnyCode): string | undefined {
  return inLanguage(CLI_MESSAGES).hints[code];
}

/** Whether `code` is an error code of sd. */
export function isKnownCode(code: unknown): code is AnyCode {
  return typeof code === "string" && Object.hasOwn(EXIT_CODES, code);
}
