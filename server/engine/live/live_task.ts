/**
 * A task in the memory of an engine: the submitted task, its state and its result. The object itself is what `lease`
 * returns and what is reported at its end, so no copy is made of a task that is read at once. `StoredState` and
 * `StorageHooks` are the two ways in which an engine with a store takes part.
 */

import type { ErrorBody, FailureCode } from "../../../protocol/errors.ts";
import { MAX_DEATHS } from "../../../protocol/limits.ts";
import { type FinalStatus, isFinal } from "../../../protocol/task.ts";
import type { FinishedTask } from "../../task/task_events.ts";
import type { NewTask } from "../../task/new_task.ts";
import { charsOf, type TaskLog } from "../../task/task_log.ts";
import type { RunHistory } from "../../task/run_log.ts";
import { backoffMs, initialState, type TaskEvent, type TaskState } from "../../task/transition.ts";
import type { Lease, LeasedTask, Nack, TaskRecord } from "../engine.ts";
import type { HeldRun } from "../adoption.ts";
import type { ReadyEntry } from "./ready_queue.ts";

const DIED = {
  code: "worker_crashed",
  message: `its worker process died ${MAX_DEATHS} times while it was running`,
} as const;

/** A stay among the finished tasks; a task that is retried and finishes again gets another. */
export interface Stay {
  readonly task: LiveTask;
  readonly until: number;
}

/** The state of a task in the store of its engine, as far as queues in memory depend on it. */
export interface StoredState {
  /** It waits on disk: it leaves memory once it is written, and its entries in queues here are passed over. */
  isSpilled: boolean;
  /** It was removed from memory or rolled back: do not use the task. */
  isGone: boolean;
  /** It will run again, and stands in no queue until that is committed. */
  isParked: boolean;
}

export interface StorageHooks {
  /** The stored form of the task is out of date. */
  changed(task: LiveTask): void;
  /** The task is final. */
  ended(task: LiveTask): void;
  /** Asked for a queued or delayed task: true if it will wait on disk, not in memory. */
  takesOver(task: LiveTask): boolean;
  /** A task that it took over stays in memory after all. */
  takesBack?(task: LiveTask): void;
  /** The output of a run of the task that is over. */
  said(task: LiveTask, log: TaskLog): void;
}

/** The handle of the lease with this number. */
export function leaseAt(number: number): Lease {
  return number as unknown as Lease;
}

/** The number of a lease: of engines that keep their tasks in memory. */
export function numberOf(lease: Lease): number {
  return lease as unknown as number;
}

export class LiveTask implements ReadyEntry, LeasedTask, FinishedTask {
  state: TaskState;
  /** Its place in the queue: the lower is first. */
  seq: number;
  runAt: number;
  startedAt = 0;
  finishedAt = 0;
  /** For a running task: when its lease runs out, on the clock of leases. */
  leaseUntil = 0;
  result: string | undefined = undefined;
  error: ErrorBody<FailureCode> | undefined = undefined;
  /** For a task that was cancelled with a parent: the id of the parent that did not complete. */
  cancelledFor: string | undefined = undefined;
  history: RunHistory | undefined = undefined;
  /** The output of its runs, if the engine keeps it in memory. */
  log: TaskLog | undefined = undefined;
  /** The number of its parents that have not completed; while there are any it is `delayed`. */
  unmet = 0;
  /** The serial numbers of its parents: their records stay while it is open. */
  parents: readonly number[] | undefined = undefined;
  /** The results of its parents, in JSON, by their ids. */
  gathered: Map<string, string> | undefined = undefined;
  /** A client had it run again, and it has not started since: an earlier run of it is not adopted. */
  isAnew = false;
  /** Its place among the finished tasks, if it has one of its own. */
  stay: Stay | undefined = undefined;
  /** `stored` is given by an engine that keeps tasks in a store. */
  constructor(readonly task: NewTask, readonly stored: StoredState | undefined = undefined) {
    this.runAt = task.runAt;
    this.seq = task.serial;
    const { past } = task;
    if (!past) {
      this.state = initialState(task.isCalendar || task.runAt > task.createdAt);
      return;
    }
    const { status, attempt, deaths, startedAt, finishedAt, result, error } = past;
    this.state = { status, attempt, deaths, lease: 0, cancelling: false };
    this.startedAt = startedAt;
    this.finishedAt = finishedAt;
    this.result = result;
    this.error = error;
    this.cancelledFor = past.cancelledFor;
    this.history = past.history;
  }

  get id(): string {
    return this.task.id;
  }

  get serial(): number {
    return this.task.serial;
  }

  get op(): string {
    return this.task.op;
  }

  get priority(): number {
    return this.task.rules.priority;
  }

  get key(): string | undefined {
    return this.task.keyLimit?.key;
  }

  /** An entry of an earlier stay in the queue can become ready again: then the task starts in its place. */
  get isReady(): boolean {
    const { state, stored } = this;
    if (state.status !== "queued") return false;
    return stored === undefined || !(stored.isSpilled || stored.isGone || stored.isParked);
  }

  /** It waits on disk, or was removed: its entries in queues here are passed over. */
  get isElsewhere(): boolean {
    const { stored } = this;
    return stored !== undefined && (stored.isSpilled || stored.isGone);
  }

  /** `runAt` is a time of the wall clock, not the end of a span: until its first attempt. */
  get isCalendar(): boolean {
    return this.task.isCalendar && this.state.attempt === 0;
  }

  /** Whether `run` is its next run, and nothing else has started it. */
  isNextRun({ attempt }: HeldRun): boolean {
    const { state, stored } = this;
    const isElsewhere = stored !== undefined && (stored.isGone || stored.isParked);
    return state.status === "queued" && state.attempt + 1 === attempt && !this.isAnew &&
      !isElsewhere;
  }

  /** Its next death would be its last. */
  get isSuspect(): boolean {
    return this.state.deaths === MAX_DEATHS - 1;
  }

  get payload(): string {
    return this.task.payload;
  }

  get route(): string | undefined {
    return this.task.route;
  }

  /** The characters of its payload and its log. */
  get chars(): number {
    return this.task.payload.length + (this.log ? charsOf(this.log) : 0);
  }

  get timeoutMs(): number {
    return this.task.rules.timeoutMs;
  }

  get attempt(): number {
    return this.state.attempt;
  }

  get lease(): Lease {
    return leaseAt(this.state.lease);
  }

  /** The results of the tasks it came after, as one JSON object. */
  get after(): string | undefined {
    if (!this.gathered) return undefined;
    // An id has no character that JSON escapes.
    return `{${this.task.after.map((id) => `"${id}":${this.gathered?.get(id)}`).join(",")}}`;
  }

  /** Only for a final task; see `finished`. */
  get status(): FinalStatus {
    return this.state.status as FinalStatus;
  }

  /** The news of its end; `undefined` while it is not final. */
  finished(): FinishedTask | undefined {
    const { status, attempt } = this.state;
    if (!isFinal(status)) return undefined;
    // Nothing changes a completed task any more; another may be retried before its news are read.
    if (status === "completed") return this;
    const { id, op, result, error, route } = this;
    return { id, op, status, attempt, result, error, route };
  }

  /** The event for a run of it that ended as `nack` says. Sets the error and the time of the next attempt. */
  endOfRun(nack: Nack, now: number, random: () => number): TaskEvent {
    const { lease } = this.state;
    switch (nack.reason) {
      case "released":
        return { type: "release", lease };
      case "stopped":
        return { type: "stop", lease };
      case "lost":
        return { type: "lose", lease };
      case "died":
        if (this.state.deaths + 1 === MAX_DEATHS) this.error = nack.error ?? DIED;
        return { type: "die", lease };
      case "failed": {
        const { attempts, backoffMs: base } = this.task.rules;
        const { attempt } = this.state;
        this.error = nack.error;
        this.runAt = now + backoffMs(base, attempt, random());
        return { type: "fail", lease, again: !nack.last && attempt < attempts };
      }
    }
  }

  record(): TaskRecord {
    const { task, state } = this;
    return {
      id: task.id,
      idGiven: task.idGiven,
      op: task.op,
      payload: task.payload,
      status: state.status,
      rules: task.rules,
      keyLimit: task.keyLimit,
      after: task.after,
      ...(task.route === undefined ? {} : { route: task.route }),
      attempt: state.attempt,
      deaths: state.deaths,
      lease: state.lease === 0 ? undefined : this.lease,
      createdAt: task.createdAt,
      expiresAt: task.expiresAt,
      runAt: this.runAt,
      isCalendar: this.isCalendar,
      startedAt: this.startedAt,
      finishedAt: this.finishedAt,
      result: this.result,
      error: this.error,
      cancelledFor: this.cancelledFor,
      history: this.history,
    };
  }
}
