/** A command that does the same to several tasks: asks for each, tells each, ends by the worst. */

import { EXIT, type ExitCode, exitCodeOf } from "../../../cli/exit.ts";
import { type ErrorReport, printData, reportOf, tellError } from "../../../cli/report.ts";
import { escapeControls, print } from "../../../cli/talk.ts";
import { Semaphore } from "./semaphore.ts";

/** Many, since each may take long: a task that has ended is told while others before it go on. */
const MAX_IN_FLIGHT = 10_000;
/** Which outcome speaks for all, where there are several. */
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

/** What came out for one task. */
export interface Outcome {
  /** As it is told in JSON. */
  task: { task_id: string } & Record<string, unknown>;
  /** Why the command failed for it, where it did. */
  error?: ErrorReport;
}

export interface EachTask {
  ids: readonly string[];
  json: boolean;
  ask(id: string): Promise<Outcome>;
  /** Prints an outcome for people, as soon as it is there. */
  show(outcome: Outcome): void;
}

/** Asks for all `ids` at once, each once, and returns the exit code of the worst outcome. */
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
  if (worst && json) return tellError(worst, { json, data });
  if (json) printData(data);
  return worst ? exitCodeOf(worst.code) : EXIT.ok;
}

/** Prints an outcome as a line: data on stdout, an error on stderr. */
export function showStatus({ task, error }: Outcome): void {
  if (error) tellError(error, { json: false });
  else print(`${escapeControls(task.task_id)} ${task.status}`);
}

/** The outcome for a task that the server refused; what ends the whole command is thrown on. */
function failure(task_id: string, error: unknown): Outcome {
  const report = reportOf(error);
  if (!report || report.code === "unreachable") throw error;
  const { code, message } = report;
  return { task: { task_id, error: { code, message } }, error: report };
}

/** The one that speaks for all, as the exit code does. */
export function worstOf(errors: readonly ErrorReport[]): ErrorReport | undefined {
  const rank = ({ code }: ErrorReport) => {
    const place = WORST_FIRST.indexOf(exitCodeOf(code));
    return place < 0 ? WORST_FIRST.length : place;
  };
  return errors.toSorted((a, b) => rank(a) - rank(b))[0];
}
