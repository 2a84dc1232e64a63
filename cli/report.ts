/**
 * How a command reports its outcome. For people: on stderr, with the cure of an error on a line of its own. For
 * programs (`--json`): one envelope on stdout, to which members can be added and of which none changes or goes.
 *
 *     {"ok":true,"data":{…}}
 *     {"ok":false,"error":{"code":"…","message":"…","hint":"…"},"exit":3}
 *
 * A command on several tasks has `data` beside its `error` as well.
 */

import { red } from "@std/fmt/colors";
import { SdError } from "../protocol/errors.ts";
import { type AnyCode, ClientError } from "../net/client_error.ts";
import { EXIT, type ExitCode, exitCodeOf, hintFor } from "./exit.ts";
import { escapeControls, OutputError, paint, print, say } from "./talk.ts";

/** The `error` of the envelope. The failure of a task names the task and the attempt. */
export interface ErrorReport {
  code: AnyCode;
  message: string;
  hint?: string;
  task_id?: string;
  attempt?: number;
}

/** Prints the envelope of a success. */
export function printData(data: unknown): void {
  print(JSON.stringify({ ok: true, data }));
}

interface ReportOptions {
  json: boolean;
  /** The beginning of the line; default `sd:`. */
  who?: string;
  /** The `data` of the envelope, beside the error. */
  data?: unknown;
}

/** Reports an error and returns its exit code. */
export function reportError(report: ErrorReport, options: ReportOptions): ExitCode {
  const exit = exitCodeOf(report.code);
  if (options.json) {
    printEnvelope(JSON.stringify({ ok: false, error: report, exit, data: options.data }), report);
    return exit;
  }
  say(`${paint("stderr", red, options.who ?? "sd:")} ${escapeControls(report.message)}`);
  // The cure has a line of its own and ends with a command that can be pasted.
  if (report.hint) say(`    ${escapeControls(report.hint)}`);
  return exit;
}

/** Prints on stderr if stdout fails: on stdout the text would follow a torn line. */
function printEnvelope(text: string, { code }: ErrorReport): void {
  if (code === "output_failed") return void say(text);
  try {
    print(text);
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    say(text);
  }
}

/** The report of an expected error; `undefined` for any other, which is a bug. */
export function reportOf(error: unknown): ErrorReport | undefined {
  if (!(error instanceof SdError) && !(error instanceof ClientError)) return undefined;
  const own = error instanceof ClientError ? error.hint : undefined;
  const hint = own ?? hintFor(error.code);
  const report: ErrorReport = { code: error.code, message: error.message };
  return hint === undefined ? report : { ...report, hint };
}

/** Reports a bug of sd, with its stack. */
export function reportBug(error: unknown, options: { json: boolean }): ExitCode {
  const what = error instanceof Error ? error.message : String(error);
  const message = `internal error of sd: ${what}`;
  reportError(
    { code: "internal", message, hint: "please report this with the lines below" },
    options,
  );
  if (error instanceof Error && error.stack) say(escapeControls(error.stack, true));
  return EXIT.internal;
}
