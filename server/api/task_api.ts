/**
 * The use cases that wait for tasks or change them: wait, cancel and retry, of a single task or of several. The rules hold
 * for every door; framing, refs and connections are the door's own.
 */

import { type ErrorBody, errorBody, quote, SdError } from "../../protocol/errors.ts";
import type { Status, TaskView } from "../../protocol/task.ts";
import type { Clock } from "../clock.ts";
import type { Asker, Cancelled, Engine, Lease, Requeued } from "../engine/engine.ts";
import { checkThere } from "../engine/read_turns.ts";
import type { TaskEvents } from "../task/task_events.ts";
import { notFound, type TaskReads } from "./task_reads.ts";

/** Tasks of one request that are looked up at a time; other requests are served in between. */
const MAX_AT_A_TIME = 50;

interface TaskApiOptions {
  readonly engine: Pick<Engine, "cancel" | "requeue" | "get">;
  readonly reads: Pick<TaskReads, "get">;
  readonly events: TaskEvents;
  readonly clock: Clock;
  readonly dispatch: {
    kick(): void;
    stopTasks(leases: readonly Lease[], reason: "cancel"): void;
  };
}

interface TaskStatus {
  readonly task_id: string;
  readonly status: Status;
}

/** The status of each of several tasks, or why it was refused. One refusal stops no other task. */
interface BulkAnswer {
  readonly tasks: readonly (TaskStatus | { readonly task_id: string; readonly error: ErrorBody })[];
}

export class TaskApi {
  readonly #options: TaskApiOptions;

  constructor(options: TaskApiOptions) {
    this.#options = options;
  }

  /** The task once it is final. */
  async wait(id: string, asker: Asker): Promise<TaskView> {
    const { reads } = this.#options;
    for (;;) {
      const view = await this.#watchingEnd(id, asker, async (ended) => {
        const view = await reads.get(id, asker);
        if (view.finished_at !== undefined) return view;
        await ended;
        return await reads.get(id, asker);
      });
      // A retry may have come between its end and this look at it.
      if (view.finished_at !== undefined) return view;
    }
  }

  /** Resolves once the task is cancelled: it will never start, or it has stopped. */
  cancel(id: string, asker: Asker): Promise<TaskStatus> {
    const { engine, dispatch, clock, reads } = this.#options;
    return this.#watchingEnd(id, asker, async (ended) => {
      const [cancelled] = await engine.cancel([id], clock.now(), asker);
      if (!cancelled || cancelled.outcome === "not_found") throw notFound(id);
      let status = cancelled.status;
      if (cancelled.lease !== undefined) {
        dispatch.stopTasks([cancelled.lease], "cancel");
        await ended;
        status = (await reads.get(id, asker)).status;
      }
      if (status === "cancelled") return { task_id: id, status };
      throw new SdError("conflict", `task ${quote(id)} cannot be cancelled: it is ${status}`);
    });
  }

  /** Resolves once no task of these will start, and the running ones have stopped. */
  async cancelAll(ids: readonly string[], asker: Asker): Promise<BulkAnswer> {
    const { engine, clock } = this.#options;
    const cancelled: Cancelled[] = [];
    for (const some of slicesOf(ids)) {
      checkThere(asker);
      cancelled.push(...await engine.cancel(some, clock.now(), asker));
    }
    const answers = ids.map(async (task_id, i) => {
      if (cancelled[i]?.outcome === "cancelled") return { task_id, status: "cancelled" as const };
      try {
        // It runs, is not there, or is final; each has the answer that a single cancel has.
        return await this.cancel(task_id, asker);
      } catch (error) {
        // A bug ends the whole request, and is logged there.
        if (!(error instanceof SdError)) throw error;
        return { task_id, error: errorBody(error) };
      }
    });
    return { tasks: await Promise.all(answers) };
  }

  /** Runs a final task again. */
  async retry(id: string, asker: Asker): Promise<TaskStatus> {
    const [outcome] = await this.#requeue([id], asker);
    if (outcome === undefined || outcome instanceof SdError) throw outcome ?? notFound(id);
    return outcome;
  }

  async retryAll(ids: readonly string[], asker: Asker): Promise<BulkAnswer> {
    const outcomes: (TaskStatus | SdError)[] = [];
    for (const some of slicesOf(ids)) {
      checkThere(asker);
      outcomes.push(...await this.#requeue(some, asker));
    }
    return {
      tasks: outcomes.map((outcome, i) =>
        outcome instanceof SdError ? { task_id: ids[i]!, error: errorBody(outcome) } : outcome
      ),
    };
  }

  /** Runs tasks again; the status of each, or why it is refused. */
  async #requeue(ids: readonly string[], asker: Asker): Promise<(TaskStatus | SdError)[]> {
    const { engine, events, clock, dispatch } = this.#options;
    const requeued = await engine.requeue(ids, clock.now(), asker);
    dispatch.kick();
    const queued = ids.filter((_id, i) => requeued[i]?.outcome === "queued");
    if (events.watchers.any && queued.length > 0) await this.#reportQueued(queued);
    return ids.map((id, i) => outcomeOf(id, requeued[i]));
  }

  async #reportQueued(ids: readonly string[]): Promise<void> {
    const { engine, events } = this.#options;
    for (const record of await engine.get(ids)) {
      if (!record) continue;
      const event = record.status === "delayed" ? "delayed" : "queued";
      events.watchers.publish(event, { id: record.id, op: record.op, attempt: 0 });
    }
  }

  /** Runs `work` with a promise of the task's end, which never resolves once the asker has left. */
  async #watchingEnd<T>(
    id: string,
    asker: Asker,
    work: (ended: Promise<void>) => Promise<T>,
  ): Promise<T> {
    const { events } = this.#options;
    const ended = Promise.withResolvers<void>();
    const waiter = {
      get closed() {
        return asker.signal.aborted;
      },
      deliver: () => ended.resolve(),
    };
    // Before the task is looked at, so that no end is missed between the two.
    const wait = events.wait(id, waiter);
    try {
      return await work(ended.promise);
    } finally {
      events.unwait(id, wait);
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
    const [state, cure] = status === undefined
      ? ["no longer there", "submit it again"]
      : [status, `retry ${quote(parent)} first`];
    return new SdError(
      "conflict",
      `task ${quote(id)} cannot be retried: it comes after task ${
        quote(parent)
      }, which is ${state}; ${cure}`,
    );
  }
  return new SdError(
    "conflict",
    `task ${quote(id)} cannot be retried: it is ${requeued.status}; ` +
      "only failed, cancelled and expired tasks can",
  );
}
