/**
 * What the runs of a task leave of themselves beside its result: the version that ran it, how much it has
 * said. Most tasks have none. Pure.
 */

import { countOf, type TaskLog } from "./task_log.ts";

export interface RunHistory {
  /** Of the task file that its last attempt ran; `undefined` for a built-in op. */
  readonly version: string | undefined;
  /** How many entries its log has had. */
  readonly logged: number;
  /** How often it was run again by `retry`. */
  readonly retries: number;
}

const NO_TRAIL: RunHistory = { version: undefined, logged: 0, retries: 0 };

/** After the task was handed to a worker process of that version. */
export function ranBy(trail: RunHistory | undefined, version: string | undefined): RunHistory {
  return { ...trail ?? NO_TRAIL, version };
}

/** After a run that has said `log`. */
export function said(trail: RunHistory | undefined, log: TaskLog): RunHistory {
  return { ...trail ?? NO_TRAIL, logged: countOf(log) };
}

/** After a person had it run again: of one that left no trail, none is missed. */
export function retried(trail: RunHistory | undefined): RunHistory | undefined {
  return trail && { ...trail, retries: trail.retries + 1 };
}
