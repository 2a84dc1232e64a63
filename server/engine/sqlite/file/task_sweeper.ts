/**
 * Drops records of final tasks that were kept long enough, or for which there is no room, a slice at a time.
 *
 * It walks up the table by `ord`, and starts again at the end of it. It has two places in the table. While there are too
 * many records it goes on from `lowest`, so the oldest are dropped first. Otherwise it looks for old records from `looked`.
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { TaskAttachments } from "./attachments.ts";
import type { RowReader } from "./row_reader.ts";
import { type SweepRequest, type SweepResult } from "./store_message.ts";
import { type Cell, STORED_STATUSES } from "../../journaled/task_store.ts";
import { FIRST_FINAL, type TaskCounts } from "./task_counts.ts";

/** Free pages are given back to the system beyond this share of the file */
const FREE_SHARE = 0.25;
/** and beyond this number: a small file is not worth the work, and grows again. */
const FREE_PAGES = 10_000;
/** Pages given back in one sweep: each can need a copy from the end of the file. */
const PAGES_AT_A_TIME = 500;

/** `ord`, status, `finishedAt` and `dropAt`. */
type Seen = [number, number, number, number | null];

export class TaskSweeper {
  readonly #counts: TaskCounts;
  readonly #attachments: TaskAttachments;
  readonly #slice: StatementSync;
  readonly #due: StatementSync;
  readonly #drop: StatementSync;
  readonly #pages: StatementSync;
  readonly #freePages: StatementSync;
  readonly #giveBack: StatementSync;
  readonly #pageBytes: number;
  /** Up to this `ord`, every record is dropped, open or held. */
  #lowest = 0;
  /** Up to this `ord`, no record was old. */
  #looked = 0;
  /** The place of the look at records with a `dropAt` of their own: held ones must not stop it. */
  #duePlace: readonly [dropAt: number, ord: number] = [0, 0];
  /** Rows looked at since the last drop: after a whole round, nothing can be dropped. */
  #idleRows = 0;

  constructor(
    db: DatabaseSync,
    { rows, counts, attachments }: {
      rows: RowReader;
      counts: TaskCounts;
      attachments: TaskAttachments;
    },
  ) {
    this.#counts = counts;
    this.#attachments = attachments;
    this.#slice = rows.prepare(
      "SELECT ord, status, finishedAt, dropAt FROM tasks WHERE ord > ? ORDER BY ord LIMIT ?",
    );
    this.#due = rows.prepare(
      `SELECT ord, status, finishedAt, dropAt FROM tasks INDEXED BY tasks_drop
      WHERE dropAt IS NOT NULL AND (dropAt, ord) > (?, ?) AND dropAt <= ?
      ORDER BY dropAt, ord LIMIT ?`,
    );
    this.#drop = db.prepare("DELETE FROM tasks WHERE ord BETWEEN ? AND ?");
    this.#pages = rows.prepare("PRAGMA page_count");
    this.#freePages = rows.prepare("PRAGMA freelist_count");
    // It is a step for each page; `exec` would do one.
    this.#giveBack = rows.prepare(`PRAGMA incremental_vacuum(${PAGES_AT_A_TIME})`);
    this.#pageBytes = one(rows.prepare("PRAGMA page_size"));
  }

  /** Inside a transaction. */
  sweep(ask: SweepRequest, held: ReadonlySet<number>): SweepResult {
    const removed = STORED_STATUSES.map(() => 0);
    const due = this.#sweepDue(ask, held, removed);
    const rows = Math.max(1, ask.rows - due.looked);
    const excess = this.#excess(ask);
    const { dropped, ended, looked } = this.#sweepSlice(ask, { rows, excess, held, removed });
    this.#idleRows = dropped + due.dropped > 0 ? 0 : this.#idleRows + looked;
    if (dropped + due.dropped > 0) this.#counts.save();
    const tooMuch = this.#excess(ask) > 0 && this.#counts.final > 0 &&
      this.#idleRows <= this.#counts.all;
    const used = (one(this.#pages) - one(this.#freePages)) * this.#pageBytes;
    return { removed, used, more: tooMuch || due.more || (dropped > 0 && !ended) };
  }

  /** Whether enough of the file is free to give some of it back to the system. */
  get hasRoomToGive(): boolean {
    const [pages, free] = [one(this.#pages), one(this.#freePages)];
    return free > FREE_PAGES && free > pages * FREE_SHARE;
  }

  /** Inside a transaction of its own. */
  giveBack(): void {
    this.#giveBack.all();
  }

  #sweepDue(
    { now, rows }: SweepRequest,
    held: ReadonlySet<number>,
    removed: number[],
  ): { looked: number; dropped: number; more: boolean } {
    const found = this.#due.all(...this.#duePlace, now, rows) as unknown as Cell[][] as Seen[];
    const more = found.length === rows;
    const last = found.at(-1);
    this.#duePlace = more && last !== undefined ? [last[3] as number, last[0]] : [0, 0];
    let dropped = 0;
    for (const [ord, status] of found) {
      if (status < FIRST_FINAL || held.has(ord)) continue;
      this.#dropAll(ord, ord);
      this.#gone(status, removed);
      dropped++;
    }
    return { looked: found.length, dropped, more };
  }

  #sweepSlice(
    { now, keepMs }: SweepRequest,
    { rows, excess, held, removed }: {
      rows: number;
      excess: number;
      held: ReadonlySet<number>;
      removed: number[];
    },
  ): { looked: number; dropped: number; ended: boolean } {
    const tooMuch = excess > 0;
    const seen = this.#slice.all(
      tooMuch ? this.#lowest : this.#looked,
      rows,
    ) as unknown as Cell[][] as Seen[];
    let dropped = 0;
    let place = 0;
    // Adjacent rows are dropped by one statement.
    let first: number | null = null;
    let last = 0;
    const dropRun = () => {
      if (first !== null) this.#dropAll(first, last);
      first = null;
    };
    for (const [ord, status, finishedAt, dropAt] of seen) {
      // Enough was dropped: the next sweep begins here.
      if (tooMuch && dropped >= excess) break;
      place = ord;
      const old = dropAt === null ? finishedAt + keepMs <= now : dropAt <= now;
      if (status < FIRST_FINAL || held.has(ord) || !(old || dropped < excess)) {
        dropRun();
        continue;
      }
      first ??= ord;
      last = ord;
      dropped++;
      this.#gone(status, removed);
    }
    dropRun();
    const ended = seen.length < rows && place === (seen.at(-1)?.[0] ?? 0);
    if (tooMuch) this.#lowest = ended ? 0 : place;
    else this.#looked = ended ? 0 : place;
    return { looked: seen.length, dropped, ended };
  }

  #dropAll(first: number, last: number): void {
    this.#drop.run(first, last);
    this.#attachments.drop(first, last);
  }

  #gone(status: number, removed: number[]): void {
    removed[status]! += 1;
    this.#counts.byStatus[status]! -= 1;
  }

  /** The number of records above the limits; their size is known only on average. */
  #excess({ maxKept, maxBytes }: SweepRequest): number {
    const byNumber = this.#counts.final - maxKept;
    const used = (one(this.#pages) - one(this.#freePages)) * this.#pageBytes;
    const byBytes = used <= maxBytes ? 0 : Math.ceil(this.#counts.all * (1 - maxBytes / used));
    return Math.max(0, byNumber, byBytes);
  }
}

function one(statement: StatementSync): number {
  return (statement.get() as unknown as [number])[0];
}
