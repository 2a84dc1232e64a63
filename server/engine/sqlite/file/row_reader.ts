/**
 * Reads pages of rows, and lets no row through that is not what was written, or not what was asked for.
 *
 * Never by `iterate()`: in `node:sqlite` of Deno that ends without a word where reading fails.
 */

import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { prepareArrays } from "./array_rows.ts";
import { ROW_COLUMN_LIST } from "./schema.ts";
import type { DamagedRow } from "./store_message.ts";
import type { Cell, PageSize, StoredTask } from "../../journaled/task_store.ts";
import { damagedRow, isDamaged, taskOf } from "./stored_row.ts";

/** Of rows that were met; more than these are not told one by one. */
const MAX_TOLD = 1000;

/** A question for a page of rows: the condition, and their order. */
export interface PageQuery {
  /** From `FROM` on; the last parameter is the limit. */
  readonly sql: string;
  /** The columns that its order goes by: the page after a row begins behind them. */
  readonly place: readonly string[];
}

interface Prepared {
  readonly sizes: StatementSync;
  readonly rows: StatementSync;
}

/** One query, and its parameters for what is behind a row with that place. */
export interface PageStep {
  readonly query: PageQuery;
  readonly behind: (place: readonly Cell[]) => readonly SQLInputValue[];
}

export interface PageAsk {
  readonly size: PageSize;
  /** Together they find all that is behind a place, each in order and before the next one. */
  readonly steps: readonly PageStep[];
  /** Where to begin. */
  readonly from: readonly Cell[];
  /** An index that is damaged may lead to a row that is sound, but another one. */
  readonly fits: (task: StoredTask) => boolean;
}

export class RowReader {
  readonly #db: DatabaseSync;
  readonly #byOrd: StatementSync;
  readonly #prepared = new Map<PageQuery, Prepared>();
  readonly #told = new Set<number>();
  #met: DamagedRow[] = [];

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#byOrd = this.prepare(`SELECT ${ROW_COLUMN_LIST} FROM tasks WHERE ord = ?`);
  }

  /** A statement whose rows are arrays. */
  prepare(sql: string): StatementSync {
    return prepareArrays(this.#db, sql);
  }

  byOrd(ord: number): StoredTask | DamagedRow | null {
    return this.#one(this.#byOrd, ord);
  }

  /** The row that a statement finds by one value. */
  #one(statement: StatementSync, ord: number): StoredTask | DamagedRow | null {
    try {
      const row = statement.get(ord) as unknown as Cell[] | undefined;
      return row === undefined ? null : taskOf(row);
    } catch (error) {
      // An integer that was never written, since it fits no number.
      if (error instanceof RangeError) return damagedRow(ord, null);
      throw error;
    }
  }

  /** Up to `size` tasks. Damaged rows are left out and told by `takeDamaged`. */
  page({ size, steps, from, fits }: PageAsk): StoredTask[] {
    const tasks: StoredTask[] = [];
    let place = from;
    let chars = 0;
    let next = 0;
    while (tasks.length < size.limit && next < steps.length) {
      const { query, behind } = steps[next] as PageStep;
      const { sizes, rows } = this.#prepare(query);
      const wanted = size.limit - tasks.length;
      const found = sizes.all(...behind(place), wanted) as unknown as Cell[][];
      let count = 0;
      for (const row of found) {
        chars += row[1] as number;
        if (chars > size.maxChars && tasks.length + count > 0) break;
        count++;
      }
      const cut = count < found.length;
      const whole = this.#all(rows, [...behind(place), count], found);
      for (const task of whole) {
        if (isDamaged(task)) this.tell(task);
        else if (fits(task)) tasks.push(task);
        else this.tell({ ...damagedRow(task.ord, task.id), message: misplaced(task) });
      }
      // A page without tasks would mean that there are no more.
      if (cut && tasks.length > 0) break;
      if (cut) chars = 0;
      place = found[count - 1]?.slice(2) ?? place;
      next = !cut && found.length < wanted ? next + 1 : 0;
    }
    return tasks;
  }

  #all(
    rows: StatementSync,
    parameters: readonly SQLInputValue[],
    found: readonly Cell[][],
  ): (StoredTask | DamagedRow)[] {
    try {
      return (rows.all(...parameters) as unknown as Cell[][]).map(taskOf);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      // One row of them cannot be read at all: so each by itself.
      return found.slice(0, Number(parameters.at(-1))).flatMap(([ord]) =>
        this.byOrd(ord as number) ?? []
      );
    }
  }

  #prepare(query: PageQuery): Prepared {
    let prepared = this.#prepared.get(query);
    if (prepared === undefined) {
      // An integer too large to be read, which was never written, must not hide the other rows.
      const place = query.place.map((name) => `min(${name}, ${Number.MAX_SAFE_INTEGER})`);
      // In bytes, which takes no look at the text, and is at least as many as characters.
      const bytes = "octet_length(payload) + ifnull(octet_length(result), 0)";
      prepared = {
        sizes: this.prepare(`SELECT ${["ord", bytes, ...place].join(", ")} ${query.sql}`),
        rows: this.prepare(`SELECT ${ROW_COLUMN_LIST} ${query.sql}`),
      };
      this.#prepared.set(query, prepared);
    }
    return prepared;
  }

  /** Notes a damaged row for the log; the same one only once. */
  tell(row: DamagedRow): void {
    if (this.#told.has(row.ord) || this.#told.size >= MAX_TOLD) return;
    this.#told.add(row.ord);
    this.#met.push(row);
  }

  /** What was met since the last call. */
  takeDamaged(): DamagedRow[] {
    if (this.#met.length === 0) return this.#met;
    const met = this.#met;
    this.#met = [];
    return met;
  }
}

function misplaced({ ord, id }: StoredTask): string {
  return `an index is damaged: it names task number ${ord}, id ${JSON.stringify(id)}, where that ` +
    "one does not belong";
}
