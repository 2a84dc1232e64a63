/**
 * The use cases of sd: what a client may ask of tasks, whichever door it came in by. Rules that hold
 * for every door are here or below; what a door has of its own (framing, refs, connections) is not.
 */

import { closestString } from "@std/text/closest-string";
import { quote, SdError } from "../../protocol/errors.ts";
import type { Progress, ServerStats, TaskView } from "../../protocol/task.ts";
import type { Clock } from "../clock.ts";
import type { Engine, Enqueued, ListRequest, TaskRecord } from "../engine/engine.ts";
import { RETRY_AFTER_MS, type ServerLimits } from "../limits.ts";
import type { Metrics } from "../metrics.ts";
import type { NewTask } from "../task/new_task.ts";
import type { TaskEvents } from "../task/task_events.ts";
import { taskSummary, taskView } from "./task_view.ts";

/** What the use cases need of the loops. */
export interface Dispatch {
  kick(): void;
  stopTasks(leases: readonly number[], reason: "cancel"): void;
  progressOf(lease: number): Progress | undefined;
  readonly runners: readonly { readonly workers: number; readonly held: number }[];
}

export interface KnownOps {
  readonly ready: Promise<void> | undefined;
  has(op: string): boolean;
  list(): { op: string; workers: number }[];
}

export interface TaskApiOptions {
  readonly engine: Engine;
  readonly events: TaskEvents;
  readonly dispatch: Dispatch;
  readonly ops: KnownOps;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly version: string;
  readonly protocol: number;
  /** Of the engine, for messages. */
  readonly limits: Pick<ServerLimits, "maxQueued" | "maxQueuedBytes">;
}

/** Someone who may leave before the answer is there. */
export interface Caller {
  readonly closed: boolean;
}

export class TaskApi {
  readonly events: TaskEvents;
  readonly #options: TaskApiOptions;
  readonly #startedAt: number;
  #stopping = false;

  constructor(options: TaskApiOptions) {
    this.#options = options;
    this.events = options.events;
    this.#startedAt = options.clock.now();
  }

  /** Pending while nobody can know which ops there are; await it before `checkOp`. */
  get ready(): Promise<void> | undefined {
    return this.#options.ops.ready;
  }

  get now(): number {
    return this.#options.clock.now();
  }

  /** From now on every submit is refused. */
  stopSubmits(): void {
    this.#stopping = true;
  }

  /** Throws when a task of this op cannot be taken. */
  checkOp(op: string): void {
    if (this.#stopping) {
      throw new SdError("shutting_down", "the server is stopping and takes no more tasks");
    }
    if (this.#options.ops.has(op)) return;
    const names = this.#options.ops.list().map((entry) => entry.op);
    throw new SdError(
      "unknown_op",
      `no worker has an op ${quote(op)}; did you mean ${quote(closestString(op, names))}? ` +
        '{"cmd":"ops"} lists them',
    );
  }

  /** Why a task was refused that the engine found to be one too many. */
  queueFull(): SdError {
    const { maxQueued, maxQueuedBytes } = this.#options.limits;
    return new SdError(
      "queue_full",
      `cannot submit: ${maxQueued} tasks are queued (--max-queued), or ${
        maxQueuedBytes / 2 ** 20
      } MiB of tasks (--max-queued-mib), the limit`,
      { retryAfterMs: RETRY_AFTER_MS },
    );
  }

  /** Keeps `tasks`, each with an op that `checkOp` let through; resolves once they are safe. */
  async submit(tasks: readonly NewTask[]): Promise<Enqueued[]> {
    const { engine, dispatch, metrics, clock } = this.#options;
    const enqueued = await engine.enqueue(tasks, clock.now());
    metrics.submitted += tasks.length;
    dispatch.kick();
    return enqueued;
  }

  async get(id: string): Promise<TaskView> {
    const [record] = await this.#options.engine.get([id]);
    if (!record) throw notFound(id);
    return this.#view(record);
  }

  /** The task once it is final. */
  async wait(id: string, caller: Caller): Promise<TaskView> {
    for (;;) {
      const view = await this.#watchingFinal(id, caller, async (final) => {
        const view = await this.get(id);
        if (view.finished_at !== undefined) return view;
        await final;
        return await this.get(id);
      });
      // Unless a retry came between its end and that look at it.
      if (view.finished_at !== undefined) return view;
    }
  }

  /** A page of tasks, without their results. */
  async list(request: ListRequest): Promise<{ tasks: TaskView[]; cursor: string | null }> {
    const { tasks, cursor } = await this.#options.engine.list(request);
    const views = tasks.map((record) => taskSummary(record, this.#progressOf(record)));
    return { tasks: views, cursor: cursor ?? null };
  }

  /** Resolves once the task is cancelled: it will never start, or it has stopped. */
  cancel(id: string, caller: Caller): Promise<{ task_id: string; status: "cancelled" }> {
    const { engine, events, dispatch, clock } = this.#options;
    return this.#watchingFinal(id, caller, async (final) => {
      const [cancelled] = await engine.cancel([id], clock.now());
      if (!cancelled || cancelled.outcome === "not_found") throw notFound(id);
      if (cancelled.finished) events.emit([cancelled.finished, ...cancelled.others]);
      let status = cancelled.status;
      if (cancelled.lease !== undefined) {
        dispatch.stopTasks([cancelled.lease], "cancel");
        await final;
        status = (await this.get(id)).status;
      }
      if (status === "cancelled") return { task_id: id, status };
      throw new SdError("conflict", `task ${quote(id)} cannot be cancelled: it is ${status}`);
    });
  }

  async retry(id: string): Promise<{ task_id: string; status: "queued" }> {
    const { engine, dispatch, clock } = this.#options;
    const [requeued] = await engine.requeue([id], clock.now());
    if (!requeued || requeued.outcome === "not_found") throw notFound(id);
    if (requeued.outcome === "refused") {
      throw new SdError(
        "conflict",
        `task ${quote(id)} cannot be retried: it is ${requeued.status}; ` +
          "only failed, cancelled and expired tasks can",
      );
    }
    dispatch.kick();
    return { task_id: id, status: "queued" };
  }

  ops(): { ops: { op: string; workers: number }[] } {
    return { ops: this.#options.ops.list() };
  }

  async stats(): Promise<ServerStats> {
    const { engine, dispatch, metrics, clock, version, protocol } = this.#options;
    const tasks = await engine.stats();
    const { runners } = dispatch;
    return {
      version,
      protocol,
      pid: Deno.pid,
      uptime_ms: clock.now() - this.#startedAt,
      engine: engine.name,
      tasks,
      totals: { submitted: metrics.submitted, finished: metrics.finished },
      workers: {
        pools: runners.length,
        workers: runners.reduce((sum, runner) => sum + runner.workers, 0),
        running: runners.reduce((sum, runner) => sum + runner.held, 0),
      },
      connections: metrics.connections,
    };
  }

  /** Runs `work` with a promise of the task's end, which never resolves once the caller has closed. */
  async #watchingFinal<T>(
    id: string,
    caller: Caller,
    work: (final: Promise<void>) => Promise<T>,
  ): Promise<T> {
    const { events } = this.#options;
    const final = Promise.withResolvers<void>();
    const waiter = {
      get closed() {
        return caller.closed;
      },
      deliver: () => final.resolve(),
    };
    // Before the task is looked at, so that its end cannot slip through between the two.
    events.wait(id, waiter);
    try {
      return await work(final.promise);
    } finally {
      events.unwait(id, waiter);
    }
  }

  #view(record: TaskRecord): TaskView {
    return taskView(record, this.#progressOf(record));
  }

  #progressOf(record: TaskRecord): Progress | undefined {
    return record.lease > 0 ? this.#options.dispatch.progressOf(record.lease) : undefined;
  }
}

function notFound(id: string): SdError {
  return new SdError("not_found", `there is no task ${quote(id)}`);
}
