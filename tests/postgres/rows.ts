/** Rows of tasks for tests of the PostgreSQL store, whose ids tests can name. */

import {
  type Cell,
  FIXED_COLUMNS,
  STATE_COLUMNS,
  type StoredTask,
  type Write,
} from "../../server/engine/journaled/task_store.ts";
import { NO_CHANGE, task } from "../contract/store_rows.ts";

const NOW = 1_800_000_000_000;

/** A queued task, except for `fields`. */
export function taskRow(ord: number, fields: Partial<StoredTask> = {}): StoredTask {
  return task(ord, {
    id: `task-${ord}`,
    given: 1,
    payload: `{"n":${ord}}`,
    createdAt: NOW,
    runAt: NOW,
    ...fields,
  });
}

export function cellsOf(row: StoredTask): Cell[] {
  return [...FIXED_COLUMNS, ...STATE_COLUMNS].map((name) => row[name]);
}

export function insertOf(ord: number, fields: Partial<StoredTask> = {}): Cell[] {
  return cellsOf(taskRow(ord, fields));
}

/** A change of a row to `row`, which is in the status `before`. */
export function updateOf(row: StoredTask, before: number): Cell[] {
  return [row.ord, before, ...STATE_COLUMNS.map((name) => row[name])];
}

export function writeOf(parts: Partial<Write>): Write {
  return { ...NO_CHANGE, ...parts };
}
