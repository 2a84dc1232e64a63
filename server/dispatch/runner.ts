/** A worker process as the dispatcher knows it. Each work link of the TCP door is one. */

import type { OpSpec } from "../../protocol/op_spec.ts";
import type { Progress } from "../../protocol/task.ts";
import type { SchemaFault } from "../../protocol/work_message.ts";
import type { Lease, LeasedTask } from "../engine/engine.ts";
import type { TaskLog } from "../task/task_log.ts";

/** A submit whose arguments need a check by the schema of its op: the line as it was submitted. */
export type UncheckedSubmit = readonly [op: string, line: string];

export interface Runner {
  readonly ops: ReadonlySet<string>;
  /** By the names of the ops. */
  readonly specs: ReadonlyMap<string, OpSpec>;
  /** Of the ops that have one. */
  readonly versions: ReadonlyMap<string, string>;
  /** The name of its pool, if that has one. */
  readonly pool: string | undefined;
  readonly pid: number;
  /** The name of its machine, for people. */
  readonly machine?: string | undefined;
  readonly workers: number;
  /** It is a process for a single run, not a pool of workers. */
  readonly isSingle: boolean;
  /** Whether it takes tasks at all: it is not about to end, and it shows signs of life. */
  readonly accepts: boolean;
  /** The number of further tasks that it takes now. */
  readonly room: number;
  /** The number of tasks that it holds. */
  readonly held: number;
  /** How many it holds of each op. */
  heldOps(): ReadonlyMap<string, number>;
  run(tasks: readonly LeasedTask[]): void;
  holds(lease: Lease): boolean;
  /** The last progress of the run under `lease`; `undefined` if it reported none or is not held here. */
  progressOf(lease: Lease): Progress | undefined;
  /** The log so far of the run under `lease`; `undefined` if it has none or is not held here. */
  logOf(lease: Lease): TaskLog | undefined;
  /** Stops the tasks of the `leases` that it holds. `cancel`: it reports each; `lost`: it reports none. */
  stop(leases: readonly Lease[], reason: "cancel" | "lost"): void;
  /**
   * Ends its connection, for this reason, and the runs that it holds as lost: its process has not died of a task. The
   * leases in `overdue` ran out, so no task of them is blamed for anything.
   */
  cutOff(why: string, overdue?: readonly Lease[]): void;
  /** The fault of each submit, or null; `undefined` if the process ended or its answer is not one. */
  check(submits: readonly UncheckedSubmit[]): Promise<readonly (SchemaFault | null)[] | undefined>;
}
