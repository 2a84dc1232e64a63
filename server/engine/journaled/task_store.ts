/**
 * The store under the journaled engine: rows of tasks, their logs, and settings, on a disk or in a database.
 *
 * The engine decides everything in memory. It needs a store only to keep rows and to read them back, so a store knows
 * nothing of queues, limits or leases. It serves one engine at a time. Each request is an object that a message can
 * carry. Three promises make it usable:
 * 1. Requests take effect in the order in which they were made, and their answers come in that order: a read that was
 *    asked for before a write does not see it, one that was asked for after it does. The answer to
 *    a write may come after the answers to reads made after it, and if it fails, after any. If a connection was lost, a read can see writes that were under way.
 * 2. A `write` is kept whole or not at all, and is on the disk when it is answered.
 * 3. A row is returned as it was written, or not at all.
 *
 * Every request rejects with a `StoreError`. Times are ms since 1970; 0 if a thing has not happened. All numbers are
 * safe integers. Texts may hold any character, also U+0000 and lone surrogates.
 */

import type { OutboxRow } from "../outbox.ts";
import { joined, logFromText, logToText } from "../../task/task_log.ts";

/** On disk no task runs: one that runs is queued there, so the next server that opens the store runs it again. */
export const STORED_STATUSES = [
  "queued",
  /** Delayed until its `runAt`. */
  "delayed",
  /** Delayed until the tasks it comes after have completed. */
  "waiting",
  "completed",
  "failed",
  "cancelled",
  "expired",
] as const;
export type StoredStatus = typeof STORED_STATUSES[number];

/**
 * Kinds of rows of a task beside its own. The output of its runs is one: a text as `logToText` makes it. To add a kind,
 * append its name, say in `appended` how it grows, and carry it through export and import (`task_record_json.ts`). Add a
 * migration to each store as well: an older sd must refuse a store that may hold it.
 */
export const ATTACHMENT_KINDS = ["log"] as const;
export const LOG_KIND = ATTACHMENT_KINDS.indexOf("log");

/** An attachment to which a text was added; `before`: the attachment until then, `null` if there was none. */
export function appended(kind: number, before: string | null, added: string): string {
  if (before === null || kind !== LOG_KIND) return (before ?? "") + added;
  return logToText(joined(logFromText(before), logFromText(added)));
}

export type Cell = string | number | null;

/**
 * A task as a row. `status` is an index into `STORED_STATUSES`. The columns from `status` on change with the task's
 * life, those before never do. To add a column: change both lists below, `rows.ts`, and each store by a migration.
 */
export interface StoredTask {
  /** The order of submission, and the primary key; the serial number of the `NewTask`. */
  readonly ord: number;
  readonly id: string;
  /** 1 if the client chose the id, otherwise 0. */
  readonly given: number;
  readonly op: string;
  readonly payload: string;
  /** In JSON, everything that few tasks have; `null` for a task without options. */
  readonly options: string | null;
  readonly key: string | null;
  readonly priority: number;
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly status: number;
  /** The place in the queue: the lower of two in one lane is first. */
  readonly seq: number;
  readonly runAt: number;
  readonly attempt: number;
  readonly deaths: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  /** For a final task with a `keep` of its own: when its record can be dropped. */
  readonly dropAt: number | null;
  readonly result: string | null;
  /** In JSON. */
  readonly error: string | null;
  /** In JSON, the history of its runs; `null` for most tasks. */
  readonly trail: string | null;
}

/** The columns in the order in which a `Write` carries them: first the fixed columns, */
export const FIXED_COLUMNS = [
  "ord",
  "id",
  "given",
  "op",
  "payload",
  "options",
  "key",
  "priority",
  "createdAt",
  "expiresAt",
] as const satisfies readonly (keyof StoredTask)[];
/** then the others. */
export const STATE_COLUMNS = [
  "status",
  "seq",
  "runAt",
  "attempt",
  "deaths",
  "startedAt",
  "finishedAt",
  "dropAt",
  "result",
  "error",
  "trail",
] as const satisfies readonly (keyof StoredTask)[];

/** Changes that are committed together, or not at all. */
export interface Write {
  /** New rows, one after the other: `FIXED_COLUMNS`, then `STATE_COLUMNS`. */
  readonly inserts: readonly Cell[];
  /** Changes of rows: `ord`, the status that the row has on disk, then `STATE_COLUMNS`. */
  readonly updates: readonly Cell[];
  /** Texts for the attachments of tasks; `kind` is an index into `ATTACHMENT_KINDS`. `appended` says how each grows. */
  readonly attachments: readonly (readonly [ord: number, kind: number, text: string])[];
  /** Settings to keep; `null` removes one. */
  readonly settings: readonly (readonly [name: string, value: string | null])[];
  /** Ends of tasks to publish elsewhere: the store numbers them, and keeps each until it is `published`. */
  readonly outbox?: readonly (readonly [route: string, body: string])[];
  /** Numbers of outbox rows to drop. */
  readonly published?: readonly number[];
}

/** A lane as the store looks it up: the tasks of one op, one key and one priority. */
export interface LaneQuery {
  readonly priority: number;
  readonly key: string | null;
  readonly op: string;
}

/** The size of a page: rows, and characters of payload and result. The first row always comes. */
export interface PageSize {
  readonly limit: number;
  readonly maxChars: number;
}

/** The numbers of tasks in a store when it is opened. */
export interface StoreCounts {
  /** Tasks by index into `STORED_STATUSES`. */
  readonly counts: readonly number[];
  /** How many tasks of each op are queued. */
  readonly queuedOps: readonly (readonly [op: string, count: number])[];
}

/** The contents of a store when it is opened. */
export interface Opened extends StoreCounts {
  /**
   * For a store that counts in the background: the counts as of its opening, before any later write. `counts` and
   * `queuedOps` are empty then, and the engine adds these once they are there.
   */
  readonly counting?: Promise<StoreCounts>;
  /** Larger than any `ord` and any `seq` ever stored. */
  readonly next: number;
  /** Every lane that has queued tasks. */
  readonly lanes: readonly LaneQuery[];
  readonly settings: readonly (readonly [name: string, value: string])[];
}

/** The requests of the engine, by name: question and answer. */
export interface TaskCalls {
  /**
   * Commits. Rejects once it is certain that nothing of it is kept; if that cannot be made certain, the message says so.
   * An update of a row that is not in the status it names is `damaged`.
   */
  write: { ask: Write; answer: null };
  /** Tasks by their ids, in that order; `null` for each that is not there. Rejects with `damaged` if one of them is. */
  find: { ask: { ids: readonly string[] }; answer: (StoredTask | null)[] };
  /** Attachments of one kind, as they were written; `null` for each that is missing or cannot be read. */
  attachments: {
    ask: { readonly kind: number; readonly ords: readonly number[] };
    answer: (string | null)[];
  };
  /** Rows of the outbox after number `after`, in their order. No rows: there are no more. */
  outbox: { ask: PageSize & { readonly after: number }; answer: OutboxRow[] };
  /** Queued tasks of a lane after `seq`, in their order. No rows: there are no more. */
  lane: { ask: LaneQuery & PageSize & { readonly seq: number }; answer: StoredTask[] };
  /** Delayed tasks after (`runAt`, `ord`), in that order. No rows: there are no more. */
  due: { ask: PageSize & { readonly runAt: number; readonly ord: number }; answer: StoredTask[] };
  /** Waiting tasks after `ord`, in that order. No rows: there are no more. */
  waiting: { ask: PageSize & { readonly ord: number }; answer: StoredTask[] };
  /** Tasks that are not final and whose `expiresAt` is `now` or earlier, the earliest first. */
  expired: { ask: PageSize & { readonly now: number }; answer: StoredTask[] };
  /**
   * Tasks below `ord`, newest first, or above it, oldest first. No `statuses` stand for all, as `null` does for any op or
   * key. A store looks at a bounded number of rows: `next` is the `ord` to go on from, `null` if there are no more. With
   * `mayLag` the answer may come out of turn: it has every write that was answered before, and can miss or have later ones.
   */
  list: {
    ask: PageSize & {
      readonly ord: number;
      readonly oldestFirst: boolean;
      readonly statuses: readonly number[];
      readonly op: string | null;
      readonly key: string | null;
      readonly createdSince: number;
      readonly mayLag?: boolean;
    };
    answer: { tasks: StoredTask[]; next: number | null };
  };
  /** The number of queued tasks that start before this place, counted up to `limit`. `mayLag`: as for `list`. */
  ahead: {
    ask: {
      readonly priority: number;
      readonly seq: number;
      readonly limit: number;
      readonly mayLag?: boolean;
    };
    answer: number;
  };
}

export interface TaskStore {
  /** Makes one request. */
  call<Name extends keyof TaskCalls>(
    name: Name,
    ask: TaskCalls[Name]["ask"],
  ): Promise<TaskCalls[Name]["answer"]>;
  /**
   * For a store that several servers share: resolves with the reason once this server may no longer write. From then on
   * every request rejects with `fenced`.
   */
  readonly lost?: Promise<string>;
  /** Answers all requests made before it, then ends. Twice is once. */
  close(): Promise<void>;
}

/**
 * Why a request failed. `full`: no room. `io`: the store could not be read or written. `damaged`: it does not hold what
 * was written. `fenced`: another server leads; whether a write under way was made is for that server to read. `bug`:
 * anything else.
 */
export type StoreFault = "full" | "io" | "damaged" | "fenced" | "bug";

/** A request that failed. */
export class StoreError extends Error {
  override readonly name: string = "StoreError";
  constructor(readonly fault: StoreFault, message: string) {
    super(message);
  }
}

/** The records that no sweep may drop, since open tasks come after them. */
export interface HeldRecords {
  /** Changes whenever the set does. */
  readonly version: number;
  ords(): number[];
}

/** Drops records of final tasks. Each store brings its own, since only it knows its size. */
export interface RecordSweeper {
  /** Open tasks alone are more than the store may hold: new ones are refused. */
  readonly isFull: boolean;
  /** `removed`: dropped records, by index into `STORED_STATUSES`; `more`: there is more to do at once. */
  sweep(
    now: number,
    held: HeldRecords,
  ): Promise<{ readonly removed: readonly number[]; readonly more: boolean }>;
}
