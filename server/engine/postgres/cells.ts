/**
 * Cells of tasks on their way to PostgreSQL and back. A statement gets each column of its rows as one array, in the text
 * form of PostgreSQL: so one statement takes any number of rows, and is planned once.
 */

import {
  type Cell,
  FIXED_COLUMNS,
  STATE_COLUMNS,
  type StoredTask,
} from "../journaled/task_store.ts";
import { fromStored, keyFromStored, keyToStored, toStored } from "../journaled/stored_text.ts";
import { COLUMN_TYPES, TASK_NAMES, type TaskColumn } from "./schema.ts";

/** Cells of an insert, and of an update, in a `Write`. */
export const INSERT_WIDTH = FIXED_COLUMNS.length + STATE_COLUMNS.length;
export const UPDATE_WIDTH = 2 + STATE_COLUMNS.length;

const SPECIAL = /["\\]/;
const SPECIALS = /["\\]/g;

/** The column at `at` of the rows that begin at `rows` in `cells`, as the text of an array. */
export function columnOf(
  cells: readonly Cell[],
  rows: readonly number[],
  at: number,
  name: TaskColumn,
): string {
  if (name === "key") return textsOf(rows.map((row) => keyToStored(cells[row + at] as string)));
  const isText = COLUMN_TYPES[name] === "text";
  let text = "{";
  for (let i = 0; i < rows.length; i++) {
    const cell = cells[(rows[i] as number) + at] as Cell;
    if (i > 0) text += ",";
    if (cell === null) text += "NULL";
    else text += isText ? elementOf(toStored(cell as string)) : cell;
  }
  return text + "}";
}

/** An array of texts that are in stored form. */
export function textsOf(texts: readonly string[]): string {
  return `{${texts.map(elementOf).join(",")}}`;
}

export function numbersOf(numbers: readonly number[]): string {
  return `{${numbers.join(",")}}`;
}

function elementOf(text: string): string {
  return SPECIAL.test(text) ? `"${text.replace(SPECIALS, "\\$&")}"` : `"${text}"`;
}

/** The columns of a task, for a `select` that `storedTaskOf` reads. */
export const TASK_LIST = TASK_NAMES.join(", ");

/** The task of a row with the columns of `TASK_LIST`. */
export function storedTaskOf(row: readonly Cell[]): StoredTask {
  return {
    ord: row[0] as number,
    id: fromStored(row[1] as string),
    given: row[2] as number,
    op: fromStored(row[3] as string),
    payload: fromStored(row[4] as string),
    options: textOrNull(row[5]),
    key: keyFromStored(row[6] as string),
    priority: row[7] as number,
    createdAt: row[8] as number,
    expiresAt: row[9] as number | null,
    status: row[10] as number,
    seq: row[11] as number,
    runAt: row[12] as number,
    attempt: row[13] as number,
    deaths: row[14] as number,
    startedAt: row[15] as number,
    finishedAt: row[16] as number,
    dropAt: row[17] as number | null,
    result: textOrNull(row[18]),
    error: textOrNull(row[19]),
    trail: textOrNull(row[20]),
  };
}

function textOrNull(cell: Cell | undefined): string | null {
  return typeof cell === "string" ? fromStored(cell) : null;
}
