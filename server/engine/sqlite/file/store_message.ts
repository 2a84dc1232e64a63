/**
 * What travels between the sqlite engine and the thread that keeps its file. Requests are answered in the
 * order in which they were sent: a read that was sent before a write does not see it, one that was sent
 * after it does. The engine relies on that, and on nothing else, to know when a record of its own may go.
 */

import type { Status } from "../../../../protocol/task.ts";
import type { FileIdentity } from "../../../../protocol/transfer.ts";

/** On disk a task never runs: one that runs is queued there, since a new boot queues it again at once. */
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

/** How a status of the wire is called on disk, where it is one and the same. */
export type SameStatus = Exclude<Status, "running">;

export type Cell = string | number | null;

/**
 * A task as a row. Times are ms since 1970; 0 where a thing has not happened. `status` is an index into
 * `STORED_STATUSES`. The columns from `status` on change with its life, those before never do.
 */
export interface StoredTask {
  /** The order of submission, and the primary key; the serial number of the `NewTask`. */
  readonly ord: number;
  readonly id: string;
  /** The client chose the id: 1, else 0. */
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
  /** Its place in the queue: the lower of two in one lane is first. */
  readonly seq: number;
  readonly runAt: number;
  readonly attempt: number;
  readonly deaths: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  /** Of a final task with a `keep` of its own: when its record may go. */
  readonly dropAt: number | null;
  readonly result: string | null;
  /** In JSON. */
  readonly error: string | null;
  /** In JSON, what its runs left beside a result; `null` for most. */
  readonly trail: string | null;
}

/** The columns in the order in which `Write` carries them. */
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

/** Changes that are committed together, or not at all. Every number in it is finite. */
export interface Write {
  /** New rows, one after the other: `FIXED_COLUMNS`, then `STATE_COLUMNS`. */
  readonly inserts: readonly Cell[];
  /** Changes of rows: `ord`, the status that the row has on disk, then `STATE_COLUMNS`. */
  readonly updates: readonly Cell[];
  /** What runs of these tasks have said, as `logToText` makes it; it goes behind what they said before. */
  readonly logs: readonly (readonly [ord: number, log: string])[];
  /** Settings to keep; `null` drops one. */
  readonly settings: readonly (readonly [name: string, value: string | null])[];
}

/** Tasks of one op, one key and one priority stand in one line. */
export interface Lane {
  readonly priority: number;
  readonly key: string | null;
  readonly op: string;
}

/** A file that was opened. */
export interface Opened {
  /** Tasks by index into `STORED_STATUSES`. */
  readonly counts: readonly number[];
  /** Larger than any `ord` and any `seq` ever stored. */
  readonly next: number;
  /** Every lane that has queued tasks. */
  readonly lanes: readonly Lane[];
  /** How many tasks of each op are queued. */
  readonly queuedOps: readonly (readonly [op: string, count: number])[];
  readonly settings: readonly (readonly [name: string, value: string])[];
}

/** Rows and how many characters of payload and result they may have together; the first one always comes. */
export interface PageSize {
  readonly limit: number;
  readonly maxChars: number;
}

/** What the janitor may leave. */
export interface SweepRequest {
  readonly now: number;
  /** `finishedAt` and so much is when a record without a `keep` of its own may go. */
  readonly keepMs: number;
  /** Most records of final tasks; the oldest go first. */
  readonly maxKept: number;
  /** Most bytes of the file that are in use; final tasks go, the oldest first, while there are more. */
  readonly maxBytes: number;
  /** Rows that must stay: open tasks come after them. `null`: those of the last request. */
  readonly held: readonly number[] | null;
  /** Rows to look at, at most: other requests wait meanwhile. */
  readonly rows: number;
}

export interface Swept {
  /** Dropped records, by index into `STORED_STATUSES`. */
  readonly removed: readonly number[];
  /** Bytes of the file that are in use. */
  readonly used: number;
  /** There is more to do now. */
  readonly more: boolean;
}

/**
 * A row that is not what was written. It is never part of an answer: `find` fails with it, every other
 * request leaves it out and tells of it beside its answer, once.
 */
export interface DamagedRow {
  readonly ord: number;
  /** As far as it can be read. */
  readonly id: string | null;
  readonly message: string;
}

/** Every request, by its name: what is asked, what is answered. */
export interface StoreCalls {
  write: { ask: Write; answer: null };
  /** After a write that failed and may be in the log all the same: answered once it is certain that it is not. */
  cut: { ask: null; answer: null };
  /** By ids, in their order; `null` where there is none. Fails with `damaged` if one of them is. */
  find: { ask: { ids: readonly string[] }; answer: (StoredTask | null)[] };
  /** What tasks have said, as it was written; `null` where there is nothing that can be read. */
  logs: { ask: { ords: readonly number[] }; answer: (string | null)[] };
  /** Queued tasks of a lane after `seq`, in their order. */
  lane: { ask: Lane & PageSize & { readonly seq: number }; answer: StoredTask[] };
  /** Delayed tasks after (`runAt`, `ord`), in that order. */
  due: { ask: PageSize & { readonly runAt: number; readonly ord: number }; answer: StoredTask[] };
  /** Waiting tasks after `ord`, in that order. */
  waiting: { ask: PageSize & { readonly ord: number }; answer: StoredTask[] };
  /** Tasks not final whose `expiresAt` is `now` or earlier, the earliest first. */
  expired: { ask: PageSize & { readonly now: number }; answer: StoredTask[] };
  /**
   * Newest first, from below `ord`, or oldest first, from above it; `statuses` are indices, none stands for all, as
   * null does for any op or key. At most so many rows are
   * looked at: `next` is the `ord` to go on from, `null` when there are no more.
   */
  list: {
    ask: {
      readonly ord: number;
      readonly oldestFirst: boolean;
      readonly statuses: readonly number[];
      readonly op: string | null;
      readonly key: string | null;
      readonly createdSince: number;
      readonly limit: number;
      readonly maxChars: number;
    };
    answer: { tasks: StoredTask[]; next: number | null };
  };
  /** Queued tasks that are handed out before this place, counted up to `limit`. */
  ahead: {
    ask: { readonly priority: number; readonly seq: number; readonly limit: number };
    answer: number;
  };
  sweep: { ask: SweepRequest; answer: Swept };
  /**
   * Moves all that is committed into the main file, which `backupRead` then copies as it is now. Copy it by that
   * only: in the process that holds a file, closing it anywhere else ends its lock.
   */
  backupBegin: {
    ask: null;
    answer: { path: string; bytes: number; files: readonly FileIdentity[] };
  };
  /** So many bytes of the main file from `at`, fewer at its end. */
  backupRead: { ask: { readonly at: number; readonly bytes: number }; answer: Uint8Array };
  backupEnd: { ask: null; answer: null };
  close: { ask: null; answer: null };
}

export type StoreCall = keyof StoreCalls;

/**
 * Why a request failed. `full`: no room on the disk. `io`: the system could not read or write. `damaged`:
 * the file is not what was written. Nothing of a failed write is kept, unless its reply says `isUncut`.
 */
export type StoreFault = "full" | "io" | "damaged" | "bug";

export type StoreRequest =
  | {
    [Call in Exclude<StoreCall, "write">]: {
      readonly serial: number;
      readonly call: Call;
      readonly ask: StoreCalls[Call]["ask"];
    };
  }[Exclude<StoreCall, "write">]
  /** A `Write` as JSON. Measured: a third of what it costs both threads to copy so many cells one by one. */
  | { readonly serial: number; readonly call: "write"; readonly json: string };

/**
 * `damaged`: rows that were met on the way to the answer and left out of it. `notes`: sentences for the log. `isUncut`:
 * what a write has left in the log cannot be cut off yet; see `cut`.
 */
export type StoreReply =
  | {
    readonly serial: number;
    readonly answer: StoreCalls[StoreCall]["answer"];
    readonly damaged?: readonly DamagedRow[];
    readonly notes?: readonly string[];
  }
  | {
    readonly serial: number;
    readonly fault: StoreFault;
    readonly message: string;
    readonly isUncut?: boolean;
  };

/** `full`: every commit is on the disk before it is answered. `normal`: a power cut may lose the last ones. */
export type Durability = "full" | "normal";

/** The first message to the thread. */
export interface StoreStart {
  readonly path: string;
  readonly durability: Durability;
  readonly now: number;
}

/** The first message from it: the file is open, or why a person must do something first. */
export type StoreStarted =
  | { readonly opened: Opened }
  | { readonly refused: { readonly message: string; readonly hint: string | undefined } }
  | { readonly fault: StoreFault; readonly message: string };
