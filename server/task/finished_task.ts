/**
 * A task that has just become final: what everyone who waits for it is told. Read it at once: an engine
 * may hand out its own record of the task, which goes on to live.
 */

import type { ErrorBody, FailureCode } from "../../protocol/errors.ts";
import type { FinalStatus } from "../../protocol/task.ts";

export interface FinishedTask {
  readonly id: string;
  readonly op: string;
  readonly status: FinalStatus;
  readonly attempt: number;
  /** The result in JSON; of a completed task only. */
  readonly result: string | undefined;
  /** Of a failed task only. */
  readonly error: ErrorBody<FailureCode> | undefined;
}
