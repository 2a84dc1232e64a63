/**
 * The state in the store of tasks and lanes of the journaled engine. It hangs on the `stored` slot of each task and lane of
 * the live tasks, which themselves know nothing of a store; the memory engine leaves the slot empty.
 */

import type { SdError } from "../../../protocol/errors.ts";
import type { LiveTask, StoredState } from "../live/live_task.ts";
import type { Lane, StoredLane } from "../live/ready_queue.ts";

/** Stands for the status of a task without a row. */
export const NOT_STORED = -1;

/** Hears when a new task is committed for the first time, or is rolled back. */
export interface FirstWriteListener {
  stored(task: LiveTask): void;
  rolledBack(task: LiveTask, reason: SdError): void;
}

/** The state of a task in the store. Statuses are indexes into `STORED_STATUSES`, or `NOT_STORED`. */
export class RowState implements StoredState {
  isSpilled = false;
  isGone = false;
  isParked = false;
  /** It has changed since it was last passed to the store. */
  isDirty = false;
  /** The status of the committed row. */
  safeStatus: number;
  firstWrite: FirstWriteListener | undefined = undefined;

  /** `storedStatus`: the status of the row after the write under way. */
  constructor(public storedStatus: number) {
    this.safeStatus = storedStatus;
  }

  /** It was new and could not be written: as if it had never been submitted. */
  get isRolledBack(): boolean {
    return this.isGone && this.storedStatus === NOT_STORED;
  }
}

/** The state in the store of a task of this engine. */
export function rowOf(task: LiveTask): RowState {
  return task.stored as RowState;
}

/** The state of a lane, as the pager needs it. */
export class LaneState implements StoredLane {
  isSpilled = false;
  lastSeq = 0;
  isLate = false;
  /** Tasks of the lane that are on their way to the disk. */
  leaving: Set<LiveTask> | undefined = undefined;
  /** A page of the lane is on its way here. */
  isFetching = false;
}

/** The state in the store of a lane of this engine. */
export function laneStateOf(lane: Lane<LiveTask>): LaneState {
  return lane.stored as LaneState;
}
