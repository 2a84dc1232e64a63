/**
 * Tasks by their serial numbers, and so by their ids: the server's own have that number at their end. Those that a client
 * named stand under that name as well.
 */

import { SerialMap } from "../../task/serial_map.ts";
import { serialOf } from "../../task/task_id.ts";
import type { LiveTask } from "./live_task.ts";

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

  /** All tasks, in no order that could be relied on. */
  *values(): Generator<LiveTask> {
    for (const [, task] of this.#bySerial.entries()) yield task;
  }

  /** Those behind the serial number `from`, in the order of their submission or, `down`, against it. */
  inOrder(from: number, options: { readonly down: boolean }): Generator<LiveTask> {
    return this.#bySerial.inOrder(from, options);
  }
}
