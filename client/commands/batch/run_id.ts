/** Ids of the tasks of one run over many lines: what all have in common, and the number of the line. */

import { makeTaskId } from "../../task/task_line.ts";

/** What the ids of a new run begin with: the time, and 44 bits at random. */
export function newRun(): string {
  return makeTaskId().replaceAll("-", "").slice(0, 24);
}

export function lineTaskId(run: string, line: number): string {
  return `${run}-${line}`;
}
