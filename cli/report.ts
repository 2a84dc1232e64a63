/**
 * How a command tells what came out: for people on stderr, with the cure of an error on a line of its own, for programs (`--json`) in the one
 * envelope on stdout, which is stable: members may be added to it, none changes or goes.
 *
 *     {"ok":true,"data":{…}}
 *     {"ok":false,"error":{"code":"…","message":"…","hint":"…"},"exit":3}
 *
 * A command that acted on several tasks has `data` beside its `error` as well.
 */

import { red } from "@std/fmt/colors";
import { SdError } from "../protocol/errors.ts";
import { type AnyCode, ClientError } from "../net/client_error.ts";
import { EXIT, type ExitCode, exitCodeOf, hintFor } from "./exit.ts";
import { escapeControls, OutputError, paint, print, say } from "./talk.ts";

/** The `error` of the envelope. A task's own failure says which task, and at which attempt. */
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

export interface Telling {
  json: boolean;
  /** What the line begins with; default `sd:`. */
  who?: string;
  /** What there is to tell beside the error, for the envelope. */
  data?: unknown;
}

/** Tells `report` and returns the exit code that goes with it. */
export function tellError(report: ErrorReport, options: Telling): ExitCode {
  const exit = exitCodeOf(report.code);
  if (options.json) {
    tellEnvelope(JSON.stringify({ ok: false, error: report, exit, data: options.data }), report);
    return exit;
  }
  say(`${paint("stderr", red, options.who ?? "sd:")} ${escapeControls(report.message)}`);
  // The cure, on a line of its own: what is to be pasted is its end.
  if (report.hint) say(`    ${escapeControls(report.hint)}`);
  return exit;
}

/** On stderr where stdout takes nothing: it would end in the middle of a line there. */
function tellEnvelope(text: string, { code }: ErrorReport): void {
  if (code === "output_failed") return void say(text);
  try {
    print(text);
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    say(text);
  }
}

/** What to tell of `error`, or `undefined` where it is a bug and not an expected error. */
export function reportOf(error: unknown): ErrorReport | undefined {
  if (!(error instanceof SdError) && !(error instanceof ClientError)) return undefined;
  const own = error instanceof ClientError ? error.hint : undefined;
  const hint = own ?? hintFor(error.code);
  const report: ErrorReport = { code: error.code, message: error.message };
  return hint === undefined ? report : { ...report, hint };
}

/** Tells of an error that should not have been possible, with its stack for whoever mends it. */
export function tellBug(error: unknown, options: { json: boolean }): ExitCode {
  const what = error instanceof Error ? error.message : String(error);
  const message = `sd met an error of its own: ${what}`;
  tellError({ code: "internal", message, hint: "please report it" }, options);
  if (error instanceof Error && error.stack) say(escapeControls(error.stack, true));
  return EXIT.internal;
}
