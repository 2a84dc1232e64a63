/** What the tests of the store contract say in few words. */

import {
  type StoreCounts,
  type StoredTask,
  StoreError,
  type TaskCalls,
  type TaskStore,
} from "../../server/engine/journaled/task_store.ts";
import type { OutboxRow } from "../../server/engine/outbox.ts";
import { logToText } from "../../server/task/task_log.ts";
import type { OpenStore } from "./store_contract.ts";
import { ANY_TASK, NOW, PLENTY } from "./store_rows.ts";

/** Texts that some store would change. */
export const ODD_TEXTS = [
  "a\0b",
  "\ud800",
  "x\udfffy",
  "\x1a",
  "\x1a0000",
  "\x1a-",
  "😀",
  "",
  "\ud83d😀\ude00",
  "\ufffe\ufeff",
  "\\u0000 \\x 'quoted' \"twice\" {1,2} %s $1",
  "ÄäſßİI",
  " leading and trailing ",
];

/** The stored text of a log with one line. */
export const SERVER_LOG = logToText([
  { n: 1, at: NOW, attempt: 1, retries: 0, level: "info", text: "first" },
]);

/** No record is held. */
export const HELD = { version: 0, ords: () => [] };

export function find(
  store: TaskStore,
  tasks: readonly StoredTask[],
): Promise<(StoredTask | null)[]> {
  return store.call("find", { ids: tasks.map(({ id }) => id) });
}

/** Every task, the first submitted first. */
export async function allTasks(store: TaskStore): Promise<StoredTask[]> {
  const all: StoredTask[] = [];
  let ord: number | null = 0;
  while (ord !== null) {
    const ask = { oldestFirst: true, statuses: [], ...ANY_TASK, ...PLENTY };
    const page: TaskCalls["list"]["answer"] = await store.call("list", { ...ask, ord });
    all.push(...page.tasks);
    ord = page.next;
  }
  return all;
}

export async function outboxOf(store: TaskStore): Promise<OutboxRow[]> {
  return await store.call("outbox", { after: 0, ...PLENTY });
}

/** The counts of an opening, once they are there. */
export async function countsOf({ opened }: OpenStore): Promise<StoreCounts> {
  return await opened.counting ?? opened;
}

/** The error of a request that must fail. */
export async function rejection(call: Promise<unknown>): Promise<StoreError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
  throw new Error("the request was answered, but it had to fail");
}
