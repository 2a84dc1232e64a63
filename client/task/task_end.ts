/** The end of a task, as the server reports it, and the errors that stand for an end without a result. */

import type { ErrorBody, FailureCode } from "../../protocol/errors.ts";
import type { JsonObject } from "../../protocol/message.ts";
import type { Status, TaskView } from "../../protocol/task.ts";

/** The end of a task, with the names of the wire; `attempt` counts from 1. */
export type TaskEnd<Result = unknown> =
  | { task_id: string; status: "completed"; result: Result }
  | { task_id: string; status: "failed"; error: ErrorBody<FailureCode>; attempt: number }
  | { task_id: string; status: "cancelled" | "expired" };

/**
 * The error of a task that ran and failed.
 *
 * @example
 * ```ts
 * try {
 *   await client.resize({ path: "a.png" }, { attempts: 3 });
 * } catch (error) {
 *   if (!(error instanceof TaskFailedError)) throw error;
 *   console.warn(error.taskId, error.code, `attempt ${error.attempt}`);
 * }
 * ```
 */
export class TaskFailedError extends Error {
  override readonly name = "TaskFailedError";

  constructor(
    readonly taskId: string,
    /** The reason: the handler threw (`task_error`), took too long (`timeout`), and so on. */
    readonly code: FailureCode,
    message: string,
    /** The attempt that failed, counted from 1. */
    readonly attempt: number,
  ) {
    super(message);
  }
}

/**
 * The error of a task that ended without a result: it was cancelled, or expired before it started.
 *
 * @example
 * ```ts
 * try {
 *   await client.report({ month: 7 }, { expires: 5000 });
 * } catch (error) {
 *   if (!(error instanceof TaskEndedError)) throw error;
 *   console.warn(error.taskId, error.status); // cancelled or expired
 * }
 * ```
 */
export class TaskEndedError extends Error {
  override readonly name = "TaskEndedError";

  constructor(readonly taskId: string, readonly status: "cancelled" | "expired") {
    super(status === "cancelled" ? "the task was cancelled" : "the task expired before it started");
  }
}

/** The end of the task of `message`, a reply or a view; `undefined` if the task is not final. */
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

/** The result of a completed task. Throws the error for any other end. */
export function resultOfEnd<Result>(end: TaskEnd<Result>): Result {
  if (end.status === "completed") return end.result;
  if (end.status !== "failed") throw new TaskEndedError(end.task_id, end.status);
  const { code, message } = end.error;
  throw new TaskFailedError(end.task_id, code, message, end.attempt);
}
