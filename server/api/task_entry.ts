/**
 * The only path of new tasks into the engine: for submits, imports and recurring tasks. It kicks the dispatcher at once, and
 * reports new tasks to watches when they are committed. A server that stops closes it.
 */

import { SdError } from "../../protocol/errors.ts";
import type { Clock } from "../clock.ts";
import type { Engine, Enqueued } from "../engine/engine.ts";
import { RETRY_AFTER_MS, type ServerLimits } from "../limits.ts";
import type { Metrics } from "../metrics.ts";
import type { NewTask } from "../task/new_task.ts";
import type { TaskEvents } from "../task/task_events.ts";
import { UnderWay } from "../task/under_way.ts";

interface TaskEntryOptions {
  readonly engine: Engine;
  readonly events: TaskEvents;
  readonly dispatch: { kick(): void };
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Limits of the engine, for messages. */
  readonly limits: Pick<ServerLimits, "maxQueued" | "maxQueuedBytes">;
}

export class TaskEntry {
  readonly #options: TaskEntryOptions;
  readonly #entering = new UnderWay();
  #isClosed = false;

  constructor(options: TaskEntryOptions) {
    this.#options = options;
  }

  /** Whether the server is stopping. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** From now on every submit is refused. */
  close(): void {
    this.#isClosed = true;
  }

  /** Throws `shutting_down` if the server takes no more tasks. */
  checkOpen(): void {
    if (!this.#isClosed) return;
    throw new SdError("shutting_down", "the server is stopping and takes no more tasks", {
      // Behind a load balancer another server takes them at once.
      retryAfterMs: 0,
    });
  }

  /** Enters tasks that were submitted, and counts them. */
  async submit(tasks: readonly NewTask[]): Promise<Enqueued[]> {
    const enqueued = await this.enter(tasks);
    this.#options.metrics.submitted += tasks.length;
    return enqueued;
  }

  /** Gives `tasks` to the engine; resolves once they are committed. */
  async enter(tasks: readonly NewTask[]): Promise<Enqueued[]> {
    const { engine, dispatch, clock } = this.#options;
    this.#entering.begin();
    try {
      const entering = engine.enqueue(tasks, clock.now());
      // Tasks may run before their commit; they are acknowledged after it.
      dispatch.kick();
      const enqueued = await entering;
      dispatch.kick();
      this.#report(tasks, enqueued);
      return enqueued;
    } finally {
      this.#entering.end();
    }
  }

  /** Resolves once no task is on its way into the engine. */
  settled(): Promise<void> {
    return this.#entering.downTo(0);
  }

  /** The refusal of a task for which the engine has no room. */
  queueFull(): SdError {
    const { maxQueued, maxQueuedBytes } = this.#options.limits;
    return new SdError(
      "queue_full",
      `cannot submit: ${maxQueued} tasks are queued (--max-queued), or they take too much room ` +
        `(in memory ${maxQueuedBytes / 2 ** 20} MiB, --max-queued-mib; on disk --max-file-mib)`,
      { retryAfterMs: RETRY_AFTER_MS },
    );
  }

  #report(tasks: readonly NewTask[], enqueued: readonly Enqueued[]): void {
    const { events } = this.#options;
    if (!events.watchers.any) return;
    for (let i = 0; i < enqueued.length; i++) {
      const { outcome, status } = enqueued[i]!;
      const { id, op, past } = tasks[i]!;
      if (outcome === "created" && (status === "queued" || status === "delayed")) {
        events.watchers.publish(status, { id, op, attempt: past?.attempt ?? 0 });
      }
    }
  }
}
