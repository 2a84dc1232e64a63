/**
 * Reads tasks for clients: by id, and in lists. Each task is returned as it is in memory, or as it is on disk if it is not
 * in memory. A row that was read can be used until the next wait for anything; by then the task can be in memory.
 */

import { isFinal, type Status } from "../../../protocol/task.ts";
import {
  type Asker,
  type GetOptions,
  type Listed,
  type ListRequest,
  MAX_AHEAD,
  type TaskRecord,
  type WaitReason,
} from "../engine.ts";
import { faultError } from "./fault_error.ts";
import { codeOf, committedRecord, readRow } from "./rows.ts";
import { LOG_KIND, StoreError, type TaskCalls, type TaskStore } from "./task_store.ts";
import type { LiveTask } from "../live/live_task.ts";
import type { LiveTasks } from "../live/live_tasks.ts";
import { listPage, readCursor } from "../live/query.ts";
import { isAhead, waitReasonOf, waitsInLine } from "../live/wait_reason.ts";
import { checkThere, type ReadTurns } from "../read_turns.ts";
import { logFromText, type TaskLog } from "../../task/task_log.ts";

export type FoundTasks = ReadonlyMap<string, LiveTask>;

export const NO_TASKS: FoundTasks = new Map();

export class TaskFinder {
  readonly #store: TaskStore;
  readonly #live: LiveTasks;
  readonly #turns: ReadTurns;

  constructor(store: TaskStore, live: LiveTasks, turns: ReadTurns) {
    this.#store = store;
    this.#live = live;
    this.#turns = turns;
  }

  /**
   * The tasks with these ids that are on disk. If one id of a request is not in memory, ask for all of its ids: a task that
   * is in memory now can have left it when the answer comes. Rejects with `internal` if a record is damaged.
   */
  async find(ids: readonly string[], asker?: Asker): Promise<FoundTasks> {
    const found = new Map<string, LiveTask>();
    await this.#turns.start(asker);
    try {
      const looking = this.#store.call("find", { ids }).catch((error) => {
        // A store that lost its connection cannot say what the rows were when it was asked. It can say what they are now.
        if (!(error instanceof StoreError) || error.fault !== "io") throw error;
        return this.#store.call("find", { ids });
      });
      const rows = await this.#turns.during(asker, looking);
      for (const row of rows) if (row) found.set(row.id, readRow(row));
    } catch (error) {
      throw faultError(error);
    }
    // Nothing is changed for a client that has left: the engine can be about to close.
    checkThere(asker);
    return found;
  }

  /** Whether all of them are in memory. */
  has(ids: readonly string[]): boolean {
    return ids.every((id) => this.#live.index.get(id));
  }

  async records(
    ids: readonly string[],
    { waitReasonAt, log, asker }: GetOptions,
  ): Promise<(TaskRecord | undefined)[]> {
    const rows = this.has(ids) ? NO_TASKS : await this.find(ids, asker);
    const tasks = ids.map((id) => this.#live.index.get(id) ?? rows.get(id));
    let records = tasks.map((task) => task && committedRecord(task));
    if (log) records = await this.#withLogs(tasks, records, asker);
    if (waitReasonAt === undefined) return records;
    return await Promise.all(tasks.map(async (task, i) => {
      const record = records[i];
      if (!task || !record || isFinal(record.status)) return record;
      return { ...record, waitReason: await this.#waitReason(task, waitReasonAt, asker) };
    }));
  }

  /** Adds the logs, which are on disk: output of runs that have ended. */
  async #withLogs(
    tasks: readonly (LiveTask | undefined)[],
    records: readonly (TaskRecord | undefined)[],
    asker: Asker | undefined,
  ): Promise<(TaskRecord | undefined)[]> {
    const ords = tasks.flatMap((task) => task?.history?.logged ? task.serial : []);
    const logs = new Map<number, TaskLog>();
    if (ords.length > 0) {
      await this.#turns.start(asker);
      const stored = await this.#turns.during(
        asker,
        this.#store.call("attachments", { kind: LOG_KIND, ords }),
      );
      stored.forEach((text, i) => text !== null && logs.set(ords[i]!, logFromText(text)));
    }
    return records.map((record, i) => {
      const log = logs.get(tasks[i]?.serial ?? 0);
      return record && log ? { ...record, log } : record;
    });
  }

  async #waitReason(task: LiveTask, now: number, asker: Asker | undefined): Promise<WaitReason> {
    const waitReason = waitReasonOf(this.#live, task, now);
    if (!waitsInLine(waitReason)) return waitReason;
    const { priority, seq } = task;
    // Running tasks are queued on disk.
    let running = 0;
    for (const [, other] of this.#live.running.entries()) if (isAhead(other, task)) running++;
    await this.#turns.start(asker);
    const counting = this.#store.call("ahead", {
      priority,
      seq,
      limit: MAX_AHEAD,
      mayLag: true,
    });
    const ahead = await this.#turns.during(asker, counting);
    return { ...waitReason, ahead: Math.max(0, ahead - running) };
  }
}

/** Most looks at the store for a page. Other requests wait for a single look at most. */
const MAX_LOOKS = 100;
/** Most tasks of one look. */
const LOOK_TASKS = 100;
/** Most characters of payloads and results in one look. */
const PAGE_CHARS = 16 * 1024 * 1024;

interface ListingOptions {
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
  // Running tasks are queued on disk.
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
      mayLag: true,
    });
    const page = await turns.during(asker, looking);
    for (const row of page.tasks) {
      const record = committedRecord(live.index.get(row.id) ?? readRow(row));
      if (!record || (status !== undefined && record.status !== status)) continue;
      if (tasks.length === limit) return { tasks, cursor: String(last) };
      tasks.push(record);
      last = row.ord;
    }
    ord = page.next;
  }
  return { tasks, cursor: undefined };
}

/** The statuses on disk of tasks with this status on the wire; no statuses stand for all. */
function storedAs(status: Exclude<Status, "running"> | undefined): number[] {
  if (status === undefined) return [];
  const isOpen = status === "queued" || status === "delayed";
  return isOpen ? [codeOf(status), codeOf("waiting")] : [codeOf(status)];
}
