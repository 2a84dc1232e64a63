/**
 * The seam between the server and its engine, which keeps the tasks: 15 methods, each on arrays, so that an engine can
 * work in batches. `now` is passed in; no type of a database library appears here. Whatever a method takes or returns
 * means the same to every server of one store. `tests/contract/engine_contract.ts` states in tests what each method must do.
 *
 * Times are ms since 1970, of server time, unless they say otherwise. Methods reject with an `SdError`: `storage_full` if
 * a change cannot be committed now, `internal` if a record is damaged. A rejected call has changed nothing, except that
 * the result of an `ack` can still be committed later.
 */

import type { FileIdentity } from "../../protocol/transfer.ts";
import type { ErrorBody, FailureCode, SdError } from "../../protocol/errors.ts";
import type { Status, StatusCounts } from "../../protocol/task.ts";
import type { FinishedTask } from "../task/task_events.ts";
import type { KeyLimit, NewTask, TaskRules } from "../task/new_task.ts";
import type { Rate } from "../../protocol/text_forms.ts";
import type { Serials } from "../task/task_id.ts";
import type { EndOutbox } from "./outbox.ts";
import type { TaskLog } from "../task/task_log.ts";
import type { RunHistory } from "../task/run_log.ts";
import type { AdoptRequest, Reservation } from "./adoption.ts";

/**
 * Receives the tasks that have become final, given to an engine when it is opened. Each end is reported once, after its
 * commit and in the order of the ends; a task whose commit failed for good is never reported. It must not throw, and
 * must read the tasks before it returns.
 */
export type EndedSink = (tasks: readonly FinishedTask[]) => void;

/** The outcome of a submit of a task. */
export interface Enqueued {
  readonly status: Status;
  /**
   * `created`: the task is new. `exists`: the same task existed already. The task was not kept for: `conflict`, another
   * task has its id; `full`, the queue is full; `no_parent`, a task in its `after` does not exist; `uncommitted`, its commit
   * failed and was rolled back. Ignore `status` then.
   */
  readonly outcome: "created" | "exists" | "conflict" | "full" | "no_parent" | "uncommitted";
  /** The task, if it is final already: it existed, or it comes after a task that failed. For the reply. */
  readonly finished: FinishedTask | undefined;
  /** For `no_parent`: the id that does not exist. */
  readonly missing?: string;
  /** For `uncommitted`: the reason. */
  readonly error?: SdError;
}

/** A request of a worker process for tasks. */
export interface LeaseRequest {
  /** The ops that the worker has, and that are not paused. */
  readonly ops: ReadonlySet<string>;
  /** Rates by op: how many of its tasks can start in a span, on all workers together. */
  readonly rates?: ReadonlyMap<string, Rate>;
  /** Limits by op: how many of its tasks can run at a time. The map itself never changes; a new one replaces it. */
  readonly limits?: ReadonlyMap<string, number>;
  /** Versions by op, as the worker has them. */
  readonly versions?: ReadonlyMap<string, string>;
  /** Most tasks to lease. */
  readonly limit: number;
  /** How far `now` is ahead of the wall clock, in ms; default: as in the last call. */
  readonly aheadMs?: number;
  /** When the lease runs out unless it is renewed, in ms on the clock of `overdue`. */
  readonly leaseUntil: number;
  /**
   * Asks for suspects only: tasks whose next death is their last. Without it no suspect is leased. A suspect runs while
   * its worker process holds nothing else, so that a death is its own.
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

/** A task that is handed out. Read it at once: it can be the engine's own record, which changes. */
export interface LeasedTask {
  readonly id: string;
  readonly op: string;
  readonly payload: string;
  readonly attempt: number;
  readonly timeoutMs: number;
  /** Every report of this run must name it. */
  readonly lease: Lease;
  /** The results of the tasks in its `after`, as a JSON object by their ids; `undefined` if it has none. */
  readonly after: string | undefined;
  /** The log count, retries and version that its earlier runs left, with the version of this run. */
  readonly history: RunHistory | undefined;
}

/** The reply to a lease. */
export interface Leased {
  readonly tasks: readonly LeasedTask[];
  /** When to lease again because a task becomes due or a rate allows a start; `Infinity` for never. */
  readonly nextDueAt: number;
  /**
   * The requested ops that have queued suspects which could start when the request came. The reply to a request for
   * suspects also names ops whose suspects a limit or a rate holds back.
   */
  readonly suspectOps: ReadonlySet<string>;
  /** Resolves when the engine has fetched more tasks to lease; `undefined` if it fetches none. */
  readonly more: Promise<void> | undefined;
}

/** A completed task. */
export interface Ack {
  readonly lease: Lease;
  /** In JSON. */
  readonly result: string;
  /** The log of the run; its numbers continue the numbers of earlier runs. */
  readonly log?: TaskLog | undefined;
}

/** How a run ended without a result. */
export interface Nack {
  readonly lease: Lease;
  /**
   * `failed`: it threw or timed out; it is attempted again if its options allow it. `stopped`: a cancel asked for it.
   * `released`: it never started. `lost`: its lease ran out, which counts neither an attempt nor a death. `died`: its
   * worker process died, which is not the task's fault before the last time.
   */
  readonly reason: "failed" | "stopped" | "released" | "lost" | "died";
  /** For `failed`: the error. For `died`: the cause of the death, which becomes the error if this death is its last. */
  readonly error?: ErrorBody<FailureCode>;
  /** For `failed`: no further attempt, whatever its options say. */
  readonly last?: boolean;
  /** The log of the run. */
  readonly log?: TaskLog | undefined;
}

/** The outcome of a cancel of a task. */
export interface Cancelled {
  /** `running`: it becomes `cancelled` once its run has ended. `final`: it had ended before, as `status` says. */
  readonly outcome: "cancelled" | "running" | "final" | "not_found";
  /** `undefined` if it was not found. */
  readonly status: Status | undefined;
  /** For a running task: the lease to stop. */
  readonly lease: Lease | undefined;
}

/** The outcome of a cancel of a task that does not exist. */
export const NOT_FOUND: Cancelled = {
  outcome: "not_found",
  status: undefined,
  lease: undefined,
};

/** The outcome of a retry of a task. */
export interface Requeued {
  readonly outcome: "queued" | "refused" | "not_found";
  readonly status: Status | undefined;
  /** The task in its `after` for which it is refused; without a status that task does not exist any more. */
  readonly parent?: { readonly id: string; readonly status: Status | undefined };
}

/** The reason why a task that is not final does not run, as the engine knows it. */
export interface WaitReason {
  /** `turn`: only other tasks before it. `suspect`: it must run alone. `takeover`: a reservation holds it. */
  readonly heldBy:
    | "turn"
    | "time"
    | "after"
    | "key_limit"
    | "key_rate"
    | "op_limit"
    | "op_rate"
    | "suspect"
    | "takeover"
    | "running";
  /** For `time`: its `runAt`. For `key_rate` and `op_rate`: when the rate allows a start. For `takeover`: at the latest. */
  readonly until?: number;
  /** For `op_limit`: how many can run at a time. */
  readonly limit?: number;
  /** For `after`: the tasks that have not completed. */
  readonly after?: readonly string[];
  /** Queued tasks that go before it, counted up to `MAX_AHEAD`. */
  readonly ahead?: number;
}

/** Counting stops here; beyond it the exact position is of no use. */
export const MAX_AHEAD = 100_000;

/** A task as its engine keeps it. A time is 0 if the thing has not happened. */
export interface TaskRecord {
  readonly id: string;
  readonly idGiven: boolean;
  readonly op: string;
  readonly payload: string;
  readonly status: Status;
  readonly rules: TaskRules;
  readonly keyLimit: KeyLimit | undefined;
  readonly after: readonly string[];
  /** As in `NewTask`. */
  readonly route?: string;
  readonly attempt: number;
  readonly deaths: number;
  readonly expiresAt: number;
  /** The lease it runs under; `undefined` while it does not run. */
  readonly lease: Lease | undefined;
  readonly createdAt: number;
  readonly runAt: number;
  /** `runAt` is wall time; all other times are server time. */
  readonly isCalendar?: boolean;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly result: string | undefined;
  readonly error: ErrorBody<FailureCode> | undefined;
  /** For a cancelled task: the task in its `after` that did not complete. */
  readonly cancelledFor: string | undefined;
  readonly history: RunHistory | undefined;
  /** The log of all runs that have ended; only if the request asked for it and there is one. */
  readonly log?: TaskLog;
  /** Only if the request asked for it and the task is not final. */
  readonly waitReason?: WaitReason;
}

/** A client that asks: it has its turn among others, and what it asked for is dropped once it has left. */
export interface Asker {
  /** Aborted once the client has left. */
  readonly signal: AbortSignal;
}

/** Options of `get`: the things to add to the records. */
export interface GetOptions {
  /** The client that waits for its turn; default: the server itself, which has no turn. */
  readonly asker?: Asker | undefined;
  /** Adds the wait reasons, as of this time. */
  readonly waitReasonAt?: number;
  /** Adds the logs. */
  readonly log?: true;
}

/** A request for a page of tasks. */
export interface ListRequest {
  /** As in `GetOptions`. */
  readonly asker?: Asker | undefined;
  /** Default: newest first. */
  readonly oldestFirst?: boolean;
  readonly status?: Status;
  readonly op?: string;
  readonly key?: string;
  /** Only tasks submitted at this time or later. */
  readonly createdSince?: number;
  readonly limit: number;
  /** From the page before. */
  readonly cursor?: string;
}

/** A page of tasks. */
export interface Listed {
  readonly tasks: readonly TaskRecord[];
  /**
   * The cursor of the next page; `undefined` on the last page. An engine can stop looking before the page is full: then
   * there are fewer tasks than the request asked for, or none, and still a cursor.
   */
  readonly cursor: string | undefined;
}

/** The queued and running tasks of an op that has any. */
export interface OpLoad {
  readonly op: string;
  readonly queued: number;
  readonly running: number;
  /** Since when the oldest of its queued tasks has been due, if that is known. */
  readonly waitingSince: number | undefined;
}

/** Counts of the tasks of an engine. */
export interface EngineStats {
  readonly tasks: StatusCounts;
  /** In no order. */
  readonly ops: readonly OpLoad[];
}

/** The finds of a `recheck`: tasks that no event would have started. */
export interface Rechecked {
  /** Tasks that stood in no queue, or in a queue that nothing looked at. They are in a queue now. */
  readonly found: number;
  /** Tasks of the ops at the head of a queue that nothing holds back. */
  readonly startable: number;
  /** The engine's counts in memory, for the log. */
  readonly knew: string;
}

/** The outcome of a `prune`. */
export interface Pruned {
  /** Final records that were dropped. */
  readonly removed: number;
  /** When there will be something to prune; `Infinity` if that is unknown. */
  readonly nextAt: number;
}

/** Receives a committed change of a setting; `undefined`: it is removed. It must not throw. */
export type SettingWatcher = (name: string, value: string | undefined) => void;

/**
 * The settings of a server, kept beside its tasks: paused ops, recurring tasks. They are few and small, and all are known
 * from the moment the engine is open. A write rejects with `storage_full` if it cannot be committed; it changes nothing
 * then.
 */
export interface Settings {
  get(name: string): string | undefined;
  /** All settings whose name begins with `prefix`. */
  list(prefix: string): [name: string, value: string][];
  /** Sets a value, `undefined` removes it; resolves once that is committed. */
  save(name: string, value: string | undefined): Promise<void>;
  /** The same, but only if the value is `expected` then; resolves with whether it was. */
  replace(
    name: string,
    change: { readonly expected: string | undefined; readonly value: string | undefined },
  ): Promise<boolean>;
  /** Calls `changed` after each change of a setting whose name begins with `prefix`, until the returned function is called. */
  watch(prefix: string, changed: SettingWatcher): () => void;
}

/** A copy of everything that an engine keeps, as of one moment. The engine goes on meanwhile. */
export interface Backup {
  readonly bytes: number;
  /** The files in which the engine keeps everything. */
  readonly files: readonly FileIdentity[];
  /** The copy in pieces, from its beginning to its end. */
  chunks(): AsyncIterable<Uint8Array>;
  /** Releases the copy. Call it also if not all pieces were read. */
  end(): Promise<void>;
}

/** A keeper of tasks. */
export interface Engine {
  /** For messages and `stats`. */
  readonly name: string;
  readonly settings: Settings;
  /** Numbers and ids for new tasks: above all that the engine has, and of no other engine's making. */
  readonly serials: Serials;
  /** The latest `now` of earlier servers, if known: the server's own time never goes below it. */
  readonly lastAt?: number;
  /** Ends of tasks that wait to be published. */
  readonly outbox?: EndOutbox;
  /**
   * For an engine on a store that servers share: resolves with the reason once another server may lead. From then on no
   * call settles, and no end is reported. Cut the clients, then call `close`, which rejects all open calls.
   */
  readonly lost?: Promise<string>;
  /** Starts a backup; only engines that can be copied have it. Rejects with `conflict` while another one runs. */
  readonly backup?: (() => Promise<Backup>) | undefined;
  /** Compares the queues of `ops` in memory with the store, and repairs them. */
  readonly recheck?: (ops: ReadonlySet<string>, now: number) => Promise<Rechecked>;

  /**
   * Keeps `tasks`, which have their numbers from `serials`; resolves with the outcome of each, in their order, once they are committed. Tasks can be leased before
   * that: call it, kick the dispatcher, then await it.
   */
  enqueue(tasks: readonly NewTask[], now: number): Promise<Enqueued[]>;
  /** Hands out queued tasks: higher priority first, then first in first out. It waits for no page and no commit. */
  lease(request: LeaseRequest, now: number): Promise<Leased>;
  /**
   * Marks queued tasks as running, under new leases, whose runs go on in a worker process. Resolves with the task of each
   * run; `undefined` if the run is lost: the task does not exist, has ended, was started again, has another attempt, or
   * its key or op is at its limit. Keeps everything as in a run that was leased, with the start of the run.
   */
  adopt(request: AdoptRequest, now: number): Promise<(LeasedTask | undefined)[]>;
  /** Holds starts back; `undefined`: no longer. A new reservation replaces the one before. */
  reserve(reservation: Reservation | undefined): Promise<void>;
  /** Extends leases to `leaseUntil`; resolves with the leases that are lost. */
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
  /** Cancels tasks, and the tasks that come after them; resolves once the ends are committed. */
  cancel(ids: readonly string[], now: number, asker?: Asker): Promise<Cancelled[]>;
  /** Runs final tasks again, as if they were new; resolves once that is committed. Completed tasks are refused. */
  requeue(ids: readonly string[], now: number, asker?: Asker): Promise<Requeued[]>;
  /** Records by id, `undefined` for unknown ids; with every change that began before the call. */
  get(ids: readonly string[], options?: GetOptions): Promise<(TaskRecord | undefined)[]>;
  /** A page of tasks. Rejects with `bad_request` for a cursor that is none. */
  list(request: ListRequest): Promise<Listed>;
  /** Counts, without a look at the store. */
  stats(): Promise<EngineStats>;
  /**
   * Drops records that were kept long enough, and expires tasks that did not start in time. `aheadMs` is how far `now` is
   * ahead of the wall clock, in ms; default: as in the last call.
   */
  prune(now: number, aheadMs?: number): Promise<Pruned>;
  /** Commits what it can, and ends the engine. Nothing is called after it. */
  close(): Promise<void>;
}
