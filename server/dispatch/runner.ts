/**
 * What the dispatcher needs of a worker process: nothing more than this is known of it here. The TCP
 * door makes one of each work link.
 */

import type { Progress } from "../../protocol/task.ts";
import type { LeasedTask } from "../engine/engine.ts";
import type { Rate } from "../task/rate.ts";
import type { TaskLog } from "../task/task_log.ts";

export interface Runner {
  readonly ops: ReadonlySet<string>;
  /** Of the ops that have one. */
  readonly rates: ReadonlyMap<string, Rate>;
  /** Of the ops that have one. */
  readonly versions: ReadonlyMap<string, string>;
  readonly workers: number;
  /** How many more tasks it will take now. */
  readonly room: number;
  /** How many tasks it holds. */
  readonly held: number;
  run(tasks: readonly LeasedTask[]): void;
  holds(lease: number): boolean;
  progressOf(lease: number): Progress | undefined;
  /** What the run under `lease` has said so far; `undefined` where it said nothing. */
  logOf(lease: number): TaskLog | undefined;
  /** `cancel`: stop these tasks and say so. `lost`: they are not yours any more. */
  stop(leases: readonly number[], reason: "cancel" | "lost"): void;
}
