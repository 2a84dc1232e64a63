/**
 * Tasks by their ids: those that this process named by the serial number at the
 * end of the id, those that a client named by the id itself.
 */

import { SerialMap } from "../task/serial_map.ts";
import { serialOf } from "../task/task_id.ts";
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
    else this.#bySerial.set(task.serial, task);
  }

  remove(task: LiveTask): void {
    if (task.task.idGiven) this.#byGivenId.delete(task.id);
    else this.#bySerial.take(task.serial);
  }

  /** All tasks, in no order that could be relied on. */
  *values(): Generator<LiveTask> {
    for (const [, task] of this.#bySerial.entries()) yield task;
    yield* this.#byGivenId.values();
  }
}
