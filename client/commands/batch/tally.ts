/** What became of many lines, counted, and how that is told at the end. */

import { EXIT, type ExitCode } from "../../../cli/exit.ts";
import { printData, tellError } from "../../../cli/report.ts";
import { formatDuration } from "../../../protocol/text_forms.ts";
import { withCommas } from "../base/table.ts";

/** `refused` were never tasks, `submitted` were left to themselves. */
export interface Tally {
  tasks: number;
  submitted: number;
  completed: number;
  failed: number;
  cancelled: number;
  expired: number;
  refused: number;
}

/** What a run before this one did, where this one goes on. */
export interface Earlier {
  lines: number;
  failed: number;
}

/** A rate over less says nothing. */
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

/** Lines that have come to an end. */
export function endedOf({ tasks: _, ...counts }: Tally): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** Of these, those without a result. */
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

/** Tells whether every line has its result, and returns the exit code that says so. */
export function tellTally(
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
  const hint = "the lines on stdout say why";
  return tellError({ code: "task_error", message, hint }, { json, data });
}
