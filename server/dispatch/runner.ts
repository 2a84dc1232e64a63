/**
 * What the dispatcher needs of a worker process: nothing more than this is known of it here. The TCP
 * door makes one of each work link.
 */

import type { Progress } from "../../protocol/task.ts";
import type { LeasedTask } from "../engine/engine.ts";
import type { Rate } from "../task/rate.ts";

export interface Runner {
  readonly ops: ReadonlySet<string>;
  /** Of the ops that have one. */
  readonly rates: ReadonlyMap<string, Rate>;
  readonly workers: number;
  /** How many more tasks it will take now. */
  readonly room: number;
  /** How many tasks it holds. */
  readonly held: number;
  run(tasks: readonly LeasedTask[]): void;
  holds(lease: number): boolean;
  progressOf(lease: number): Progress | undefined;
  /** `cancel`: stop these tasks and say so. `lost`: they are not yours any more. */
  stop(leases: readonly number[], reason: "cancel" | "lost"): void;
}
