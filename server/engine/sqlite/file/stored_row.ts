/**
 * A task as a row of the file, and back. Two sums (CRC-32) are stored with it: one over the columns that never change, one
 * over `ord` and the columns that do. So a row that is not what was written is never taken for a task.
 */

import { crc32 } from "node:zlib";
import { type DamagedRow } from "./store_message.ts";
import {
  type Cell,
  FIXED_COLUMNS,
  STATE_COLUMNS,
  type StoredTask,
} from "../../journaled/task_store.ts";
import { fromStored, keyFromStored, keyToStored, toStored } from "../../journaled/stored_text.ts";

/** Stands for `null` in a sum over a row; it is never a stored text. */
const NULL_MARK = "\x1a";

/** The columns in the order in which rows are read and written. */
export const ROW_COLUMNS = [...FIXED_COLUMNS, "fixedSum", ...STATE_COLUMNS, "stateSum"] as const;
/** The columns that an update sets, in its order; `ord` and the status on disk come after them. */
export const CHANGED_COLUMNS = [...STATE_COLUMNS, "stateSum"] as const;

const FIXED = FIXED_COLUMNS.length;
const STATE = STATE_COLUMNS.length;
export const INSERT_CELLS = FIXED + STATE;
export const UPDATE_CELLS = 2 + STATE;

// Places in a row, and in the cells of a `Write`.
const [ID, OP, PAYLOAD, OPTIONS, KEY] = [1, 3, 4, 5, 6];
const [RESULT, ERROR, TRAIL] = [8, 9, 10];
const FIXED_SUM = FIXED;
const STATE_AT = FIXED + 1;
const STATE_SUM = STATE_AT + STATE;

/** Appends the row of the insert at `at` to the parameters `into`. */
export function pushInsert(cells: readonly Cell[], at: number, into: Cell[]): void {
  const start = into.length;
  for (let i = 0; i < FIXED; i++) into.push(cells[at + i] as Cell);
  for (const place of [ID, OP, PAYLOAD] as const) {
    into[start + place] = toStored(into[start + place] as string);
  }
  const options = into[start + OPTIONS] as string | null;
  if (options !== null) into[start + OPTIONS] = toStored(options);
  into[start + KEY] = keyToStored(into[start + KEY] as string | null);
  into.push(fixedSum(into, start));
  pushState(cells, at + FIXED, into[start] as number, into);
}

/** Appends the parameters of the update at `at`: new values, then the two cells that find its row. */
export function pushUpdate(cells: readonly Cell[], at: number, into: Cell[]): void {
  const ord = cells[at] as number;
  pushState(cells, at + 2, ord, into);
  into.push(ord, cells[at + 1] as number);
}

function pushState(cells: readonly Cell[], at: number, ord: number, into: Cell[]): void {
  const start = into.length;
  for (let i = 0; i < STATE; i++) into.push(cells[at + i] as Cell);
  const [result, error] = [into[start + RESULT] as Cell, into[start + ERROR] as Cell];
  if (result !== null) into[start + RESULT] = toStored(result as string);
  if (error !== null) into[start + ERROR] = toStored(error as string);
  const trail = into[start + TRAIL] as Cell;
  if (trail !== null) into[start + TRAIL] = toStored(trail as string);
  into.push(stateSum(ord, into, start));
}

function fixedSum(row: readonly Cell[], at: number): number {
  let text = `${row[at]}`;
  for (let i = 1; i < FIXED; i++) text += `\0${row[at + i] ?? NULL_MARK}`;
  return crc32(text);
}

function stateSum(ord: number, row: readonly Cell[], at: number): number {
  let text = `${ord}`;
  for (let i = 0; i < TRAIL; i++) text += `\0${row[at + i] ?? NULL_MARK}`;
  // The sums of version 1 do not cover it.
  if (row[at + TRAIL] !== null) text += `\0${row[at + TRAIL]}`;
  return crc32(text);
}

/** The task of a row with the cells of `ROW_COLUMNS`, or a report of its damage. */
export function taskOf(row: readonly Cell[]): StoredTask | DamagedRow {
  const ord = row[0] as number;
  const sound = row[FIXED_SUM] === fixedSum(row, 0) &&
    row[STATE_SUM] === stateSum(ord, row, STATE_AT);
  if (!sound) return damagedRow(ord, row[ID] ?? null);
  return {
    ord,
    id: fromStored(row[ID] as string),
    given: row[2] as number,
    op: fromStored(row[OP] as string),
    payload: fromStored(row[PAYLOAD] as string),
    options: textOrNull(row[OPTIONS]),
    key: keyFromStored(row[KEY] as string),
    priority: row[7] as number,
    createdAt: row[8] as number,
    expiresAt: row[9] as number | null,
    status: row[STATE_AT] as number,
    seq: row[STATE_AT + 1] as number,
    runAt: row[STATE_AT + 2] as number,
    attempt: row[STATE_AT + 3] as number,
    deaths: row[STATE_AT + 4] as number,
    startedAt: row[STATE_AT + 5] as number,
    finishedAt: row[STATE_AT + 6] as number,
    dropAt: row[STATE_AT + 7] as number | null,
    result: textOrNull(row[STATE_AT + RESULT]),
    error: textOrNull(row[STATE_AT + ERROR]),
    trail: textOrNull(row[STATE_AT + TRAIL]),
  };
}

/** A damaged row; its message goes to the log and into the error of `find`. */
export function damagedRow(ord: number, id: Cell): DamagedRow {
  const name = typeof id === "string" ? fromStored(id) : null;
  const called = name === null ? "" : `, its id as far as it can be read ${JSON.stringify(name)}`;
  return {
    ord,
    id: name,
    message: `the record of task number ${ord} is damaged${called}: it is not what was written`,
  };
}

export function isDamaged(found: StoredTask | DamagedRow): found is DamagedRow {
  return "message" in found;
}

function textOrNull(cell: Cell | undefined): string | null {
  return typeof cell === "string" ? fromStored(cell) : null;
}
