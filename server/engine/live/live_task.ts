/**
 * A task as an engine of this process has it at hand: what was submitted, its state, and what came of it.
 * It is itself what `lease` hands out and what the news of its end are: no copy is made of what is read
 * at once.
 */

import type { ErrorBody, FailureCode, SdError } from "../../../protocol/errors.ts";
import { MAX_DEATHS } from "../../../protocol/limits.ts";
import { type FinalStatus, isFinal } from "../../../protocol/task.ts";
import type { FinishedTask } from "../../task/finished_task.ts";
import type { NewTask } from "../../task/new_task.ts";
import { charsOf, type TaskLog } from "../../task/task_log.ts";
import type { RunHistory } from "../../task/run_history.ts";
import { initialState, type TaskState } from "../../task/transition.ts";
import type { Lease, LeasedTask, TaskRecord } from "../engine.ts";
import type { ReadyEntry } from "./ready_queue.ts";

/** One stay among the finished tasks; a task that is retried and finishes again has another. */
export interface Stay {
  readonly task: LiveTask;
  readonly until: number;
}

/** Who is told when a new task is on disk, or never will be. */
export interface FirstWriteListener {
  stored(task: LiveTask): void;
  givenUp(task: LiveTask, reason: SdError): void;
}

/** Instead of a status on disk. */
export const NOT_STORED = -1;

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
  /** Its place in the queue: lower first. */
  seq: number;
  runAt: number;
  startedAt = 0;
  finishedAt = 0;
  /** When its lease runs out, on the clock of leases; of a running task. */
  leaseUntil = 0;
  result: string | undefined = undefined;
  error: ErrorBody<FailureCode> | undefined = undefined;
  /** The task that it came after and that did not complete, where it was cancelled for that. */
  cancelledFor: string | undefined = undefined;
  trail: RunHistory | undefined = undefined;
  /** What its runs have said, where that is kept here. */
  log: TaskLog | undefined = undefined;
  /** Tasks it comes after that have not completed; while there are any it is `delayed`. */
  unmet = 0;
  /** The serial numbers of the tasks it comes after: their records stay while it is open. */
  parents: readonly number[] | undefined = undefined;
  /** Results of the tasks it comes after, in JSON, by their ids. */
  gathered: Map<string, string> | undefined = undefined;
  /** Its place among the finished tasks, where it has one of its own. */
  stay: Stay | undefined = undefined;
  /** The status that its row has on disk once what is under way is committed, or `NOT_STORED`. */
  storedStatus = NOT_STORED;
  /** The status that its row surely has. */
  safeStatus = NOT_STORED;
  /** It has changed since it was last handed to the disk. */
  isDirty = false;
  /** Who waits for it to be on disk for the first time. */
  firstWrite: FirstWriteListener | undefined = undefined;
  /** It is to run again, and stands in no queue before that is safe. */
  isParked = false;
  /** It waits on disk, not here, and leaves once it is written. */
  isSpilled = false;
  /** It has left, or was given up: this object means nothing any more. */
  isGone = false;

  constructor(readonly task: NewTask) {
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
    this.trail = past.trail;
  }

  /** A new task that could not be written: it is not there. */
  get isGivenUp(): boolean {
    return this.isGone && this.storedStatus === NOT_STORED;
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
    return this.task.bond?.key;
  }

  /** Of an entry from an earlier stay in the queue, this may be true again: the task starts in its place. */
  get isReady(): boolean {
    return this.state.status === "queued" && !this.isElsewhere && !this.isParked;
  }

  /** It waits on disk, or does not exist any more: its entries in queues here are passed over. */
  get isElsewhere(): boolean {
    return this.isSpilled || this.isGone;
  }

  /** `runAt` is a time of the wall clock, not the end of a span: until its first attempt. */
  get isCalendar(): boolean {
    return this.task.isCalendar && this.state.attempt === 0;
  }

  /** Its next death would be its last. */
  get isSuspect(): boolean {
    return this.state.deaths === MAX_DEATHS - 1;
  }

  get payload(): string {
    return this.task.payload;
  }

  /** What it takes to keep its payload and its log. */
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

  /** Of a final task only; see `finished`. */
  get status(): FinalStatus {
    return this.state.status as FinalStatus;
  }

  /** The news of its end; `undefined` while it is not final. */
  finished(): FinishedTask | undefined {
    const { status, attempt } = this.state;
    if (!isFinal(status)) return undefined;
    // Nothing changes a completed task any more; another may be retried before its news are read.
    if (status === "completed") return this;
    const { id, op, result, error } = this;
    return { id, op, status, attempt, result, error };
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
      bond: task.bond,
      after: task.after,
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
      trail: this.trail,
    };
  }
}
