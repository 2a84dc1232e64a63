/**
 * Reads pages of rows, and leaves out every row that is not what was written, or that does not fit the question.
 *
 * Do not use `iterate()`: in `node:sqlite` of Deno it ends without an error if reading fails.
 */

import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { ROW_COLUMN_LIST } from "./schema.ts";
import type { DamagedRow } from "./store_message.ts";
import type { Cell, PageSize, StoredTask } from "../../journaled/task_store.ts";
import { damagedRow, isDamaged, taskOf } from "./stored_row.ts";

/** Most damaged rows that are reported. */
const MAX_NOTED = 1000;

/** A question for a page of rows: the condition, and their order. */
export interface PageQuery {
  /** The statement from `FROM` on; its last parameter is the limit. */
  readonly sql: string;
  /** The columns of its order: the page after a row begins behind their values. */
  readonly place: readonly string[];
}

interface Prepared {
  readonly sizes: StatementSync;
  readonly rows: StatementSync;
}

/** A query, and its parameters for the rows behind a place. */
interface PageStep {
  readonly query: PageQuery;
  readonly behind: (place: readonly Cell[]) => readonly SQLInputValue[];
}

interface PageAsk {
  readonly size: PageSize;
  /** Together they find all rows behind a place: in order, and all rows of one before the next. */
  readonly steps: readonly PageStep[];
  /** The place to begin behind. */
  readonly from: readonly Cell[];
  /** Whether a row fits the question: a damaged index can lead to a sound row that does not. */
  readonly fits: (task: StoredTask) => boolean;
}

export class RowReader {
  readonly #db: DatabaseSync;
  readonly #byOrd: StatementSync;
  readonly #prepared = new Map<PageQuery, Prepared>();
  readonly #noted = new Set<number>();
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

  /** The row that a statement finds by its `ord`. */
  #one(statement: StatementSync, ord: number): StoredTask | DamagedRow | null {
    try {
      const row = statement.get(ord) as unknown as Cell[] | undefined;
      return row === undefined ? null : taskOf(row);
    } catch (error) {
      // An integer that does not fit a number was never written.
      if (error instanceof RangeError) return damagedRow(ord, null);
      throw error;
    }
  }

  /** Up to `size` tasks. Damaged rows are left out, and returned by `takeDamaged`. */
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
        if (isDamaged(task)) this.note(task);
        else if (fits(task)) tasks.push(task);
        else this.note({ ...damagedRow(task.ord, task.id), message: misplaced(task) });
      }
      // A page without tasks would say that there are no more.
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
      // One of the rows cannot be read at all: read each by itself.
      return found.slice(0, Number(parameters.at(-1))).flatMap(([ord]) =>
        this.byOrd(ord as number) ?? []
      );
    }
  }

  #prepare(query: PageQuery): Prepared {
    let prepared = this.#prepared.get(query);
    if (prepared === undefined) {
      // A damaged integer that is too large to be read must not hide the other rows.
      const place = query.place.map((name) => `min(${name}, ${Number.MAX_SAFE_INTEGER})`);
      // The length in bytes is at least that in characters, and is known without reading the text.
      const bytes = "octet_length(payload) + ifnull(octet_length(result), 0)";
      prepared = {
        sizes: this.prepare(`SELECT ${["ord", bytes, ...place].join(", ")} ${query.sql}`),
        rows: this.prepare(`SELECT ${ROW_COLUMN_LIST} ${query.sql}`),
      };
      this.#prepared.set(query, prepared);
    }
    return prepared;
  }

  /** Notes a damaged row for the log, once. */
  note(row: DamagedRow): void {
    if (this.#noted.has(row.ord) || this.#noted.size >= MAX_NOTED) return;
    this.#noted.add(row.ord);
    this.#met.push(row);
  }

  /** The damaged rows that were found since the last call. */
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

/** The declarations of Deno lack it; every version that sd runs on has it. */
interface ArrayStatement extends StatementSync {
  setReturnArrays(on: boolean): void;
}

/** A statement whose rows are arrays: half the cost of objects, and no names from the file to trust. */
export function prepareArrays(db: DatabaseSync, sql: string): StatementSync {
  const statement = db.prepare(sql) as ArrayStatement;
  statement.setReturnArrays(true);
  return statement;
}
