/**
 * The tasks that an engine has in memory, and everything that can happen to them. Every change of a status goes through
 * `transition`; queue, times, limits, dependencies and counts are updated with it. Whether tasks are also kept elsewhere,
 * and for how long, is decided by the engine, through `StorageHooks`.
 */

import { isFinal, type Status } from "../../../protocol/task.ts";
import { type TaskEvent, transition } from "../../task/transition.ts";
import type { FinishedTask } from "../../task/task_events.ts";
import { SerialMap } from "../../task/serial_map.ts";
import type { Serials } from "../../task/task_id.ts";
import type { TaskLog } from "../../task/task_log.ts";
import { ranBy, retried, said } from "../../task/run_log.ts";
import { LiveCounts, TaskIndex } from "./task_index.ts";
import { DelayedTasks, DueQueue } from "./due_queue.ts";
import type { Ack, Cancelled, Lease, LeasedTask, LeaseRequest, Nack } from "../engine.ts";
import type { AdoptRequest, HeldRun } from "../adoption.ts";
import { leaseAt, type LiveTask, numberOf, type StorageHooks } from "./live_task.ts";
import { Dependencies, type Parent } from "./dependencies.ts";
import { ReadyQueue, type StoredLane } from "./ready_queue.ts";
import { StartLimits } from "./start_limits.ts";
import { reserveStarts } from "./takeover.ts";

/** The end of a task, before it was requeued. */
export type Ended = Pick<
  LiveTask,
  "state" | "runAt" | "startedAt" | "finishedAt" | "result" | "error" | "cancelledFor" | "history"
>;

interface LiveTasksOptions {
  readonly hooks: StorageHooks;
  /** The numbers of the engine: a task that goes to the end of the queue gets the next one as its place. */
  readonly serials: Serials;
  /** For an engine with a store: the state there of a lane that begins. */
  readonly newStoredLane?: () => StoredLane;
  /** 0…1, for the jitter of a backoff. */
  readonly random: () => number;
}

export class LiveTasks {
  readonly index = new TaskIndex();
  readonly ready: ReadyQueue<LiveTask>;
  readonly running = new SerialMap<LiveTask>();
  readonly gate = new StartLimits(() => [...this.running.entries()].map(([, { op }]) => op));
  readonly delayed = new DelayedTasks();
  readonly expiring = new DueQueue(({ state, stored }) =>
    stored?.isGone !== true && !isFinal(state.status)
  );
  readonly counts = new LiveCounts();
  readonly dependencies: Dependencies;
  readonly serials: Serials;
  /** Characters of the payloads and logs of all tasks that are not final. */
  openChars = 0;
  readonly #suspects = new ReadyQueue<LiveTask>();
  readonly #hooks: StorageHooks;
  readonly #random: () => number;
  #lease = 0;
  /** Tasks that became final since the last `takeEnded`. */
  #ended: FinishedTask[] = [];

  constructor({ hooks, serials, newStoredLane, random }: LiveTasksOptions) {
    this.ready = new ReadyQueue(newStoredLane);
    this.#hooks = hooks;
    this.serials = serials;
    this.#random = random;
    this.dependencies = new Dependencies({
      hold: (task) => void this.#move(task, { type: "hold" }),
      end: (task, event, now) => this.#end(task, event, now),
      free: (task, now) => {
        if (this.delayed.dueAt(task) > now) this.delayed.push(task);
        else this.#queue(task);
      },
    });
  }

  /** Takes the tasks that became final since the last call, in the order of their ends. */
  takeEnded(): readonly FinishedTask[] {
    const ended = this.#ended;
    this.#ended = [];
    return ended;
  }

  /** Adds a task in any status. `parents`: the tasks of its `after`, in that order. The caller counts it, if it is new. */
  add(task: LiveTask, parents: readonly Parent[], now: number): void {
    this.index.add(task);
    const log = task.task.past?.log;
    if (log) this.#hooks.said(task, log);
    if (isFinal(task.state.status)) return this.#hooks.ended(task);
    this.openChars += task.chars;
    if (task.task.expiresAt !== Infinity) this.expiring.push(task, task.task.expiresAt);
    this.dependencies.add(task, parents, now);
    if (!isFinal(task.state.status)) this.#place(task);
  }

  /** Adds a task that waited on disk and is counted already. It stands in no queue yet. */
  adopt(task: LiveTask): void {
    this.index.add(task);
    this.openChars += task.chars;
  }

  /** Puts an adopted task where it waits from now on. */
  line(task: LiveTask): void {
    if (task.task.expiresAt !== Infinity) this.expiring.push(task, task.task.expiresAt);
    this.stand(task);
  }

  /** The same for a task that was in memory all the time. */
  stand(task: LiveTask): void {
    if (task.state.status === "delayed") this.delayed.push(task);
    else (task.isSuspect ? this.#suspects : this.ready).push(task);
  }

  /** Adds a final task that is only on disk, to run it again. */
  recall(task: LiveTask): void {
    this.index.add(task);
  }

  /** Removes a task that is only on disk, or nowhere, from now on. */
  remove(task: LiveTask): void {
    if (task.stored) task.stored.isGone = true;
    this.index.remove(task);
    if (!isFinal(task.state.status)) this.openChars -= task.chars;
  }

  /** Rolls back a new task, as if it had never been submitted. Tasks that come after it are cancelled. */
  disown(task: LiveTask, now: number): void {
    const { status, lease } = task.state;
    if (task.stored?.isSpilled) this.#hooks.takesBack?.(task);
    if (task.stored) task.stored.isGone = true;
    if (status === "running") {
      this.running.take(lease);
      this.#leaveGate(task, now);
    }
    if (!isFinal(status)) this.#close(task);
    this.counts.moved(task.op, status, undefined);
    // Its entries in queues are passed over: a final task waits for nothing.
    task.state = { ...task.state, status: "cancelled", lease: 0 };
    this.index.remove(task);
    this.dependencies.ended(task, now);
  }

  lease(request: LeaseRequest, now: number): LeasedTask[] {
    if (request.aheadMs !== undefined) this.delayed.aheadMs = request.aheadMs;
    this.wake(now);
    const tasks: LeasedTask[] = [];
    const queue = request.suspects ? this.#suspects : this.ready;
    let ops = this.gate.openOps(request, now);
    const holds = (task: LiveTask) => this.gate.holds(task, now);
    while (tasks.length < request.limit) {
      const task = queue.take(ops, holds);
      if (!task) break;
      if (task.task.expiresAt <= now) {
        this.#end(task, { type: "expire" }, now);
        continue;
      }
      if (this.gate.takeover?.setsAside(task, now)) continue;
      this.#start(task, request, now);
      const rate = request.rates?.get(task.op);
      if (this.gate.started(task, rate, now)) ops = this.gate.openOps(request, now);
      tasks.push(task);
    }
    return tasks;
  }

  /** Goes on with the next run of a queued task; see `adoptRuns`. Its entry in a queue is passed over. */
  resume(task: LiveTask, run: HeldRun, request: AdoptRequest, now: number): LeasedTask {
    if (task.stored?.isSpilled) this.#hooks.takesBack?.(task);
    this.#start(task, request, Math.min(run.startedAt, now));
    const { deaths } = task.state;
    if (run.wasBlamed && deaths > 0) task.state = { ...task.state, deaths: deaths - 1 };
    this.gate.resumed(task, now);
    return task;
  }

  /** The requested ops with queued suspects; see `Leased.suspectOps`. */
  suspectOps(request: LeaseRequest, now: number): ReadonlySet<string> {
    const all = this.#suspects.opsIn(request.ops);
    if (all.size === 0 || request.suspects) return all;
    this.wake(now);
    return this.#suspects.startable(this.gate.openOps(request, now));
  }

  renew(leases: readonly Lease[], leaseUntil: number): Lease[] {
    return leases.filter((lease) => {
      const task = this.running.get(numberOf(lease));
      if (task) task.leaseUntil = leaseUntil;
      return !task;
    });
  }

  ack(acks: readonly Ack[], now: number): void {
    for (const { lease: handle, result, log } of acks) {
      const lease = numberOf(handle);
      const task = this.running.take(lease);
      if (!task) continue;
      task.result = result;
      if (log) this.#said(task, log);
      this.#leaveGate(task, now);
      this.#end(task, { type: "complete", lease }, now);
    }
  }

  /** Ends runs without a result; returns the status of each task after it, `undefined` for a lost lease. */
  nack(nacks: readonly Nack[], now: number): (Status | undefined)[] {
    const before = this.#ended.length;
    // The last released goes back first, so that they come out in their old order.
    const statuses = nacks.toReversed().map((nack) => this.#nack(nack, now));
    this.#ended.push(...this.#ended.splice(before).reverse());
    return statuses.reverse();
  }

  overdue(leaseTime: number): Lease[] {
    return [...this.running.entries()].filter(([, task]) => task.leaseUntil <= leaseTime)
      .map(([lease]) => leaseAt(lease));
  }

  cancel(task: LiveTask, now: number): Cancelled {
    const wasFinal = isFinal(task.state.status);
    this.#end(task, { type: "cancel" }, now);
    const { status, lease } = task.state;
    if (status === "running") return { outcome: "running", status, lease: leaseAt(lease) };
    return { outcome: wasFinal ? "final" : "cancelled", status, lease: undefined };
  }

  /**
   * Makes a final task as if it were new. The memory engine takes it off its shelf before that. It can run after
   * `settleRequeue`; returns the end that `settleRequeue` can restore.
   */
  requeue(
    task: LiveTask,
    parents: readonly Parent[],
    now: number,
  ): Ended | undefined {
    const { state, runAt, startedAt, finishedAt, result, error, cancelledFor, history } = task;
    if (!this.#move(task, { type: "retry" })) return undefined;
    this.openChars += task.chars;
    task.result = undefined;
    task.error = undefined;
    task.cancelledFor = undefined;
    task.history = retried(history);
    task.startedAt = 0;
    task.finishedAt = 0;
    task.seq = this.serials.next();
    task.isAnew = true;
    if (task.stored) task.stored.isParked = true;
    this.#hooks.changed(task);
    this.dependencies.add(task, parents, now);
    return { state, runAt, startedAt, finishedAt, result, error, cancelledFor, history };
  }

  /** Lets a requeued task run; with `undo`, restores its end. */
  settleRequeue(task: LiveTask, undo?: Ended): void {
    if (task.stored) task.stored.isParked = false;
    // It was cancelled meanwhile, or has expired.
    if (isFinal(task.state.status)) return;
    if (!undo) return this.#place(task);
    this.counts.moved(task.op, task.state.status, undo.state.status);
    this.#close(task);
    Object.assign(task, undo);
    this.#hooks.changed(task);
    this.#hooks.ended(task);
  }

  /** Expires tasks that were not started in time. */
  expire(now: number): void {
    for (let task = this.expiring.take(now); task; task = this.expiring.take(now)) {
      this.expireOne(task, now);
    }
  }

  expireOne(task: LiveTask, now: number): void {
    if (task.state.status !== "queued" && task.state.status !== "delayed") return;
    // Its run may have started in time.
    if (this.gate.takeover?.reserves(task.id, now)) return;
    this.#end(task, { type: "expire" }, now);
  }

  /** Queues the tasks whose time has come. */
  wake(now: number): void {
    if (this.gate.takeover?.isOver(now)) reserveStarts(this, undefined);
    for (const key of this.gate.keys.due(now)) this.unpark(key);
    // They stand at the end of the queue, in the order of their times.
    for (let task = this.delayed.take(now); task; task = this.delayed.take(now)) this.#queue(task);
  }

  /** The next time at which `wake` has something to do. */
  get nextAt(): number {
    return Math.min(this.delayed.nextAt, this.gate.nextAt);
  }

  #start(
    task: LiveTask,
    { leaseUntil, versions }: Pick<LeaseRequest, "leaseUntil" | "versions">,
    at: number,
  ): void {
    const lease = ++this.#lease;
    this.#move(task, { type: "lease", lease });
    // A task can come from a machine whose clock is ahead.
    task.startedAt = Math.max(at, task.task.createdAt);
    task.leaseUntil = leaseUntil;
    task.isAnew = false;
    const version = versions?.get(task.op);
    if (task.history?.version !== version) task.history = ranBy(task.history, version);
    this.running.set(lease, task);
  }

  #nack(nack: Nack, now: number): Status | undefined {
    const { log } = nack;
    const task = this.running.take(numberOf(nack.lease));
    if (!task) return undefined;
    if (log) this.#said(task, log);
    this.#leaveGate(task, now);
    this.#end(task, task.endOfRun(nack, now, this.#random), now);
    return task.state.status;
  }

  #said(task: LiveTask, log: TaskLog): void {
    const before = task.chars;
    task.history = said(task.history, log);
    this.#hooks.said(task, log);
    this.openChars += task.chars - before;
    this.#hooks.changed(task);
  }

  /** Moves a task from delayed to the end of the queue. */
  #queue(task: LiveTask): void {
    if (!this.#move(task, { type: "due" })) return;
    task.seq = this.serials.next();
    this.#hooks.changed(task);
    this.#place(task);
  }

  /** Puts a waiting task into its queue. */
  #place(task: LiveTask): void {
    const { status } = task.state;
    if (task.stored?.isParked) return;
    if (task.isSuspect && status === "queued") this.#suspects.push(task);
    else if (task.unmet > 0 || this.#hooks.takesOver(task)) return;
    else if (status === "queued") this.ready.push(task);
    else this.delayed.push(task);
  }

  /** Applies `event` and updates the counts; `undefined` if it is refused. */
  #move(task: LiveTask, event: TaskEvent): Status | undefined {
    const next = transition(task.state, event);
    if (!next) return undefined;
    this.counts.moved(task.op, task.state.status, next.status);
    task.state = next;
    return next.status;
  }

  /** Applies an event that ends a run or a wait, and puts the task into its next place. */
  #end(task: LiveTask, event: TaskEvent, now: number): void {
    if (task.stored?.isSpilled) this.#hooks.takesBack?.(task);
    const status = this.#move(task, event);
    if (status === undefined || status === "running") return;
    if (status === "queued") {
      (task.isSuspect ? this.#suspects : this.ready).pushFront(task);
      if (event.type !== "release") this.#hooks.changed(task);
    } else if (status === "delayed") {
      this.#hooks.changed(task);
      this.#place(task);
    } else {
      task.finishedAt = Math.max(now, task.startedAt, task.task.createdAt);
      this.#close(task);
      if (status !== "failed") task.error = undefined;
      this.#hooks.changed(task);
      const news = task.finished();
      if (news) this.#ended.push(news);
      this.#hooks.ended(task);
      this.dependencies.ended(task, now);
    }
  }

  /** Ends the waits and the share of memory of a task that is final now. */
  #close(task: LiveTask): void {
    this.openChars -= task.chars;
    this.dependencies.remove(task);
  }

  #leaveGate(task: LiveTask, now: number): void {
    const key = this.gate.ended(task, now);
    if (key !== undefined) this.unpark(key);
  }

  /** Lets tasks of a key that was held start again. */
  unpark(key: string): void {
    this.ready.unpark(key);
    this.#suspects.unpark(key);
  }
}
