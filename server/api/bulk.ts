/** What may be done to several tasks at once: each has an answer of its own, and one that is refused stops no other. */

import { type ErrorBody, errorBody, quote, SdError } from "../../protocol/errors.ts";
import type { Status } from "../../protocol/task.ts";
import type { Clock } from "../clock.ts";
import type { Cancelled, Engine, Requeued } from "../engine/engine.ts";
import { checkThere } from "../engine/live/read_turns.ts";
import type { TaskEvents } from "../task/task_events.ts";
import type { Caller } from "./auth.ts";

/** Tasks that are looked up at a time: others are served in between. */
const MAX_AT_A_TIME = 50;

export interface ManyTasksOptions {
  readonly engine: Pick<Engine, "cancel" | "requeue" | "get">;
  readonly events: TaskEvents;
  readonly clock: Clock;
  /** Tasks may have been queued. */
  readonly kick: () => void;
  /** Cancels one task that may be running; resolves once it has stopped. */
  readonly cancelOne: (id: string, caller: Caller) => Promise<TaskStatus>;
}

export interface TaskStatus {
  readonly task_id: string;
  readonly status: Status;
}

/** What became of each. */
export interface ManyAnswer {
  readonly tasks: readonly (TaskStatus | { readonly task_id: string; readonly error: ErrorBody })[];
}

export class ManyTasks {
  readonly #options: ManyTasksOptions;

  constructor(options: ManyTasksOptions) {
    this.#options = options;
  }

  /** Resolves once none of them will ever start, and those that ran have stopped. */
  async cancel(ids: readonly string[], caller: Caller): Promise<ManyAnswer> {
    const { engine, clock, cancelOne } = this.#options;
    const cancelled: Cancelled[] = [];
    for (const some of slicesOf(ids)) {
      checkThere(caller);
      const ended = await engine.cancel(some, clock.now(), caller);
      cancelled.push(...ended);
    }
    const answers = ids.map(async (task_id, i) => {
      if (cancelled[i]?.outcome === "cancelled") return { task_id, status: "cancelled" as const };
      try {
        // It runs; or it is not there, or final, and the reason is the same as for one task.
        return await cancelOne(task_id, caller);
      } catch (error) {
        // A bug is refused with the whole command, and logged there.
        if (!(error instanceof SdError)) throw error;
        return { task_id, error: errorBody(error) };
      }
    });
    return { tasks: await Promise.all(answers) };
  }

  async retry(ids: readonly string[], asker: Caller): Promise<ManyAnswer> {
    const outcomes: (TaskStatus | SdError)[] = [];
    for (const some of slicesOf(ids)) {
      checkThere(asker);
      outcomes.push(...await this.requeue(some, asker));
    }
    return {
      tasks: outcomes.map((outcome, i) =>
        outcome instanceof SdError ? { task_id: ids[i]!, error: errorBody(outcome) } : outcome
      ),
    };
  }

  /** Runs them again; of each its status, or why not. */
  async requeue(ids: readonly string[], asker?: Caller): Promise<(TaskStatus | SdError)[]> {
    const { engine, events, clock, kick } = this.#options;
    const requeued = await engine.requeue(ids, clock.now(), asker);
    kick();
    const queued = ids.filter((_id, i) => requeued[i]?.outcome === "queued");
    if (events.watchers.any && queued.length > 0) await this.#tellQueued(queued);
    return ids.map((id, i) => outcomeOf(id, requeued[i]));
  }

  async #tellQueued(ids: readonly string[]): Promise<void> {
    const { engine, events } = this.#options;
    for (const record of await engine.get(ids)) {
      if (!record) continue;
      const event = record.status === "delayed" ? "delayed" : "queued";
      events.watchers.tell(event, { id: record.id, op: record.op, attempt: 0 });
    }
  }
}

function slicesOf(ids: readonly string[]): readonly string[][] {
  const count = Math.ceil(ids.length / MAX_AT_A_TIME);
  return Array.from({ length: count }, (_, i) => {
    return ids.slice(i * MAX_AT_A_TIME, (i + 1) * MAX_AT_A_TIME);
  });
}

function outcomeOf(id: string, requeued: Requeued | undefined): TaskStatus | SdError {
  if (!requeued || requeued.outcome === "not_found") return notFound(id);
  if (requeued.outcome === "queued") return { task_id: id, status: requeued.status ?? "queued" };
  if (requeued.parent) {
    const { id: parent, status } = requeued.parent;
    const [what, cure] = status === undefined
      ? ["no longer there", "submit it again"]
      : [status, `retry ${quote(parent)} first`];
    return new SdError(
      "conflict",
      `task ${quote(id)} cannot be retried: it comes after task ${
        quote(parent)
      }, which is ${what}; ${cure}`,
    );
  }
  return new SdError(
    "conflict",
    `task ${quote(id)} cannot be retried: it is ${requeued.status}; ` +
      "only failed, cancelled and expired tasks can",
  );
}

export function notFound(id: string): SdError {
  return new SdError("not_found", `there is no task ${quote(id)}`);
}
