/**
 * The use cases of sd: what a client may ask of tasks, whichever door it came in by. Rules that hold
 * for every door are here or below; what a door has of its own (framing, refs, connections) is not.
 */

import { quote, SdError } from "../../protocol/errors.ts";
import type {
  OpView,
  Progress,
  ServerStats,
  TaskLogView,
  TaskView,
  Why,
} from "../../protocol/task.ts";
import type { Clock } from "../clock.ts";
import type { Engine, Enqueued, Lease, ListRequest, TaskRecord } from "../engine/engine.ts";
import { RETRY_AFTER_MS, type ServerLimits } from "../limits.ts";
import type { Metrics } from "../metrics.ts";
import type { NewTask } from "../task/new_task.ts";
import type { TaskEvents } from "../task/task_events.ts";
import type { TaskLog } from "../task/task_log.ts";
import type { Caller } from "./auth.ts";
import { opLoads, poolViews } from "./load_view.ts";
import { ManyTasks, notFound, type TaskStatus } from "./bulk.ts";
import type { Pausing } from "./pausing.ts";
import type { KnownOps, SubmitCheck } from "./submit_check.ts";
import type { TaskEntry } from "./task_entry.ts";
import { readTaskLog } from "./task_log_view.ts";
import { atWall, taskSummary, taskView } from "./task_view.ts";
import type { Transfer } from "./export_import.ts";
import { whyOf } from "./why.ts";

/** What the use cases need of the loops. */
export interface Dispatch {
  kick(): void;
  stopTasks(leases: readonly Lease[], reason: "cancel"): void;
  progressOf(lease: Lease): Progress | undefined;
  logOf(lease: Lease): TaskLog | undefined;
  readonly runners: readonly {
    readonly ops: ReadonlySet<string>;
    readonly pid: number;
    readonly workers: number;
    readonly isSingle: boolean;
    readonly held: number;
    heldOps(): ReadonlyMap<string, number>;
    readonly room: number;
  }[];
}

/** What is paused now. */
export interface PausedOps {
  /** `["*"]` when all ops are. */
  readonly list: string[];
  has(op: string): boolean;
}

export interface TaskApiOptions {
  readonly engine: Engine;
  readonly events: TaskEvents;
  readonly dispatch: Dispatch;
  readonly ops: KnownOps;
  readonly pauses: PausedOps;
  readonly check: SubmitCheck;
  readonly entry: TaskEntry;
  readonly pausing: Pausing;
  readonly transfer: Transfer;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly version: string;
  readonly protocol: number;
  /** Of the engine, for messages. */
  readonly limits: Pick<ServerLimits, "maxQueued" | "maxQueuedBytes">;
}

export class TaskApi {
  readonly events: TaskEvents;
  readonly check: SubmitCheck;
  readonly pausing: Pausing;
  readonly transfer: Transfer;
  readonly many: ManyTasks;
  readonly #options: TaskApiOptions;
  readonly #startedAt: number;
  #stopping = false;

  constructor(options: TaskApiOptions) {
    this.#options = options;
    this.events = options.events;
    this.check = options.check;
    this.pausing = options.pausing;
    this.transfer = options.transfer;
    this.many = new ManyTasks({
      ...options,
      kick: () => options.dispatch.kick(),
      cancelOne: (id, caller) => this.cancel(id, caller),
    });
    this.#startedAt = options.clock.awake();
  }

  /** Pending while nobody can know which ops there are; await it before `check`. */
  get ready(): Promise<void> | undefined {
    return this.#options.ops.ready;
  }

  get now(): number {
    return this.#options.clock.now();
  }

  get wall(): number {
    return this.#options.clock.wall();
  }

  /** How far `now` is ahead of `wall`. */
  get aheadMs(): number {
    return this.#options.clock.aheadMs;
  }

  /** From now on every submit is refused. */
  stopSubmits(): void {
    this.#stopping = true;
  }

  /** Throws while no task at all can be taken. */
  checkOpen(): void {
    if (!this.#stopping) return;
    throw new SdError("shutting_down", "the server is stopping and takes no more tasks");
  }

  /** Why a task was refused that the engine found to be one too many. */
  queueFull(): SdError {
    const { maxQueued, maxQueuedBytes } = this.#options.limits;
    return new SdError(
      "queue_full",
      `cannot submit: ${maxQueued} tasks are queued (--max-queued), or they take more room than they may ` +
        `(in memory ${maxQueuedBytes / 2 ** 20} MiB, --max-queued-mib; on disk --max-file-mib)`,
      { retryAfterMs: RETRY_AFTER_MS },
    );
  }

  /** Keeps `tasks`, each of which `check` let through; resolves once they are safe. */
  async submit(tasks: readonly NewTask[]): Promise<Enqueued[]> {
    const enqueued = await this.#options.entry.enter(tasks);
    this.#options.metrics.submitted += tasks.length;
    return enqueued;
  }

  async get(id: string, asker?: Caller): Promise<TaskView> {
    const [record] = await this.#options.engine.get([id], { asker });
    if (!record) throw notFound(id);
    return this.#view(record);
  }

  /** What the task has said. */
  async logs(id: string, asker?: Caller): Promise<TaskLogView> {
    const { engine, dispatch } = this.#options;
    const logOf = (lease: Lease) => dispatch.logOf(lease);
    const view = await readTaskLog({ engine, logOf, asker }, id);
    if (!view) throw notFound(id);
    return view;
  }

  /** The task once it is final. */
  async wait(id: string, caller: Caller): Promise<TaskView> {
    for (;;) {
      const view = await this.#watchingFinal(id, caller, async (final) => {
        const view = await this.get(id, caller);
        if (view.finished_at !== undefined) return view;
        await final;
        return await this.get(id, caller);
      });
      // Unless a retry came between its end and that look at it.
      if (view.finished_at !== undefined) return view;
    }
  }

  /** A page of tasks, without their results. */
  async list(request: ListRequest): Promise<{ tasks: TaskView[]; cursor: string | null }> {
    const { engine, clock } = this.#options;
    const { tasks, cursor } = await engine.list(request);
    const views = tasks.map((record) =>
      taskSummary(atWall(record, clock.aheadMs), this.#progressOf(record))
    );
    return { tasks: views, cursor: cursor ?? null };
  }

  /** Resolves once the task is cancelled: it will never start, or it has stopped. */
  cancel(id: string, caller: Caller): Promise<{ task_id: string; status: "cancelled" }> {
    const { engine, dispatch, clock } = this.#options;
    return this.#watchingFinal(id, caller, async (final) => {
      const [cancelled] = await engine.cancel([id], clock.now(), caller);
      if (!cancelled || cancelled.outcome === "not_found") throw notFound(id);
      let status = cancelled.status;
      if (cancelled.lease !== undefined) {
        dispatch.stopTasks([cancelled.lease], "cancel");
        await final;
        status = (await this.get(id, caller)).status;
      }
      if (status === "cancelled") return { task_id: id, status };
      throw new SdError("conflict", `task ${quote(id)} cannot be cancelled: it is ${status}`);
    });
  }

  /** Why the task does not run, or how it is. */
  async why(id: string, asker?: Caller): Promise<Why> {
    const { engine, clock, dispatch, pauses } = this.#options;
    const [record] = await engine.get([id], { standingAt: clock.now(), asker });
    if (!record) throw notFound(id);
    const [parent] = record.cancelledFor === undefined
      ? []
      : await engine.get([record.cancelledFor], { asker });
    const able = dispatch.runners.filter(({ ops }) => ops.has(record.op));
    return whyOf(atWall(record, clock.aheadMs), {
      progress: this.#progressOf(record),
      isStopping: this.#stopping,
      paused: !pauses.has(record.op) ? undefined : pauses.list.includes("*") ? "all" : "op",
      workers: able.reduce((sum, { workers }) => sum + workers, 0),
      hasRoom: able.some(({ room }) => room > 0),
      standstills: this.#options.metrics.standstills,
      parentStatus: parent?.status,
    });
  }

  async retry(id: string, asker?: Caller): Promise<TaskStatus> {
    const [outcome] = await this.many.requeue([id], asker);
    if (outcome === undefined || outcome instanceof SdError) throw outcome ?? notFound(id);
    return outcome;
  }

  /** Every op that is known, or paused. */
  ops(): { ops: OpView[] } {
    const { ops, pauses } = this.#options;
    const known = ops.list();
    const names = new Set(known.map(({ op }) => op));
    const unknown = pauses.list.filter((op) => op !== "*" && !names.has(op))
      .map((op) => ({ op, workers: 0 }));
    const views = [...known, ...unknown].map((view): OpView =>
      pauses.has(view.op) ? { ...view, paused: true } : view
    );
    return { ops: views };
  }

  async stats(): Promise<ServerStats> {
    const { engine, dispatch, metrics, clock, version, protocol, pauses } = this.#options;
    const { tasks, ops } = await engine.stats();
    const { runners } = dispatch;
    // Processes for single runs come and go beside the workers, and one of them only waits.
    const pools = runners.filter(({ isSingle }) => !isSingle);
    return {
      version,
      protocol,
      pid: Deno.pid,
      uptime_ms: Math.floor(clock.awake() - this.#startedAt),
      now: new Date(clock.wall()).toISOString(),
      engine: engine.name,
      tasks,
      totals: { submitted: metrics.submitted, finished: metrics.finished },
      paused: pauses.list,
      workers: {
        pools: pools.length,
        workers: pools.reduce((sum, runner) => sum + runner.workers, 0),
        running: runners.reduce((sum, runner) => sum + runner.held, 0),
      },
      ops: opLoads(ops, clock.aheadMs),
      pools: poolViews(runners),
      connections: metrics.connections,
      standstills: metrics.standstills,
      ...(metrics.notices.size > 0 && { notices: [...metrics.notices.values()] }),
    };
  }

  /** Runs `work` with a promise of the task's end, which never resolves once the caller has left. */
  async #watchingFinal<T>(
    id: string,
    caller: Caller,
    work: (final: Promise<void>) => Promise<T>,
  ): Promise<T> {
    const { events } = this.#options;
    const final = Promise.withResolvers<void>();
    const waiter = {
      get closed() {
        return caller.signal.aborted;
      },
      deliver: () => final.resolve(),
    };
    // Before the task is looked at, so that its end cannot slip through between the two.
    const wait = events.wait(id, waiter);
    try {
      return await work(final.promise);
    } finally {
      events.unwait(id, wait);
    }
  }

  #view(record: TaskRecord): TaskView {
    return taskView(atWall(record, this.aheadMs), this.#progressOf(record));
  }

  #progressOf(record: TaskRecord): Progress | undefined {
    return record.lease !== undefined ? this.#options.dispatch.progressOf(record.lease) : undefined;
  }
}
