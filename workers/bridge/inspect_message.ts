/**
 * What passes between the pool's main thread and the one worker that loads the task files without running
 * tasks: it tells what ops they have, and checks arguments by their schemas.
 */

import type { OpSpec } from "../../protocol/op_spec.ts";
import type { TaskPermissions } from "../../protocol/pool_start.ts";
import type { SchemaFault } from "../../protocol/work_message.ts";
import type { TaskModule } from "../ops/task_modules.ts";

/** The first message to the worker, with a port beside it. */
export interface InspectStart {
  inspect: readonly TaskModule[];
}

/** An op as it stands in its file. */
export interface FoundOp {
  spec: OpSpec;
  /** Where it stands, like `tasks.ts:12`. */
  place: string;
  /** What it asks to be allowed; absent: what all ops are. */
  permissions?: TaskPermissions;
}

/** Main thread to worker: check these submits. */
export interface CheckOrder {
  check: number;
  submits: [op: string, line: string][];
}

/** Worker to main thread. */
export type InspectReport =
  /** The next file that it loads, counted from 0. */
  | { loading: number }
  | { ops: FoundOp[] }
  /** `missing`: the URL of what is imported and not there. */
  | { fault: string; missing?: string }
  | { checked: number; faults: (SchemaFault | null)[] };
