/**
 * All tasks of an engine: those in memory by id, and the numbers of all. `TaskIndex` finds a task by its serial number,
 * which ids made by the server end with, or by the id that a client chose. `LiveCounts` counts by status and by op.
 */

import { type Status, type StatusCounts, STATUSES } from "../../../protocol/task.ts";
import type { EngineStats } from "../engine.ts";
import type { LiveTask } from "./live_task.ts";
import type { ReadyQueue } from "./ready_queue.ts";
import { SerialMap } from "../../task/serial_map.ts";
import { serialOf } from "../../task/task_id.ts";

export class TaskIndex {
  readonly #bySerial = new SerialMap<LiveTask>();
  readonly #byGivenId = new Map<string, LiveTask>();

  get(id: string): LiveTask | undefined {
    const task = this.#bySerial.get(serialOf(id));
    return task?.id === id ? task : this.#byGivenId.get(id);
  }

  /** Adds a task whose id is not here yet. */
  add(task: LiveTask): void {
    if (task.task.idGiven) this.#byGivenId.set(task.id, task);
    this.#bySerial.set(task.serial, task);
  }

  remove(task: LiveTask): void {
    if (task.task.idGiven) this.#byGivenId.delete(task.id);
    this.#bySerial.take(task.serial);
  }

  /** All tasks, in no particular order. */
  *values(): Generator<LiveTask> {
    for (const [, task] of this.#bySerial.entries()) yield task;
  }

  /** The tasks behind the serial number `from`, in the order of submission, or against it (`down`). */
  inOrder(from: number, options: { readonly down: boolean }): Generator<LiveTask> {
    return this.#bySerial.inOrder(from, options);
  }
}

/** Most heads of lanes that `stats` looks at; with more keys, only the first ones count. */
const MAX_HEADS = 10_000;

interface Load {
  queued: number;
  running: number;
}

export class LiveCounts {
  readonly byStatus: StatusCounts = {
    queued: 0,
    delayed: 0,
    running: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    expired: 0,
  };
  readonly #loads = new Map<string, Load>();

  /** Counts a change of status of a task of `op`; `undefined` stands for no task. */
  moved(op: string, from: Status | undefined, to: Status | undefined): void {
    if (from !== undefined) this.byStatus[from]--;
    if (to !== undefined) this.byStatus[to]++;
    if (from === "queued" || from === "running") this.#load(op, from, -1);
    if (to === "queued" || to === "running") this.#load(op, to, 1);
  }

  /** Counts `count` queued tasks for `op`; `byStatus` has them already. */
  queuedOf(op: string, count: number): void {
    this.#load(op, "queued", count);
  }

  /**
   * The present numbers; while a store still counts, a number can be too low, and one below 0 is shown as 0. For each op
   * also since when the oldest of its tasks in `queue` has been due. */
  stats(queue: ReadyQueue<LiveTask>): EngineStats {
    const oldest = new Map<string, LiveTask>();
    for (const task of queue.heads(MAX_HEADS)) {
      const other = oldest.get(task.op);
      if (!other || task.runAt < other.runAt) oldest.set(task.op, task);
    }
    const ops = [...this.#loads].map(([op, { queued, running }]) => ({
      op,
      queued: Math.max(0, queued),
      running,
      waitingSince: queued > 0 ? oldest.get(op)?.runAt : undefined,
    }));
    const tasks = { ...this.byStatus };
    for (const status of STATUSES) tasks[status] = Math.max(0, tasks[status]);
    return { tasks, ops: ops.filter((op) => op.queued > 0 || op.running > 0) };
  }

  #load(op: string, status: keyof Load, count: number): void {
    let load = this.#loads.get(op);
    if (!load) this.#loads.set(op, load = { queued: 0, running: 0 });
    load[status] += count;
    if (load.queued === 0 && load.running === 0) this.#loads.delete(op);
  }
}
