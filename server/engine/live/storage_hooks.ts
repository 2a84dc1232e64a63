/** What an engine does with its tasks beside what the live tasks do with them: where they are kept, and for how long. */

import type { TaskLog } from "../../task/task_log.ts";
import type { LiveTask } from "./live_task.ts";
import type { Lane } from "./ready_queue.ts";

export interface StorageHooks {
  /** What is kept of the task elsewhere is out of date. */
  changed(task: LiveTask): void;
  /** The task is final. */
  ended(task: LiveTask): void;
  /** A task that may wait, queued or delayed: true when it will do so elsewhere. */
  takesOver(task: LiveTask): boolean;
  /** A task that it took over is to be dealt with here after all. */
  takesBack?(task: LiveTask): void;
  /** A run of the task that is over has said this. */
  said(task: LiveTask, log: TaskLog): void;
  /** A task was taken from a lane of which more lies elsewhere. */
  taken?(lane: Lane<LiveTask>): void;
}
