/** Pages of tasks from the file, each as it is at hand where it is. */

import type { Status } from "../../../protocol/task.ts";
import type { Listed, ListRequest, TaskRecord } from "../engine.ts";
import { readCursor } from "../live/list_cursor.ts";
import { listPage } from "../live/list_filter.ts";
import type { LiveTasks } from "../live/live_tasks.ts";
import type { ReadTurns } from "../live/read_turns.ts";
import { codeOf, readRow, safeRecord } from "./rows.ts";
import type { TaskCalls, TaskStore } from "./task_store.ts";

/** Looks at the file for one page: others wait for one of them, but for all of them the caller does. */
const MAX_LOOKS = 100;
/** Tasks that one look answers with. */
const LOOK_TASKS = 100;
/** Characters of payloads and results in one page. */
const PAGE_CHARS = 16 * 1024 * 1024;

export interface ListingOptions {
  readonly store: TaskStore;
  readonly live: LiveTasks;
  readonly turns: ReadTurns;
}

export async function listTasks(
  { store, live, turns }: ListingOptions,
  request: ListRequest,
): Promise<Listed> {
  const { status, op, key, createdSince, limit, oldestFirst = false } = request;
  const { asker } = request;
  // What runs is queued on disk.
  if (status === "running") return await turns.run(asker, listPage(live, request));
  const first = request.cursor === undefined ? undefined : readCursor(request.cursor);
  let ord: number | null = first ?? (oldestFirst ? 0 : Number.MAX_SAFE_INTEGER);
  const tasks: TaskRecord[] = [];
  let last = 0;
  for (let looks = 0; ord !== null; looks++) {
    if (looks >= MAX_LOOKS) return { tasks, cursor: String(ord) };
    await turns.start(asker);
    const looking: Promise<TaskCalls["list"]["answer"]> = store.call("list", {
      ord,
      oldestFirst,
      statuses: storedAs(status),
      op: op ?? null,
      key: key ?? null,
      createdSince: createdSince ?? 0,
      limit: Math.min(limit + 1 - tasks.length, LOOK_TASKS),
      maxChars: PAGE_CHARS,
    });
    const page = await turns.during(asker, looking);
    for (const row of page.tasks) {
      const record = safeRecord(live.index.get(row.id) ?? readRow(row));
      if (!record || (status !== undefined && record.status !== status)) continue;
      if (tasks.length === limit) return { tasks, cursor: String(last) };
      tasks.push(record);
      last = row.ord;
    }
    ord = page.next;
  }
  return { tasks, cursor: undefined };
}

/** The statuses on disk under which one of the wire may be found; none stands for all. */
function storedAs(status: Exclude<Status, "running"> | undefined): number[] {
  if (status === undefined) return [];
  const isOpen = status === "queued" || status === "delayed";
  return isOpen ? [codeOf(status), codeOf("waiting")] : [codeOf(status)];
}
