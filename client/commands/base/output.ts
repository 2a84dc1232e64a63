/** How a task's end is printed: the result and nothing else on stdout, talk on stderr. */

import { cyan } from "@std/fmt/colors";
import { EXIT, type ExitCode } from "../../../cli/exit.ts";
import { inLanguage } from "../../../cli/language.ts";
import { type ErrorReport, printData, tellError } from "../../../cli/report.ts";
import { escapeControls, paint, print, say, stdoutIsTerminal } from "../../../cli/talk.ts";
import { withHint } from "./lost_tasks.ts";
import { MESSAGES } from "./messages.ts";
import type { TaskEnd } from "../../task/task_end.ts";

/** What a person reads of a result: a string as it is, anything else as compact JSON. */
export function resultText(result: unknown): string {
  const text = typeof result === "string" ? result : JSON.stringify(result);
  // To a pipe or a file a result goes exactly as it is; a terminal must not obey it.
  return stdoutIsTerminal() ? escapeControls(text, true) : text;
}

/** A line of the client's own, about what it is doing. */
export function talk(text: string): void {
  say(`${paint("stderr", cyan, "[client]")} ${escapeControls(text)}`);
}

/** Prints how a task ended, and returns the exit code that goes with it. */
export function tellEnd(end: TaskEnd, { json }: { json: boolean }): ExitCode {
  if (end.status === "completed") {
    try {
      if (json) printData(end);
      else print(resultText(end.result));
    } catch (error) {
      throw withHint(error, inLanguage(MESSAGES).resultIsKept(end.task_id));
    }
    return EXIT.ok;
  }
  const failed = inLanguage(MESSAGES).taskFailed;
  const who = end.status === "failed" ? `[client] ${failed}: ${end.error.code}:` : "[client]";
  return tellError(reportOfEnd(end), { json, who });
}

/** A task that ended without a result, as an error report. */
export function reportOfEnd(end: Exclude<TaskEnd, { status: "completed" }>): ErrorReport {
  const { task_id } = end;
  const messages = inLanguage(MESSAGES);
  const hint = messages.runAgain(task_id);
  if (end.status === "failed") {
    return { ...end.error, hint, task_id, attempt: end.attempt };
  }
  return { code: end.status, message: messages.ended[end.status], hint, task_id };
}

/** What to say where the client leaves before these tasks have ended. */
export function goesOn(ids: readonly string[]): string {
  return inLanguage(MESSAGES).goesOn(ids);
}
