/** The one way of tasks into the engine: told to the dispatcher at once, and to whoever watches once they are safe. */

import type { Clock } from "../clock.ts";
import type { Engine, Enqueued } from "../engine/engine.ts";
import type { NewTask } from "../task/new_task.ts";
import type { TaskEvents } from "../task/task_events.ts";
import { UnderWay } from "../task/under_way.ts";

export interface TaskEntryOptions {
  readonly engine: Engine;
  readonly events: TaskEvents;
  readonly dispatch: { kick(): void };
  readonly clock: Clock;
}

export class TaskEntry {
  readonly #options: TaskEntryOptions;
  readonly #entering = new UnderWay();

  constructor(options: TaskEntryOptions) {
    this.#options = options;
  }

  /** Keeps `tasks`; resolves once they are safe. */
  async enter(tasks: readonly NewTask[]): Promise<Enqueued[]> {
    const { engine, dispatch, clock } = this.#options;
    this.#entering.begin();
    try {
      const entering = engine.enqueue(tasks, clock.now());
      // Tasks may run while they are made safe; they are not acknowledged before that.
      dispatch.kick();
      const enqueued = await entering;
      dispatch.kick();
      this.#tell(tasks, enqueued);
      return enqueued;
    } finally {
      this.#entering.end();
    }
  }

  /** Resolves once no task is on its way. */
  settled(): Promise<void> {
    return this.#entering.downTo(0);
  }

  #tell(tasks: readonly NewTask[], enqueued: readonly Enqueued[]): void {
    const { events } = this.#options;
    if (!events.watchers.any) return;
    for (let i = 0; i < enqueued.length; i++) {
      const { outcome, status } = enqueued[i]!;
      const { id, op, past } = tasks[i]!;
      if (outcome === "created" && (status === "queued" || status === "delayed")) {
        events.watchers.tell(status, { id, op, attempt: past?.attempt ?? 0 });
      }
    }
  }
}
