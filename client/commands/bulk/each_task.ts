/** The frame of a command on several ids: one request and one line for each, the exit code of the worst. */

import { EXIT, type ExitCode, exitCodeOf } from "../../../cli/exit.ts";
import { type ErrorReport, printData, reportError, reportOf } from "../../../cli/report.ts";
import { escapeControls, print } from "../../../cli/talk.ts";
import { Semaphore } from "./semaphore.ts";

/** Most requests in flight; many, since each can last as long as its task. */
const MAX_IN_FLIGHT = 10_000;
/** Exit codes from the worst to the least bad. */
const WORST_FIRST: readonly ExitCode[] = [
  EXIT.internal,
  EXIT.unauthorized,
  EXIT.usage,
  EXIT.notFound,
  EXIT.refused,
  EXIT.failed,
  EXIT.ended,
  EXIT.timedOut,
];

/** The outcome for a single task. */
export interface TaskOutcome {
  /** The task in JSON. */
  task: { task_id: string } & Record<string, unknown>;
  /** The error of the command for this task, if there was one. */
  error?: ErrorReport;
}

interface EachTask {
  ids: readonly string[];
  json: boolean;
  ask(id: string): Promise<TaskOutcome>;
  /** Prints an outcome for people as soon as it is known. */
  show(outcome: TaskOutcome): void;
}

/** Asks for all `ids` at once, without repetitions, and returns the exit code of the worst outcome. */
export async function forEachTask({ ids, json, ask, show }: EachTask): Promise<ExitCode> {
  const slots = new Semaphore(MAX_IN_FLIGHT);
  const outcomes = await Promise.all([...new Set(ids)].map(async (id) => {
    await slots.take();
    try {
      const outcome = await ask(id).catch((error: unknown) => failure(id, error));
      if (!json) show(outcome);
      return outcome;
    } finally {
      slots.release();
    }
  }));
  const worst = worstOf(outcomes.flatMap(({ error }) => error ?? []));
  const data = { tasks: outcomes.map(({ task }) => task) };
  if (worst && json) return reportError(worst, { json, data });
  if (json) printData(data);
  return worst ? exitCodeOf(worst.code) : EXIT.ok;
}

/** Prints an outcome as a line: data on stdout, an error on stderr. */
export function showStatus({ task, error }: TaskOutcome): void {
  if (error) reportError(error, { json: false });
  else print(`${escapeControls(task.task_id)} ${task.status}`);
}

/** The outcome for a refused task. Errors that end the whole command are thrown again. */
function failure(task_id: string, error: unknown): TaskOutcome {
  const report = reportOf(error);
  if (!report || report.code === "unreachable") throw error;
  const { code, message } = report;
  return { task: { task_id, error: { code, message } }, error: report };
}

/** The worst error, which sets the exit code. */
export function worstOf(errors: readonly ErrorReport[]): ErrorReport | undefined {
  const rank = ({ code }: ErrorReport) => {
    const place = WORST_FIRST.indexOf(exitCodeOf(code));
    return place < 0 ? WORST_FIRST.length : place;
  };
  return errors.toSorted((a, b) => rank(a) - rank(b))[0];
}
