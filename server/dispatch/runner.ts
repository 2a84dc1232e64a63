/**
 * What the dispatcher needs of a worker process: nothing more than this is known of it here. The TCP
 * door makes one of each work link.
 */

import type { OpSpec } from "../../protocol/op_spec.ts";
import type { Progress } from "../../protocol/task.ts";
import type { SchemaFault } from "../../protocol/work_message.ts";
import type { Lease, LeasedTask } from "../engine/engine.ts";
import type { TaskLog } from "../task/task_log.ts";

/** What is to be checked by the schema of its op: the line as it was submitted. */
export type UncheckedSubmit = readonly [op: string, line: string];

export interface Runner {
  readonly ops: ReadonlySet<string>;
  /** By the names of the ops. */
  readonly specs: ReadonlyMap<string, OpSpec>;
  /** Of the ops that have one. */
  readonly versions: ReadonlyMap<string, string>;
  /** Which of the pools with a name it is of. */
  readonly pool: string | undefined;
  readonly pid: number;
  readonly workers: number;
  /** It is a process for a single run, and no pool of workers. */
  readonly isSingle: boolean;
  /** Whether tasks may be given to it at all: it is not about to end, and it answers. */
  readonly accepts: boolean;
  /** How many more tasks it will take now. */
  readonly room: number;
  /** How many tasks it holds. */
  readonly held: number;
  /** How many it holds of each op. */
  heldOps(): ReadonlyMap<string, number>;
  run(tasks: readonly LeasedTask[]): void;
  holds(lease: Lease): boolean;
  /** Of a run that it holds and that has said how far it is. */
  progressOf(lease: Lease): Progress | undefined;
  /** What the run under `lease` has said so far; `undefined` where it said nothing. */
  logOf(lease: Lease): TaskLog | undefined;
  /**
   * Of `leases`, those that it holds, `cancel`: stop these tasks and say so. `lost`: they are not yours any more.
   */
  stop(leases: readonly Lease[], reason: "cancel" | "lost"): void;
  /**
   * Ends its connection, for this reason, and the runs that it holds as lost: its process has not died of a task. The
   * leases in `overdue` ran out, so no task of them is blamed for anything.
   */
  cutOff(why: string, overdue?: readonly Lease[]): void;
  /** Of each submit its fault, or null; nothing where the process ended, or answered something else. */
  check(submits: readonly UncheckedSubmit[]): Promise<readonly (SchemaFault | null)[] | undefined>;
}
