/**
 * A task as the memory engine keeps it: what was submitted, its state, and what came of it. It is itself
 * what `lease` hands out and what the news of its end are: no copy is made of what is read at once.
 */

import type { ErrorBody, FailureCode } from "../../protocol/errors.ts";
import { MAX_DEATHS } from "../../protocol/limits.ts";
import { type FinalStatus, isFinal } from "../../protocol/task.ts";
import type { FinishedTask } from "../task/finished_task.ts";
import type { NewTask } from "../task/new_task.ts";
import { initialState, type TaskState } from "../task/transition.ts";
import type { LeasedTask, TaskRecord } from "./engine.ts";
import type { ReadyEntry } from "./ready_queue.ts";

/** One stay among the finished tasks; a task that is retried and finishes again has another. */
export interface Stay {
  readonly task: MemoryTask;
  readonly until: number;
}

export class MemoryTask implements ReadyEntry, LeasedTask, FinishedTask {
  state: TaskState;
  runAt: number;
  startedAt = 0;
  finishedAt = 0;
  /** When its lease runs out; of a running task. */
  leaseUntil = 0;
  result: string | undefined = undefined;
  error: ErrorBody<FailureCode> | undefined = undefined;
  /** Its place among the finished tasks, where it has one of its own. */
  stay: Stay | undefined = undefined;

  constructor(readonly task: NewTask, readonly order: number) {
    this.runAt = task.runAt;
    this.state = initialState(task.runAt > task.createdAt);
  }

  get id(): string {
    return this.task.id;
  }

  get serial(): number {
    return this.task.serial;
  }

  get after(): string | undefined {
    return undefined;
  }

  get op(): string {
    return this.task.op;
  }

  get priority(): number {
    return this.task.rules.priority;
  }

  get isQueued(): boolean {
    return this.state.status === "queued";
  }

  /** Its next death would be its last. */
  get isSuspect(): boolean {
    return this.state.deaths === MAX_DEATHS - 1;
  }

  get payload(): string {
    return this.task.payload;
  }

  get timeoutMs(): number {
    return this.task.rules.timeoutMs;
  }

  get attempt(): number {
    return this.state.attempt;
  }

  get lease(): number {
    return this.state.lease;
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
    const { id, serial, op, result, error } = this;
    return { id, serial, op, status, attempt, result, error };
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
      expiresAt: task.expiresAt,
      lease: state.lease,
      createdAt: task.createdAt,
      runAt: this.runAt,
      startedAt: this.startedAt,
      finishedAt: this.finishedAt,
      result: this.result,
      error: this.error,
    };
  }
}
