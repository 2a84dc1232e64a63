/**
 * The numbers of tasks in the store, as part of the counts of the engine. A store can count in the background: until then
 * the counts hold only the changes since it was opened, so a number can be too low, or below 0. `isComplete` says whether a
 * number is true; until it is, the limit of queued tasks then lets through as many tasks as it would if the store were empty.
 */

import type { LiveTasks } from "../live/live_tasks.ts";
import type { Pager } from "./pager.ts";
import { codeOf } from "./rows.ts";
import { type Opened, type StoreCounts, STORED_STATUSES, type StoredStatus } from "./task_store.ts";

/** For the log, if a store cannot count its tasks. */
export const UNCOUNTED =
  "the stored tasks cannot be counted, and are missing in all numbers of tasks " +
  "and in the limit of queued tasks until the next start";

interface StoredCountsOptions {
  readonly live: LiveTasks;
  readonly pager: Pick<Pager, "counted">;
  readonly report: (message: string) => void;
}

export class StoredCounts {
  readonly #options: StoredCountsOptions;
  #isComplete = false;
  #isClosed = false;

  constructor(options: StoredCountsOptions) {
    this.#options = options;
  }

  /** Every task of the store is counted. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Adds the counts of a store that was opened, now or once they are there. */
  begin(opened: Opened): void {
    if (!opened.counting) return this.#add(opened);
    opened.counting.then((counts) => this.#isClosed || this.#add(counts), (error) => {
      if (!this.#isClosed) this.#options.report(`${UNCOUNTED}: ${(error as Error).message}`);
    });
  }

  /** Subtracts dropped records, by index into `STORED_STATUSES`; returns their number. */
  dropped(removed: readonly number[]): number {
    let sum = 0;
    removed.forEach((rows, code) => {
      this.#addTo(code, -rows);
      sum += rows;
    });
    return sum;
  }

  close(): void {
    this.#isClosed = true;
  }

  #add({ counts, queuedOps }: StoreCounts): void {
    const { live, pager } = this.#options;
    counts.forEach((count, code) => this.#addTo(code, count));
    for (const [op, count] of queuedOps) live.counts.queuedOf(op, count);
    pager.counted(counts[codeOf("queued")] ?? 0);
    this.#isComplete = true;
  }

  #addTo(code: number, count: number): void {
    const status = STORED_STATUSES[code] as StoredStatus;
    this.#options.live.counts.byStatus[status === "waiting" ? "delayed" : status] += count;
  }
}
