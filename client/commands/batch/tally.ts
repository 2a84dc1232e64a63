/** Counts of the outcomes of many lines, and the summary at the end. */

import { EXIT, type ExitCode } from "../../../cli/exit.ts";
import { printData, reportError } from "../../../cli/report.ts";
import { formatDuration } from "../../../protocol/text_forms.ts";
import { withCommas } from "../base/table.ts";

/** Counts of lines. `refused`: never a task. `submitted`: sent without waiting for the end. */
export interface Tally {
  tasks: number;
  submitted: number;
  completed: number;
  failed: number;
  cancelled: number;
  expired: number;
  refused: number;
}

/** The counts of the interrupted run that this one resumes. */
export interface Earlier {
  lines: number;
  failed: number;
}

/** Least duration of a run for a rate, in ms. */
const MIN_RATE_MS = 1000;

export function newTally(): Tally {
  return {
    tasks: 0,
    submitted: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    expired: 0,
    refused: 0,
  };
}

/** Number of lines that have ended. */
export function endedOf({ tasks: _, ...counts }: Tally): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** Number of lines without a result. */
export function failedOf({ failed, cancelled, expired, refused }: Tally): number {
  return failed + cancelled + expired + refused;
}

/** `3 tasks: 2 completed, 1 failed in 1.2s, 3 a second` */
export function summary(tally: Tally, { tookMs, earlier }: {
  tookMs: number;
  earlier: Earlier | undefined;
}): string {
  const { tasks, ...counts } = tally;
  const parts = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${withCommas(count)} ${name}`);
  const what = [`${withCommas(tasks)} ${tasks === 1 ? "task" : "tasks"}`, parts.join(", ")]
    .filter((part) => part !== "").join(": ");
  const perSecond = Math.round(endedOf(tally) / tookMs * 1000);
  const rate = tookMs >= MIN_RATE_MS && perSecond > 0 ? `, ${withCommas(perSecond)} a second` : "";
  const before = earlier ? `; ${withCommas(earlier.lines)} lines were done before` : "";
  return `${what} in ${formatDuration(tookMs)}${rate}${before}`;
}

/** Reports whether every line has a result, and returns the exit code. */
export function reportTally(
  tally: Tally,
  { json, earlier }: { json: boolean; earlier: Earlier | undefined },
): ExitCode {
  const tasks = tally.tasks + (earlier?.lines ?? 0);
  const missing = tally.tasks - tally.completed - tally.submitted + (earlier?.failed ?? 0);
  const data = earlier ? { ...tally, earlier } : tally;
  if (missing === 0) {
    if (json) printData(data);
    return EXIT.ok;
  }
  const message = `${missing} of ${tasks} tasks got no result`;
  const hint = "see the errors in the lines on stdout";
  return reportError({ code: "task_error", message, hint }, { json, data });
}
