/**
 * The seam between the server and what keeps its tasks: 13 methods, each on arrays, so that every
 * engine can do its work in batches. No method knows the time by itself; no type of a database's
 * library stands here. `tests/contract/engine_contract.ts` says in tests what each of them must do.
 */

import type { FileIdentity } from "../../protocol/transfer.ts";
import type { ErrorBody, FailureCode, SdError } from "../../protocol/errors.ts";
import type { Status, StatusCounts } from "../../protocol/task.ts";
import type { FinishedTask } from "../task/finished_task.ts";
import type { KeyLimit, NewTask, TaskRules } from "../task/new_task.ts";
import type { Rate } from "../../protocol/text_forms.ts";
import type { TaskLog } from "../task/task_log.ts";
import type { RunHistory } from "../task/run_history.ts";

/**
 * Receives the tasks that have become final, given to an engine when it is opened. Each end is reported once, after its
 * commit and in the order of the ends; a task whose commit failed for good is never reported. It must not throw, and
 * must read the tasks before it returns.
 */
export type EndedSink = (tasks: readonly FinishedTask[]) => void;

/** What became of a submitted task. */
export interface Enqueued {
  readonly status: Status;
  /**
   * `exists`: the same task was there already. `conflict`: another task has that id. `full`: it was
   * not kept, since as many are queued and delayed as may be; its status tells nothing.
   * `no_parent`: it was not kept, since a task that it is to come after is not there. `unsafe`: it could
   * not be made safe, and was given up.
   */
  readonly outcome: "created" | "exists" | "conflict" | "full" | "no_parent" | "unsafe";
  /** The task, if it is final already: it existed, or it comes after a task that failed. For the reply. */
  readonly finished: FinishedTask | undefined;
  /** Of `no_parent`: the id that is not there. */
  readonly missing?: string;
  /** Of `unsafe`: why. */
  readonly error?: SdError;
}

export interface LeaseRequest {
  /** The ops that the worker has. */
  readonly ops: ReadonlySet<string>;
  /** Of ops that have one: how many of their tasks may start in a time, whoever runs them. */
  readonly rates?: ReadonlyMap<string, Rate>;
  /** Of ops that have one: how many of their tasks may run at a time. A map is not changed, but replaced. */
  readonly limits?: ReadonlyMap<string, number>;
  /** Of the ops that have one: the version that the worker has of them. */
  readonly versions?: ReadonlyMap<string, string>;
  /** Most tasks to lease. */
  readonly limit: number;
  /** How far `now` is ahead of the wall clock, for tasks that are due by that; default: as before. */
  readonly aheadMs?: number;
  /** When the lease runs out unless it is renewed, on the clock of `overdue`. */
  readonly leaseUntil: number;
  /**
   * Only suspects: tasks whose next death is their last. Without it no suspect is leased: it runs while
   * its worker process holds nothing else, so that a death in which it runs is its own.
   */
  readonly suspects?: boolean;
}

declare const LEASE: unique symbol;

/**
 * A claim on a task, as its engine knows it. It is opaque: others keep it, compare it with `===`, and give it back. No
 * two leases of a server process are equal.
 */
export interface Lease {
  readonly [LEASE]: never;
}

/** A task handed out. Read it at once: an engine may hand out its own record of the task. */
export interface LeasedTask {
  readonly id: string;
  readonly op: string;
  readonly payload: string;
  readonly attempt: number;
  readonly timeoutMs: number;
  /** What every report of this run names. */
  readonly lease: Lease;
  /** The results of the tasks it came after, by their ids, as a JSON object; of a task that has any. */
  readonly after: string | undefined;
  /** What its runs before this one have left, and this one's version. */
  readonly trail: RunHistory | undefined;
}

export interface Leased {
  readonly tasks: readonly LeasedTask[];
  /** When the next delayed task becomes due; `Infinity` when there is none. */
  readonly nextDueAt: number;
  /**
   * Those of the requested ops of which suspects are queued: the suspects that could start as the request
   * came. Of a request for suspects: also those that a limit or a rate holds back.
   */
  readonly suspectOps: ReadonlySet<string>;
  /** Resolves when there may be more to lease, which the engine is fetching; `undefined` while it fetches nothing. */
  readonly more: Promise<void> | undefined;
}

/** A completed task. */
export interface Ack {
  readonly lease: Lease;
  /** In JSON. */
  readonly result: string;
  /** What the run has said; its numbers go on from those before. */
  readonly log?: TaskLog | undefined;
}

/** How a run ended without a result. */
export interface Nack {
  readonly lease: Lease;
  /**
   * `failed`: it threw or timed out, and may be attempted again. `stopped`: as a cancel asked.
   * `released`: it was never started. `lost`: its lease ran out. `died`: its worker process did; not the task's
   * fault.
   */
  readonly reason: "failed" | "stopped" | "released" | "lost" | "died";
  /** Of `failed`. Of `died`: what the process died of; the task's error where this death is its last. */
  readonly error?: ErrorBody<FailureCode>;
  /** Of `failed`: no further attempt, whatever the task's options say. */
  readonly last?: boolean;
  /** What the run has said. */
  readonly log?: TaskLog | undefined;
}

export interface Cancelled {
  readonly outcome: "cancelled" | "running" | "final" | "not_found";
  /** Set unless it was not found. */
  readonly status: Status | undefined;
  /** Of a running task: the lease to stop. It becomes `cancelled` when its `nack` comes. */
  readonly lease: Lease | undefined;
}

/** The answer to a cancel of a task that is not there. */
export const NOT_FOUND: Cancelled = {
  outcome: "not_found",
  status: undefined,
  lease: undefined,
};

export interface Requeued {
  readonly outcome: "queued" | "refused" | "not_found";
  readonly status: Status | undefined;
  /** Why it is refused, if that is a task that it comes after; without a status that one is gone. */
  readonly parent?: { readonly id: string; readonly status: Status | undefined };
}

/** Why a task that is not final does not run, as far as the engine can tell. */
export interface WaitReason {
  /** `turn`: nothing but those before it. `suspect`: it will run alone. */
  readonly heldBy:
    | "turn"
    | "time"
    | "after"
    | "key_limit"
    | "key_rate"
    | "op_limit"
    | "op_rate"
    | "suspect"
    | "running";
  /** Of `time`, its `runAt`; of `key_rate` and `op_rate`: when that ends. */
  readonly until?: number;
  /** Of `op_limit`: how many may run. */
  readonly limit?: number;
  /** Of `after`: the tasks that have not completed. */
  readonly after?: readonly string[];
  /** Queued tasks that are handed out before it; counted up to `MAX_AHEAD`. */
  readonly ahead?: number;
}

/** Most tasks that are counted before another: more is of no use, and counting takes time from other requests. */
export const MAX_AHEAD = 100_000;

/** Everything an engine knows of a task. Times are ms since 1970; 0 where a thing has not happened. */
export interface TaskRecord {
  readonly id: string;
  readonly idGiven: boolean;
  readonly op: string;
  readonly payload: string;
  readonly status: Status;
  readonly rules: TaskRules;
  readonly bond: KeyLimit | undefined;
  readonly after: readonly string[];
  readonly attempt: number;
  readonly deaths: number;
  readonly expiresAt: number;
  /** The lease it runs under; `undefined` while it does not run. */
  readonly lease: Lease | undefined;
  readonly createdAt: number;
  readonly runAt: number;
  /** `runAt` is the wall clock's; all other times are server time. */
  readonly isCalendar?: boolean;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly result: string | undefined;
  readonly error: ErrorBody<FailureCode> | undefined;
  /** Of a cancelled task: the one it came after that did not complete. */
  readonly cancelledFor: string | undefined;
  readonly trail: RunHistory | undefined;
  /** Only where it was asked for, and there is one: of all runs that have ended. */
  readonly log?: TaskLog;
  /** Only where it was asked for, and the task is not final. */
  readonly standing?: WaitReason;
}

/** A client that asks: it has its turn among others, and what it asked for is dropped once it has left. */
export interface Asker {
  /** Aborted once the client has left. */
  readonly signal: AbortSignal;
}

/** What `get` is to tell beside the records. */
export interface GetOptions {
  /** None: the server itself, which waits for no turn. */
  readonly asker?: Asker | undefined;
  /** The time: also why those that are not final do not run. */
  readonly standingAt?: number;
  /** Also what they have said. */
  readonly log?: true;
}

export interface ListRequest {
  /** As in `GetOptions`. */
  readonly asker?: Asker | undefined;
  /** Newest first unless it says so. */
  readonly oldestFirst?: boolean;
  readonly status?: Status;
  readonly op?: string;
  readonly key?: string;
  /** Submitted then or later, in ms since 1970. */
  readonly createdSince?: number;
  readonly limit: number;
  /** From the answer before. */
  readonly cursor?: string;
}

export interface Listed {
  readonly tasks: readonly TaskRecord[];
  /**
   * Of the next page; `undefined` on the last one. An engine may look at so many tasks and no more for one
   * page: then there are fewer than were asked for, or none, and a cursor all the same.
   */
  readonly cursor: string | undefined;
}

/** What waits and what runs of one op; of an op of which there is any. */
export interface OpLoad {
  readonly op: string;
  readonly queued: number;
  readonly running: number;
  /** Since when the oldest of its queued tasks has been due, in ms since 1970, as far as it is known. */
  readonly waitingSince: number | undefined;
}

export interface EngineStats {
  readonly tasks: StatusCounts;
  /** In no order. */
  readonly ops: readonly OpLoad[];
}

/** What an engine found that no event would have started. */
export interface Rechecked {
  /** Tasks that stood in no queue, or in one that nothing looked at; they are in the queue now. */
  readonly found: number;
  /** Tasks of the ops at the head of a queue that nothing holds back. */
  readonly startable: number;
  /** What the engine had in memory, for the log. */
  readonly knew: string;
}

export interface Pruned {
  /** Finished records that were dropped. */
  readonly removed: number;
  /** When there will be something to prune; `Infinity` when nobody can say. */
  readonly nextAt: number;
}

/**
 * What must outlive the server beside its tasks: which ops are paused, what recurs. Few and small; all of
 * them are known from the moment the engine is open.
 */
export interface Settings {
  get(name: string): string | undefined;
  /** All whose name begins with `prefix`. */
  list(prefix: string): [name: string, value: string][];
  /** Resolves once it is as safe as a task would be; `undefined` drops it. */
  save(name: string, value: string | undefined): Promise<void>;
}

/** A copy of everything an engine keeps, as it was at one moment, while the engine goes on. */
export interface Backup {
  readonly bytes: number;
  /** What the engine keeps everything in. */
  readonly files: readonly FileIdentity[];
  /** From the beginning to the end. */
  chunks(): AsyncIterable<Uint8Array>;
  /** Call it when done, or done with it. */
  end(): Promise<void>;
}

export interface Engine {
  readonly name: string;
  readonly settings: Settings;
  /** The latest time that an earlier server gave it, as far as it is known: `now` is never below it. */
  readonly lastAt?: number;
  /** Of an engine that can be backed up as a file. One at a time: a second one is `conflict`. */
  readonly backup?: (() => Promise<Backup>) | undefined;
  /** Compares what waits in memory with what is kept, reading part of it again, and puts right what it finds. */
  readonly recheck?: (ops: ReadonlySet<string>, now: number) => Promise<Rechecked>;

  /**
   * Keeps `tasks`. Once it resolves, they are as safe as the engine makes them. Those that it can judge
   * at once may be leased before that: call it, kick the dispatcher, then await it.
   */
  enqueue(tasks: readonly NewTask[], now: number): Promise<Enqueued[]>;
  /** Hands out queued tasks that are in memory: higher priority first, then first in first out. */
  lease(request: LeaseRequest, now: number): Promise<Leased>;
  /** Extends leases to `leaseUntil`; answers those that are lost. */
  renew(leases: readonly Lease[], leaseUntil: number): Promise<Lease[]>;
  /** Completes tasks; resolves once that is committed. A result under a lost lease changes nothing. */
  ack(acks: readonly Ack[], now: number): Promise<void>;
  /**
   * Ends runs that have no result; resolves with the status of each task after it, `undefined` for a lost lease, once
   * the ends among them are committed.
   */
  nack(nacks: readonly Nack[], now: number): Promise<(Status | undefined)[]>;
  /** The leases that run out at `leaseTime` or earlier. Their tasks run on until a `nack` (`lost`) takes them back. */
  overdue(leaseTime: number): Promise<Lease[]>;
  cancel(ids: readonly string[], now: number, asker?: Asker): Promise<Cancelled[]>;
  /** Runs final tasks again, as if they were new. Completed ones are refused. */
  requeue(ids: readonly string[], now: number, asker?: Asker): Promise<Requeued[]>;
  get(ids: readonly string[], options?: GetOptions): Promise<(TaskRecord | undefined)[]>;
  list(request: ListRequest): Promise<Listed>;
  stats(): Promise<EngineStats>;
  /**
   * Drops records kept long enough, expires tasks that are too late. `aheadMs` is how far `now` is ahead of the wall clock;
   * default: as before.
   */
  prune(now: number, aheadMs?: number): Promise<Pruned>;
  close(): Promise<void>;
}
