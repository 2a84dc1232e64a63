/** Tasks as rows, for the tests of every store; and sqlite stores in temporary folders. */

import { Serials } from "../../server/task/task_id.ts";
import { Store, type StoreOptions } from "../../server/engine/sqlite/store.ts";
import {
  type Cell,
  FIXED_COLUMNS,
  type Opened,
  STATE_COLUMNS,
  STORED_STATUSES,
  type StoredStatus,
  type StoredTask,
  type Write,
} from "../../server/engine/journaled/task_store.ts";

export const NOW = 1_750_000_000_000;
export const PLENTY = { limit: 1000, maxChars: 1e9 };
/** A `list` of any op, key and time. */
export const ANY_TASK = { op: null, key: null, createdSince: 0 };
const SERIALS = new Serials();
export const NO_CHANGE: Write = { inserts: [], updates: [], attachments: [], settings: [] };

export function statusIndex(status: StoredStatus): number {
  return STORED_STATUSES.indexOf(status);
}

/** A queued task; `more` says what is different. */
export function task(ord: number, more: Partial<StoredTask> = {}): StoredTask {
  return {
    ord,
    id: SERIALS.idOf(ord, NOW),
    given: 0,
    op: "square",
    payload: `"n":${ord}}`,
    options: null,
    key: null,
    priority: 0,
    createdAt: NOW,
    expiresAt: null,
    status: statusIndex("queued"),
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
    ...more,
  };
}

export function completed(ord: number, more: Partial<StoredTask> = {}): StoredTask {
  return task(ord, {
    status: statusIndex("completed"),
    attempt: 1,
    startedAt: NOW,
    finishedAt: NOW,
    result: `${ord * ord}`,
    ...more,
  });
}

export function inserts(tasks: readonly StoredTask[]): Write {
  const columns = [...FIXED_COLUMNS, ...STATE_COLUMNS];
  return {
    ...NO_CHANGE,
    inserts: tasks.flatMap((task) => columns.map((name): Cell => task[name])),
  };
}

/** Every task as it is now, with the status that its row has. */
export function updates(changes: readonly { task: StoredTask; was: StoredStatus }[]): Write {
  return {
    ...NO_CHANGE,
    updates: changes.flatMap(({ task, was }) => [
      task.ord,
      statusIndex(was),
      ...STATE_COLUMNS.map((name): Cell => task[name]),
    ]),
  };
}

export function ords(tasks: readonly StoredTask[]): number[] {
  return tasks.map(({ ord }) => ord);
}

/** Runs `test` with the path of a file that does not exist yet, in a folder that goes away afterwards. */
export async function withPath(test: (path: string) => unknown): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sd-store-" });
  try {
    await test(`${folder}/sd.db`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

export function open(
  path: string,
  more: Partial<StoreOptions> = {},
): Promise<{ store: Store; opened: Opened }> {
  return Store.open({ path, durability: "normal", now: NOW, ...more });
}

/** Opens the store at `path`, runs `test` and closes it, whatever happens. */
export async function withStore(
  path: string,
  test: (store: Store, opened: Opened) => unknown,
  more: Partial<StoreOptions> = {},
): Promise<void> {
  const { store, opened } = await open(path, more);
  try {
    await test(store, opened);
  } finally {
    await store.close();
  }
}

/** Every task that `list` finds, the first submitted first. */
export async function allOrds(store: Store): Promise<number[]> {
  const ask = { ord: 0, oldestFirst: true, statuses: [], ...ANY_TASK, ...PLENTY };
  return ords((await store.call("list", ask)).tasks);
}
