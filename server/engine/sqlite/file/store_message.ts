/**
 * The messages between the sqlite store and the thread that keeps its file. The requests are `TaskCalls`, and
 * some that only a file needs. They are answered in the order in which they were sent; see `TaskStore`.
 */

import type { FileIdentity } from "../../../../protocol/transfer.ts";
import type { Opened, StoreFault, TaskCalls } from "../../journaled/task_store.ts";
import type { Durability } from "../../options.ts";

/** A request to drop records of final tasks. */
export interface SweepRequest {
  readonly now: number;
  /** How long a record without a `keep` of its own stays after its `finishedAt`. */
  readonly keepMs: number;
  /** Most records of final tasks; the oldest are dropped first. */
  readonly maxKept: number;
  /** Most bytes of the file in use; while there are more, the oldest final tasks are dropped. */
  readonly maxBytes: number;
  /** Rows that must stay, since open tasks come after them. `null`: as in the last request. */
  readonly held: readonly number[] | null;
  /** Most rows to look at: other requests wait meanwhile. */
  readonly rows: number;
}

export interface SweepResult {
  /** Dropped records, by index into `STORED_STATUSES`. */
  readonly removed: readonly number[];
  /** Bytes of the file that are in use. */
  readonly used: number;
  /** There is more to do now. */
  readonly more: boolean;
}

/**
 * A row that is not what was written. It is never part of an answer: `find` fails with it; every other request leaves it
 * out and reports it once, beside the answer.
 */
export interface DamagedRow {
  readonly ord: number;
  /** `null` if it cannot be read. */
  readonly id: string | null;
  readonly message: string;
}

/** Every request, by its name: question and answer. */
export interface StoreCalls extends TaskCalls {
  /** After a write that failed and may still be in the log: answered once it is certain that it is not. */
  cut: { ask: null; answer: null };
  sweep: { ask: SweepRequest; answer: SweepResult };
  /**
   * Moves all commits into the main file, which `backupRead` then copies as it is now. Copy it only by that: in the
   * process that holds a file, closing it anywhere else ends its lock.
   */
  backupBegin: {
    ask: null;
    answer: { path: string; bytes: number; files: readonly FileIdentity[] };
  };
  /** `bytes` bytes of the main file from `at`; fewer at its end. */
  backupRead: { ask: { readonly at: number; readonly bytes: number }; answer: Uint8Array };
  backupEnd: { ask: null; answer: null };
  close: { ask: null; answer: null };
}

export type StoreCall = keyof StoreCalls;

export type StoreRequest =
  | {
    [Call in Exclude<StoreCall, "write">]: {
      readonly serial: number;
      readonly call: Call;
      readonly ask: StoreCalls[Call]["ask"];
    };
  }[Exclude<StoreCall, "write">]
  /** A `Write` as JSON. Measured: a third of the cost of copying the cells one by one. */
  | { readonly serial: number; readonly call: "write"; readonly json: string };

/**
 * `damaged`: rows that were found damaged and left out of the answer. `notes`: sentences for the log. `isUncut`: the
 * remains of a failed write in the log cannot be cut off yet; see `cut`.
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
