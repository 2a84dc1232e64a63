/** Brings the tasks that come after others to hand when a file is opened: all of them, in whatever order. */

import { parentsOf } from "../live/enqueue_rules.ts";
import type { LiveTask } from "../live/live_task.ts";
import type { LiveTasks } from "../live/live_tasks.ts";
import { readRow } from "./rows.ts";
import type { TaskStore } from "./task_store.ts";

const PAGE = { limit: 1000, maxChars: 8 * 1024 * 1024 };

export interface WaitingOptions {
  readonly store: TaskStore;
  readonly live: LiveTasks;
  readonly now: number;
}

export async function openChildren({ store, live, now }: WaitingOptions): Promise<void> {
  for (let ord = 0;;) {
    const rows = await store.call("waiting", { ord, ...PAGE });
    const last = rows.at(-1);
    if (!last) return;
    ord = last.ord;
    const children = rows.map(readRow);
    const ids = [...new Set(children.flatMap(({ task }) => task.after))];
    const parents = new Map<string, LiveTask>();
    for (const row of await store.call("find", { ids })) {
      if (row) parents.set(row.id, readRow(row));
    }
    const known = (id: string) => live.index.get(id) ?? parents.get(id);
    for (const child of children) addChild(child, known);
  }

  function addChild(child: LiveTask, known: (id: string) => LiveTask | undefined): void {
    // Whether it waits for others or only for its time, is seen anew.
    if (live.delayed.dueAt(child) <= now) {
      child.state = { ...child.state, status: "queued" };
      live.census.moved(child.op, "delayed", "queued");
    }
    const found = parentsOf(child.task.after, known);
    live.add(child, typeof found === "string" ? child.task.after.map(gone) : found, now);
  }
}

/** A record that is gone says nothing of how its task ended: nobody can wait for it. */
function gone() {
  return { serial: 0, status: "expired" as const, result: undefined };
}
