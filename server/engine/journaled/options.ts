/** Options of the journaled engine, which each store fills in that opens one. */

import type { Backup, EndedSink } from "../engine.ts";
import type { PagerSizes } from "./pager.ts";
import type { Opened, RecordSweeper, TaskStore } from "./task_store.ts";

export interface JournaledOptions {
  /** The engine's name, for users. */
  readonly name: string;
  readonly store: TaskStore;
  /** The contents of the store. */
  readonly opened: Opened;
  readonly now: number;
  /** Receives the ends of tasks. */
  readonly ended?: EndedSink;
  /** Called with messages for the operator: the disk is full, the store is damaged. */
  readonly report: (message: string) => void;
  /** 0…1, for the jitter of a backoff. */
  readonly random?: () => number;
  /** New tasks are refused while this many are queued or delayed. */
  readonly maxQueued?: number;
  readonly sweeper: RecordSweeper;
  /** For a store that can be copied. */
  readonly backup?: () => Promise<Backup>;
  readonly sizes?: Partial<PagerSizes>;
}
