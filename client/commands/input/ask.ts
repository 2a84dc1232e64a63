/** Questions to the person at the terminal, and whether there is one. */

import { write } from "../../../cli/talk.ts";
import { taskLines } from "./task_lines.ts";

/** Somebody sees what is asked, and can answer. */
export function canAsk(): boolean {
  return Deno.stdin.isTerminal() && Deno.stderr.isTerminal();
}

/** Whether `question` was answered with yes; nothing, Ctrl-D and anything else are no. */
export async function askYes(question: string): Promise<boolean> {
  write("stderr", `${question} [y/N] `);
  for await (const { text } of taskLines(Deno.stdin.readable)) {
    return /^y(es)?$/i.test(text?.trim() ?? "");
  }
  // The next line of the terminal is not to begin in the middle.
  write("stderr", "\n");
  return false;
}
