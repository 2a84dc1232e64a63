/** How a task ended, as the server's lines tell it, and the errors that a result rejects with. */

import type { ErrorBody, FailureCode } from "../../protocol/errors.ts";
import type { JsonObject } from "../../protocol/message.ts";
import type { Status, TaskView } from "../../protocol/task.ts";

/** The last that there is to know of a task. Named as on the wire. */
export type TaskEnd<Result = unknown> =
  | { task_id: string; status: "completed"; result: Result }
  | { task_id: string; status: "failed"; error: ErrorBody<FailureCode>; attempt: number }
  | { task_id: string; status: "cancelled" | "expired" };

/** A task ran and failed. `attempt` is the run that failed, counted from 1. */
export class TaskFailedError extends Error {
  override readonly name = "TaskFailedError";

  constructor(
    readonly taskId: string,
    readonly code: FailureCode,
    message: string,
    readonly attempt: number,
  ) {
    super(message);
  }
}

/** A task ended without a result: somebody cancelled it, or it expired before it could start. */
export class TaskEndedError extends Error {
  override readonly name = "TaskEndedError";

  constructor(readonly taskId: string, readonly status: "cancelled" | "expired") {
    super(status === "cancelled" ? "the task was cancelled" : "the task expired before it started");
  }
}

/** What `message`, a reply or a task's view, tells of the end of its task; nothing before it. */
export function endOf(message: JsonObject | TaskView): TaskEnd | undefined {
  const task_id = String(message.task_id);
  switch (message.status as Status) {
    case "completed":
      if (message.result === undefined) return undefined;
      return { task_id, status: "completed", result: message.result };
    case "failed": {
      const error = message.error as ErrorBody<FailureCode> | undefined;
      if (error === undefined) return undefined;
      return { task_id, status: "failed", error, attempt: Number(message.attempt ?? 1) };
    }
    case "cancelled":
    case "expired":
      return { task_id, status: message.status as "cancelled" | "expired" };
    default:
      return undefined;
  }
}

/** The result of a task that completed; throws the error that tells of any other end. */
export function resultOfEnd<Result>(end: TaskEnd<Result>): Result {
  if (end.status === "completed") return end.result;
  if (end.status !== "failed") throw new TaskEndedError(end.task_id, end.status);
  const { code, message } = end.error;
  throw new TaskFailedError(end.task_id, code, message, end.attempt);
}
