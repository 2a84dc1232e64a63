/** The memory engine: keeps tasks in this process alone. It is fast, and its tasks end with the process. */

import { isFinal, type Status } from "../../../protocol/task.ts";
import type { NewTask } from "../../task/new_task.ts";
import { Serials } from "../../task/task_id.ts";
import { joined, type TaskLog } from "../../task/task_log.ts";
import {
  type Ack,
  type Cancelled,
  type EndedSink,
  type Engine,
  type EngineStats,
  type Enqueued,
  type GetOptions,
  type Lease,
  type Leased,
  type LeasedTask,
  type LeaseRequest,
  type Listed,
  type ListRequest,
  MAX_AHEAD,
  type Nack,
  NOT_FOUND,
  type Pruned,
  type Rechecked,
  type Requeued,
  type TaskRecord,
  type WaitReason,
} from "../engine.ts";
import type { AdoptRequest, Reservation } from "../adoption.ts";
import { Retention, type RetentionLimits } from "./retention.ts";
import { adoptRuns, checkRequeue, enqueueOne } from "../live/enqueue_rules.ts";
import type { LiveTask, StorageHooks } from "../live/live_task.ts";
import { listPage } from "../live/query.ts";
import { LiveTasks } from "../live/live_tasks.ts";
import { reserveStarts } from "../live/takeover.ts";
import { ReadTurns, SERVER } from "../read_turns.ts";
import { MemoryOutbox } from "../outbox.ts";
import { KeptSettings } from "../settings.ts";
import { isAhead, repairQueue, waitReasonOf, waitsInLine } from "../live/wait_reason.ts";

interface MemoryOptions {
  /** Receives the ends of tasks. */
  ended?: EndedSink;
  /** Most final tasks that are kept; the oldest are dropped first. */
  kept?: RetentionLimits;
  /** 0…1, for the jitter of a backoff. */
  random?: () => number;
  /** Most queued and delayed tasks; default: no limit. */
  maxQueued?: number;
  /** Most characters of the payloads of unfinished tasks; default: no limit. */
  maxOpenChars?: number;
}

/** Default of `kept`: a day of final tasks at full speed does not fit in memory; these do. */
const KEPT: RetentionLimits = { delivered: 10_000, others: 500_000 };

/** Opens an empty memory engine. */
export function openMemoryEngine(options: MemoryOptions = {}): Engine {
  return new MemoryEngine(options);
}

class MemoryEngine implements Engine, StorageHooks {
  readonly name = "memory";
  readonly settings = new KeptSettings();
  readonly serials = new Serials();
  readonly outbox = new MemoryOutbox();

  readonly #ended: EndedSink;
  readonly #live: LiveTasks;
  readonly #turns = new ReadTurns(1);
  readonly #retention: Retention;
  readonly #maxQueued: number;
  readonly #maxOpenChars: number;
  readonly #known = (id: string): LiveTask | undefined => this.#live.index.get(id);

  constructor(options: MemoryOptions) {
    this.#ended = options.ended ?? (() => {});
    this.#live = new LiveTasks({
      hooks: this,
      serials: this.serials,
      random: options.random ?? Math.random,
    });
    this.#maxQueued = options.maxQueued ?? Infinity;
    this.#maxOpenChars = options.maxOpenChars ?? Infinity;
    this.#retention = new Retention(options.kept ?? KEPT, (task) => this.#remove(task));
  }

  changed(): void {}

  ended(task: LiveTask): void {
    this.#retention.put(task);
  }

  said(task: LiveTask, log: TaskLog): void {
    task.log = joined(task.log, log);
  }

  takesOver(): boolean {
    return false;
  }

  enqueue(tasks: readonly NewTask[], now: number): Promise<Enqueued[]> {
    return this.#change(() => {
      const rules = {
        live: this.#live,
        known: this.#known,
        maxQueued: this.#maxQueued,
        maxOpenChars: this.#maxOpenChars,
      };
      return tasks.map((task) => enqueueOne(rules, task, now).enqueued);
    });
  }

  lease(request: LeaseRequest, now: number): Promise<Leased> {
    return this.#change(() => {
      // Before the lease, which can take the last start that a limit leaves to a suspect.
      const startable = this.#live.suspectOps(request, now);
      const tasks = this.#live.lease(request, now);
      const suspectOps = request.suspects ? this.#live.suspectOps(request, now) : startable;
      return { tasks, nextDueAt: this.#live.nextAt, suspectOps, more: undefined };
    });
  }

  readonly recheck = async (ops: ReadonlySet<string>, now: number): Promise<Rechecked> => {
    const { queued, delayed } = this.#live.counts.byStatus;
    const knew = `${queued} queued, ${delayed} delayed`;
    return { ...await this.#turns.run(SERVER, repairQueue(this.#live, ops, now)), knew };
  };

  adopt(request: AdoptRequest, now: number): Promise<(LeasedTask | undefined)[]> {
    return this.#change(() => adoptRuns({ live: this.#live, known: this.#known }, request, now));
  }

  reserve(reservation: Reservation | undefined): Promise<void> {
    return settle(() => reserveStarts(this.#live, reservation));
  }

  renew(leases: readonly Lease[], leaseUntil: number): Promise<Lease[]> {
    return settle(() => this.#live.renew(leases, leaseUntil));
  }

  ack(acks: readonly Ack[], now: number): Promise<void> {
    return this.#change(() => this.#live.ack(acks, now));
  }

  nack(nacks: readonly Nack[], now: number): Promise<(Status | undefined)[]> {
    return this.#change(() => this.#live.nack(nacks, now));
  }

  overdue(leaseTime: number): Promise<Lease[]> {
    return settle(() => this.#live.overdue(leaseTime));
  }

  cancel(ids: readonly string[], now: number): Promise<Cancelled[]> {
    return this.#change(() =>
      ids.map((id) => {
        const task = this.#known(id);
        return task ? this.#live.cancel(task, now) : NOT_FOUND;
      })
    );
  }

  requeue(ids: readonly string[], now: number): Promise<Requeued[]> {
    return this.#change(() => ids.map((id) => this.#requeue(id, now)));
  }

  get(
    ids: readonly string[],
    options: GetOptions = {},
  ): Promise<(TaskRecord | undefined)[]> {
    const { waitReasonAt, asker } = options;
    const isQuick = waitReasonAt === undefined || asker === undefined;
    if (isQuick) return settle(() => ids.map((id) => this.#record(id, options)));
    return this.#turns.run(asker, this.#records(ids, options));
  }

  async list(request: ListRequest): Promise<Listed> {
    return await this.#turns.run(request.asker, listPage(this.#live, request));
  }

  stats(): Promise<EngineStats> {
    return settle(() => this.#live.counts.stats(this.#live.ready));
  }

  prune(now: number, aheadMs = this.#live.delayed.aheadMs): Promise<Pruned> {
    return this.#change(() => {
      this.#live.delayed.aheadMs = aheadMs;
      this.#live.expire(now);
      this.#live.gate.prune(now);
      return {
        removed: this.#retention.prune(now),
        nextAt: Math.min(this.#live.expiring.nextAt, this.#retention.nextAt),
      };
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Runs `work`, and reports the ends that came of it. */
  #change<T>(work: () => T): Promise<T> {
    return settle(() => {
      const answer = work();
      const ended = this.#live.takeEnded();
      if (ended.length > 0) {
        this.outbox.add(ended);
        this.#ended(ended);
      }
      return answer;
    });
  }

  #record(id: string, options: GetOptions): TaskRecord | undefined {
    const steps = this.#recordSteps(id, options);
    for (;;) {
      const step = steps.next();
      if (step.done) return step.value;
    }
  }

  *#records(
    ids: readonly string[],
    options: GetOptions,
  ): Generator<void, (TaskRecord | undefined)[]> {
    const records: (TaskRecord | undefined)[] = [];
    for (const id of ids) records.push(yield* this.#recordSteps(id, options));
    return records;
  }

  *#recordSteps(
    id: string,
    { waitReasonAt, log }: GetOptions,
  ): Generator<void, TaskRecord | undefined> {
    const task = this.#known(id);
    if (!task) return undefined;
    const isWanted = waitReasonAt !== undefined && !isFinal(task.state.status);
    const waitReason = isWanted ? yield* this.#waitReason(task, waitReasonAt) : undefined;
    return {
      ...task.record(),
      ...(waitReason && { waitReason }),
      ...(log && task.log && { log: task.log }),
    };
  }

  #requeue(id: string, now: number): Requeued {
    const task = this.#known(id);
    if (!task) return { outcome: "not_found", status: undefined };
    const { parents, refused } = checkRequeue(task, this.#known);
    if (refused) return refused;
    this.#retention.takeBack(task);
    this.#live.requeue(task, parents, now);
    this.#live.settleRequeue(task);
    return { outcome: "queued", status: task.state.status };
  }

  /** The wait reason; looks at one other task in a step. */
  *#waitReason(task: LiveTask, now: number): Generator<void, WaitReason> {
    const waitReason = waitReasonOf(this.#live, task, now);
    if (!waitsInLine(waitReason)) return waitReason;
    let ahead = 0;
    for (const other of this.#live.index.values()) {
      yield;
      if (!other.isReady || !isAhead(other, task)) continue;
      if (++ahead >= MAX_AHEAD) break;
    }
    return { ...waitReason, ahead };
  }

  #remove(task: LiveTask): void {
    this.#live.remove(task);
    this.#live.counts.moved(task.op, task.state.status, undefined);
  }
}

/** Runs `work` now; an error becomes a rejection, as the seam demands. */
function settle<T>(work: () => T): Promise<T> {
  try {
    return Promise.resolve(work());
  } catch (error) {
    return Promise.reject(error);
  }
}
