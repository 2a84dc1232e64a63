/**
 * Tasks that come into memory without a page. `openChildren` reads all tasks that come after others when a store is opened.
 * `adoptStored` brings tasks whose runs go on, `expireStored` tasks that were not started in time.
 * `Recheck` compares tasks that wait on disk with the pager's knowledge of them, the oldest first, and brings those into
 * memory that no page would find. There are none unless sd has a fault. A recheck reads a bounded part of the store, and
 * the next one goes on from there. Answers come in the order of requests, so a row without a task in memory is up to date.
 */

import type { LeasedTask, Rechecked } from "../engine.ts";
import type { AdoptRequest } from "../adoption.ts";
import type { Pager } from "./pager.ts";
import { codeOf, readRow } from "./rows.ts";
import { type FoundTasks, NO_TASKS, type TaskFinder } from "./task_finder.ts";
import type { TaskStore } from "./task_store.ts";
import { adoptRuns, parentsOf } from "../live/enqueue_rules.ts";
import type { LiveTask } from "../live/live_task.ts";
import type { LiveTasks } from "../live/live_tasks.ts";
import { repairQueue } from "../live/wait_reason.ts";
import { type ReadTurns, SERVER } from "../read_turns.ts";

/** Pages of one recheck. */
const PAGES = 5;
/** Size of a page. */
const PAGE = { limit: 1000, maxChars: 8 * 1024 * 1024 };
/** Queued and delayed tasks of any op and key. */
const WAITING = {
  oldestFirst: true,
  statuses: [codeOf("queued"), codeOf("delayed")],
  op: null,
  key: null,
  createdSince: 0,
  ...PAGE,
};

export class Recheck {
  /** The `ord` from which the next recheck goes on. */
  #ord = 0;

  constructor(
    readonly store: Pick<TaskStore, "call">,
    readonly pager: Pick<Pager, "isLost" | "bring" | "state">,
    readonly live: LiveTasks,
    readonly turns: ReadTurns,
  ) {}

  /** Also repairs the queue in memory. An engine that `isStuck` leases no tasks, so none of `ops` can start. */
  async look(ops: ReadonlySet<string>, isStuck: boolean, now: number): Promise<Rechecked> {
    const { pager, live } = this;
    const knew = pager.state;
    const lost = await this.#lookOnDisk();
    const { found, startable } = await this.turns.run(SERVER, repairQueue(live, ops, now));
    return { found: lost + found, startable: isStuck ? 0 : startable, knew };
  }

  /** Resolves with the number of tasks that it brought into memory. */
  async #lookOnDisk(): Promise<number> {
    const { store, pager } = this;
    let found = 0;
    for (let page = 0; page < PAGES; page++) {
      const { tasks, next } = await store.call("list", { ...WAITING, ord: this.#ord });
      for (const row of tasks) {
        if (!pager.isLost(row)) continue;
        pager.bring(row);
        found++;
      }
      this.#ord = next ?? 0;
      if (next === null) break;
    }
    return found;
  }
}

interface StoredOptions {
  readonly live: LiveTasks;
  readonly pager: Pick<Pager, "bringToEnd">;
}

/** Goes on with runs of tasks that can be on disk alone; see `Engine.adopt`. */
export async function adoptStored(
  { finder, live, pager }: StoredOptions & { readonly finder: Pick<TaskFinder, "has" | "find"> },
  request: AdoptRequest,
  now: number,
): Promise<(LeasedTask | undefined)[]> {
  const adopt = (rows: FoundTasks) =>
    adoptRuns(
      {
        live,
        known: (id) => live.index.get(id) ?? rows.get(id),
        bring: (task) => live.index.get(task.id) ?? pager.bringToEnd(task),
      },
      request,
      now,
    );
  const ids = request.runs.map(({ id }) => id);
  // Tasks in memory at once: they could start elsewhere while the store is read.
  const first = adopt(NO_TASKS);
  if (finder.has(ids)) return first;
  const rest = adopt(await finder.find(ids));
  return first.map((task, i) => task ?? rest[i]);
}

/** Most tasks on disk that one call expires. */
const EXPIRED_PAGE = { limit: 5000, maxChars: 8 * 1024 * 1024 };

/** Expires tasks on disk that did not start in time. */
export async function expireStored(
  { store, live, pager }: StoredOptions & { readonly store: Pick<TaskStore, "call"> },
  now: number,
): Promise<void> {
  for (const row of await store.call("expired", { now, ...EXPIRED_PAGE })) {
    if (live.index.get(row.id) || live.gate.takeover?.reserves(row.id, now)) continue;
    const task = readRow(row);
    pager.bringToEnd(task);
    live.expireOne(task, now);
  }
}

interface WaitingOptions {
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
    // The row does not say whether it still waits for others or only for its time.
    if (live.delayed.dueAt(child) <= now) {
      child.state = { ...child.state, status: "queued" };
      live.counts.moved(child.op, "delayed", "queued");
    }
    const found = parentsOf(child.task.after, known);
    live.add(child, typeof found === "string" ? child.task.after.map(gone) : found, now);
  }
}

/** Stands for a parent without a record: its end is unknown, so no task can wait for it. */
function gone() {
  return { serial: 0, status: "expired" as const, result: undefined };
}
