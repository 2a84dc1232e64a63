/** Options of the calls of the library. */

import type { TaskOptions } from "../../protocol/task.ts";

/** Options of a call that a signal can end. */
export interface Abortable {
  /**
   * When it aborts, the call rejects with its reason. The request can have had its effect at the server. Calls that
   * stand for a task cancel the task.
   */
  signal?: AbortSignal | undefined;
}

/** Options of a submitted task, with times in ms, and a `signal`. Recurring tasks are made with `schedule`. */
export type CallOptions = Omit<TaskOptions, "cron" | "tz" | "catch_up"> & Abortable;
