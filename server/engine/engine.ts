/**
 * The seam between the server and what keeps its tasks: 13 methods, each on arrays, so that every
 * engine can do its work in batches. No method knows the time by itself; no type of a database's
 * library stands here. `tests/contract/engine_contract.ts` says in tests what each of them must do.
 */

import type { ErrorBody, FailureCode } from "../../protocol/errors.ts";
import type { Status, StatusCounts } from "../../protocol/task.ts";
import type { FinishedTask } from "../task/finished_task.ts";
import type { NewTask, TaskRules } from "../task/new_task.ts";

/** In what engines differ, for those who must know. */
export interface EngineTraits {
  /** What was acknowledged outlives the process. */
  readonly durable: boolean;
  readonly priorities: boolean;
  /** Several servers may use it together. */
  readonly shared: boolean;
}

/** What became of a submitted task. */
export interface Enqueued {
  readonly status: Status;
  /**
   * `exists`: the same task was there already. `conflict`: another task has that id. `full`: it was
   * not kept, since as many are queued and delayed as may be; its status tells nothing.
   */
  readonly outcome: "created" | "exists" | "conflict" | "full";
  /** Set when the task was there already and is final. */
  readonly finished: FinishedTask | undefined;
}

export interface LeaseRequest {
  /** The ops that the worker has. */
  readonly ops: ReadonlySet<string>;
  /** Most tasks to lease. */
  readonly limit: number;
  /** The lease runs out so many ms after `now`, unless it is renewed. */
  readonly leaseMs: number;
  /**
   * Only suspects: tasks whose next death is their last. Without it no suspect is leased: it runs while
   * its worker process holds nothing else, so that a death in which it runs is its own.
   */
  readonly suspects?: boolean;
}

/** A task handed out. Read it at once: an engine may hand out its own record of the task. */
export interface LeasedTask {
  readonly id: string;
  readonly op: string;
  readonly payload: string;
  readonly attempt: number;
  readonly timeoutMs: number;
  /** A safe integer that no other lease of this server process has or had. */
  readonly lease: number;
}

export interface Leased {
  readonly tasks: readonly LeasedTask[];
  /** Tasks found to be too late while looking for some to lease. */
  readonly expired: readonly FinishedTask[];
  /** When the next delayed task becomes due; `Infinity` when there is none. */
  readonly nextDueAt: number;
  /** Suspects are queued. */
  readonly hasSuspects: boolean;
}

/** A completed task. */
export interface Ack {
  readonly lease: number;
  /** In JSON. */
  readonly result: string;
}

/** How a run ended without a result. */
export interface Nack {
  readonly lease: number;
  /**
   * `failed`: it threw or timed out, and may be attempted again. `stopped`: as a cancel asked.
   * `released`: it was never started. `died`: its worker process did; not the task's fault.
   */
  readonly reason: "failed" | "stopped" | "released" | "died";
  /** Of `failed`. */
  readonly error?: ErrorBody<FailureCode>;
  /** Of `failed`: no further attempt, whatever the task's options say. */
  readonly last?: boolean;
}

export interface Cancelled {
  readonly outcome: "cancelled" | "running" | "final" | "not_found";
  /** Set unless it was not found. */
  readonly status: Status | undefined;
  /** Of a running task: the lease to stop. It becomes `cancelled` when its `nack` comes. */
  readonly lease: number | undefined;
  /** Of a task cancelled now. */
  readonly finished: FinishedTask | undefined;
}

export interface Requeued {
  readonly outcome: "queued" | "refused" | "not_found";
  readonly status: Status | undefined;
}

/** Everything an engine knows of a task. Times are ms since 1970; 0 where a thing has not happened. */
export interface TaskRecord {
  readonly id: string;
  readonly op: string;
  readonly status: Status;
  readonly rules: TaskRules;
  readonly attempt: number;
  /** The lease it runs under; 0 while it does not run. */
  readonly lease: number;
  readonly createdAt: number;
  readonly runAt: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly result: string | undefined;
  readonly error: ErrorBody<FailureCode> | undefined;
}

export interface ListRequest {
  readonly status?: Status;
  readonly op?: string;
  readonly limit: number;
  /** From the answer before. */
  readonly cursor?: string;
}

export interface Listed {
  /** Newest first. */
  readonly tasks: readonly TaskRecord[];
  /** Of the next page; `undefined` on the last one. */
  readonly cursor: string | undefined;
}

export interface Pruned {
  /** Finished records that were dropped. */
  readonly removed: number;
  readonly expired: readonly FinishedTask[];
  /** When there will be something to prune; `Infinity` when nobody can say. */
  readonly nextAt: number;
}

export interface Engine {
  readonly name: string;
  readonly traits: EngineTraits;

  /** Keeps `tasks`. Once it resolves, they are as safe as the engine makes them. */
  enqueue(tasks: readonly NewTask[], now: number): Promise<Enqueued[]>;
  /** Hands out queued tasks: higher priority first, then first in first out. */
  lease(request: LeaseRequest, now: number): Promise<Leased>;
  /** Extends leases to `leaseMs` after `now`; answers those that are lost. */
  renew(leases: readonly number[], leaseMs: number, now: number): Promise<number[]>;
  /** Completes tasks; a lease that was lost gives nothing. */
  ack(acks: readonly Ack[], now: number): Promise<FinishedTask[]>;
  /** Ends runs that have no result; answers the tasks that are final by it. */
  nack(nacks: readonly Nack[], now: number): Promise<FinishedTask[]>;
  /** Takes back leases that ran out, as if their worker process had died. */
  reclaim(now: number): Promise<{ lost: number[]; finished: FinishedTask[] }>;
  cancel(ids: readonly string[], now: number): Promise<Cancelled[]>;
  /** Runs final tasks again, as if they were new. Completed ones are refused. */
  requeue(ids: readonly string[], now: number): Promise<Requeued[]>;
  get(ids: readonly string[]): Promise<(TaskRecord | undefined)[]>;
  list(request: ListRequest): Promise<Listed>;
  stats(): Promise<StatusCounts>;
  /** Drops records kept long enough, expires tasks that are too late. */
  prune(now: number): Promise<Pruned>;
  close(): Promise<void>;
}
