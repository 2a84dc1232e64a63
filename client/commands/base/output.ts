/** How commands write: results and lines on stdout, in few writes and at its reader's pace; talk on stderr. */

import { cyan } from "@std/fmt/colors";
import { EXIT, type ExitCode } from "../../../cli/exit.ts";
import { inLanguage } from "../../../cli/messages.ts";
import { type ErrorReport, printData, reportError } from "../../../cli/report.ts";
import {
  escapeControls,
  OutputError,
  paint,
  print,
  say,
  stdoutIsTerminal,
  writeBytes,
} from "../../../cli/talk.ts";
import { ClientError } from "../../../net/client_error.ts";
import type { TaskEnd } from "../../task/task_end.ts";
import { TASK_MESSAGES } from "./messages.ts";

/** Most characters that wait for a write. */
const MAX_GATHERED_CHARS = 64 * 1024;
/** Size of the buffer for a write, at up to three bytes a character. A new buffer for each write would be garbage at once. */
const WRITE_BYTES = 4 * MAX_GATHERED_CHARS;

/** A result for a person: a string as it is, anything else as compact JSON. */
function resultText(result: unknown): string {
  const text = typeof result === "string" ? result : JSON.stringify(result);
  // A pipe or a file gets the result unchanged; a terminal would obey control characters in it.
  return stdoutIsTerminal() ? escapeControls(text, true) : text;
}

/** A line on stderr about what the client does. */
export function talk(text: string): void {
  say(`${paint("stderr", cyan, "[client]")} ${escapeControls(text)}`);
}

/** Prints how a task ended, and returns the exit code for it. */
export function printEnd(end: TaskEnd, { json }: { json: boolean }): ExitCode {
  if (end.status === "completed") {
    try {
      if (json) printData(end);
      else print(resultText(end.result));
    } catch (error) {
      throw withHint(error, inLanguage(TASK_MESSAGES).resultIsKept(end.task_id));
    }
    return EXIT.ok;
  }
  const failed = inLanguage(TASK_MESSAGES).taskFailed;
  const who = end.status === "failed" ? `[client] ${failed}: ${end.error.code}:` : "[client]";
  return reportError(reportOfEnd(end), { json, who });
}

/** The error report of a task that ended without a result. */
export function reportOfEnd(end: Exclude<TaskEnd, { status: "completed" }>): ErrorReport {
  const { task_id } = end;
  const messages = inLanguage(TASK_MESSAGES);
  const hint = messages.runAgain(task_id);
  if (end.status === "failed") {
    return { ...end.error, hint, task_id, attempt: end.attempt };
  }
  return { code: end.status, message: messages.ended[end.status], hint, task_id };
}

/** The line about tasks that go on when the client leaves before their end. */
export function goesOn(ids: readonly string[]): string {
  return inLanguage(TASK_MESSAGES).goesOn(ids);
}

/** `error` with `hint` if the server cannot be reached or a result cannot be written; otherwise `error` as it is. */
export function withHint(error: unknown, hint: string | undefined): unknown {
  if (!(error instanceof ClientError) || !hint) return error;
  if (error.code !== "unreachable" && error.code !== "output_failed") return error;
  return new ClientError(error.code, error.message, { cause: error, hint });
}

interface OutputLinesOptions {
  /** Called if a write fails in `add`, which never throws. */
  readonly onError: (error: unknown) => void;
  /** Called before each write with its length. If it throws, nothing is written. */
  readonly announce?: (bytes: number) => void;
  /** Called if stdout did not take all of the write that was announced last. */
  readonly withdraw?: (error: OutputError) => void;
}

/**
 * Lines for stdout, gathered: all lines of one chunk of replies leave in one write, a moment later. After a write
 * that failed nothing more is written, so that no line follows a gap.
 */
export class OutputLines {
  readonly #options: OutputLinesOptions;
  readonly #encoder = new TextEncoder();
  #buffer: Uint8Array | undefined;
  #text = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isBroken = false;

  constructor(options: OutputLinesOptions) {
    this.#options = options;
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  add(line: string): void {
    if (this.#isBroken) return;
    this.#text += `${line}\n`;
    if (this.#text.length > MAX_GATHERED_CHARS) this.#tryFlush();
    else this.#timer ??= setTimeout(() => this.#tryFlush(), 0);
  }

  /** Writes all gathered lines; call it once more at the end. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#text === "" || this.#isBroken) return;
    const bytes = this.#encode(this.#text);
    try {
      this.#options.announce?.(bytes.length);
      writeBytes("stdout", bytes);
    } catch (error) {
      this.#isBroken = true;
      if (error instanceof OutputError) this.#options.withdraw?.(error);
      throw error;
    }
    this.#text = "";
  }

  #encode(text: string): Uint8Array {
    if (text.length * 3 > WRITE_BYTES) return this.#encoder.encode(text);
    this.#buffer ??= new Uint8Array(WRITE_BYTES);
    return this.#buffer.subarray(0, this.#encoder.encodeInto(text, this.#buffer).written);
  }

  #tryFlush(): void {
    try {
      this.flush();
    } catch (error) {
      this.#options.onError(error);
    }
  }
}

/** Runs `work` with a writer of lines, and writes the last of them. Rejects as soon as stdout fails. */
export async function withLines<T>(work: (lines: OutputLines) => Promise<T>): Promise<T> {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const lines = new OutputLines({ onError: failed.reject });
  try {
    return await Promise.race([work(lines), failed.promise]);
  } finally {
    lines.flush();
  }
}
