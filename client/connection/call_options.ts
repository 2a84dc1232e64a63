/** What goes with a call of the client library beside the task itself. */

import type { TaskOptions } from "../../protocol/task.ts";

/** Gives a call up. */
export interface Abortable {
  /**
   * As soon as it aborts, the call rejects with its reason. What the call asked of the server may have taken
   * effect; whether a task that goes with it is cancelled, the call says.
   */
  signal?: AbortSignal | undefined;
}

/** Of a submitted task; times are milliseconds. A recurring one is made with `schedule`. */
export type CallOptions = Omit<TaskOptions, "cron" | "tz" | "catch_up"> & Abortable;
