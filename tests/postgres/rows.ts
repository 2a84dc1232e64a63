/** Rows of tasks for tests of a store. */

import {
  type Cell,
  FIXED_COLUMNS,
  STATE_COLUMNS,
  type StoredTask,
  type Write,
} from "../../server/engine/journaled/task_store.ts";

const NOW = 1_800_000_000_000;

/** A queued task, except for `fields`. */
export function taskRow(ord: number, fields: Partial<StoredTask> = {}): StoredTask {
  return {
    ord,
    id: `task-${ord}`,
    given: 1,
    op: "square",
    payload: `{"n":${ord}}`,
    options: null,
    key: null,
    priority: 0,
    createdAt: NOW,
    expiresAt: null,
    status: 0,
    seq: ord,
    runAt: NOW,
    attempt: 0,
    deaths: 0,
    startedAt: 0,
    finishedAt: 0,
    dropAt: null,
    result: null,
    error: null,
    trail: null,
    ...fields,
  };
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
  return { inserts: [], updates: [], attachments: [], settings: [], ...parts };
}
