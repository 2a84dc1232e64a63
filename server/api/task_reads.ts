/**
 * The use cases that read: one task, its log, why it does not run, lists, ops, and the counts of the server. They
 * change nothing, and every door has them.
 */

import { quote, SdError } from "../../protocol/errors.ts";
import {
  type OpView,
  type Progress,
  PROTOCOL_VERSION,
  type ServerStats,
  type ServerView,
  type TaskLogView,
  type TaskView,
  type Why,
} from "../../protocol/task.ts";
import type { Clock } from "../clock.ts";
import type { Asker, Engine, Lease, ListRequest, TaskRecord } from "../engine/engine.ts";
import type { Metrics } from "../metrics.ts";
import type { TaskLog } from "../task/task_log.ts";
import type { KnownOps } from "./submit_check.ts";
import {
  atWall,
  logView,
  opLoads,
  poolViews,
  serversInOrder,
  taskSummary,
  taskView,
} from "./views.ts";
import { whyOf } from "./why.ts";

/** The dispatcher, as far as reads show it. */
interface Running {
  progressOf(lease: Lease): Progress | undefined;
  logOf(lease: Lease): TaskLog | undefined;
  readonly runners: readonly {
    readonly ops: ReadonlySet<string>;
    readonly pid: number;
    readonly machine?: string | undefined;
    readonly workers: number;
    readonly isSingle: boolean;
    readonly held: number;
    heldOps(): ReadonlyMap<string, number>;
    readonly room: number;
  }[];
}

/** What is paused now. */
interface PausedOps {
  /** `["*"]` when all ops are. */
  readonly list: string[];
  has(op: string): boolean;
}

interface TaskReadsOptions {
  readonly engine: Pick<Engine, "name" | "get" | "list" | "stats">;
  readonly running: Running;
  readonly ops: KnownOps;
  readonly pauses: PausedOps;
  readonly entry: { readonly isClosed: boolean };
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly version: string;
  /** The servers of the cluster as this one last saw them; absent for a server alone. */
  readonly servers?: (() => readonly ServerView[]) | undefined;
}

export class TaskReads {
  readonly #options: TaskReadsOptions;
  readonly #startedAt: number;

  constructor(options: TaskReadsOptions) {
    this.#options = options;
    this.#startedAt = options.clock.awake();
  }

  /** Server time, by which requests are read. */
  get now(): number {
    return this.#options.clock.now();
  }

  get aheadMs(): number {
    return this.#options.clock.aheadMs;
  }

  async get(id: string, asker?: Asker): Promise<TaskView> {
    const [record] = await this.#options.engine.get([id], { asker });
    if (!record) throw notFound(id);
    return taskView(atWall(record, this.aheadMs), this.#progressOf(record));
  }

  /** The log of the task: of the runs that have ended, and of the run that goes on. */
  async logs(id: string, asker?: Asker): Promise<TaskLogView> {
    const { engine, running } = this.#options;
    let lease: Lease | undefined;
    for (;;) {
      const [record] = await engine.get([id], { log: true, asker });
      if (!record) throw notFound(id);
      if (record.lease === undefined) return logView(record, undefined);
      const log = running.logOf(record.lease);
      // If the run has ended since the engine was asked, a second look finds its log in the record.
      if (log || record.lease === lease) return logView(record, log);
      lease = record.lease;
    }
  }

  /** A page of tasks, without their results. */
  async list(request: ListRequest): Promise<{ tasks: TaskView[]; cursor: string | null }> {
    const { engine } = this.#options;
    const { tasks, cursor } = await engine.list(request);
    const { aheadMs } = this;
    const views = tasks.map((record) =>
      taskSummary(atWall(record, aheadMs), this.#progressOf(record))
    );
    return { tasks: views, cursor: cursor ?? null };
  }

  /** Why the task does not run, or how it is. */
  async why(id: string, asker?: Asker): Promise<Why> {
    const { engine, running, pauses, entry, metrics } = this.#options;
    const [record] = await engine.get([id], { waitReasonAt: this.now, asker });
    if (!record) throw notFound(id);
    const [parent] = record.cancelledFor === undefined
      ? []
      : await engine.get([record.cancelledFor], { asker });
    const able = running.runners.filter(({ ops }) => ops.has(record.op));
    return whyOf(atWall(record, this.aheadMs), {
      progress: this.#progressOf(record),
      isStopping: entry.isClosed,
      paused: !pauses.has(record.op) ? undefined : pauses.list.includes("*") ? "all" : "op",
      workers: able.reduce((sum, { workers }) => sum + workers, 0),
      hasRoom: able.some(({ room }) => room > 0),
      standstills: metrics.standstills,
      parentStatus: parent?.status,
    });
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
    const { engine, running: { runners }, metrics, clock, version, pauses, servers } = this
      .#options;
    const { tasks, ops } = await engine.stats();
    // A process for single runs is none of the server's workers: it comes and goes with its task.
    const pools = runners.filter(({ isSingle }) => !isSingle);
    return {
      version,
      protocol: PROTOCOL_VERSION,
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
      ...(servers && { servers: serversInOrder(servers()) }),
      connections: metrics.connections,
      standstills: metrics.standstills,
      ...(metrics.notices.size > 0 && { notices: [...metrics.notices.values()] }),
      ...(metrics.intakes && { intakes: metrics.intakes() }),
    };
  }

  #progressOf(record: TaskRecord): Progress | undefined {
    return record.lease !== undefined ? this.#options.running.progressOf(record.lease) : undefined;
  }
}

export function notFound(id: string): SdError {
  return new SdError("not_found", `there is no task ${quote(id)}`);
}
