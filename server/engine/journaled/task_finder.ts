/**
 * Finds tasks by their ids, at hand or on disk. What was read from disk may be used until the next wait for
 * anything, and gives way to what is at hand by then.
 */

import { isFinal } from "../../../protocol/task.ts";
import { logFromText, type TaskLog } from "../../task/task_log.ts";
import {
  type Asker,
  type GetOptions,
  MAX_AHEAD,
  type TaskRecord,
  type WaitReason,
} from "../engine.ts";
import type { LiveTask } from "../live/live_task.ts";
import type { LiveTasks } from "../live/live_tasks.ts";
import { checkThere, type ReadTurns } from "../live/read_turns.ts";
import { isAhead, standingOf, waitsInLine } from "../live/wait_reason.ts";
import { faultError } from "./journal.ts";
import { readRow, safeRecord } from "./rows.ts";
import type { TaskStore } from "./task_store.ts";

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
   * Those that are on disk. Ask for all of which any is not at hand, not for that one alone: what is at hand now
   * may have left when the answer comes. Throws `internal` when a record is damaged.
   */
  async find(ids: readonly string[], asker?: Asker): Promise<FoundTasks> {
    const found = new Map<string, LiveTask>();
    await this.#turns.start(asker);
    try {
      const rows = await this.#turns.during(asker, this.#store.call("find", { ids }));
      for (const row of rows) if (row) found.set(row.id, readRow(row));
    } catch (error) {
      throw faultError(error);
    }
    // Nothing is changed for a client that has left: the engine may be about to close.
    checkThere(asker);
    return found;
  }

  /** All of them are at hand. */
  has(ids: readonly string[]): boolean {
    return ids.every((id) => this.#live.index.get(id));
  }

  async records(
    ids: readonly string[],
    { standingAt, log, asker }: GetOptions,
  ): Promise<(TaskRecord | undefined)[]> {
    const rows = this.has(ids) ? NO_TASKS : await this.find(ids, asker);
    const tasks = ids.map((id) => this.#live.index.get(id) ?? rows.get(id));
    let records = tasks.map((task) => task && safeRecord(task));
    if (log) records = await this.#withLogs(tasks, records, asker);
    if (standingAt === undefined) return records;
    return await Promise.all(tasks.map(async (task, i) => {
      const record = records[i];
      if (!task || !record || isFinal(record.status)) return record;
      return { ...record, standing: await this.#standing(task, standingAt, asker) };
    }));
  }

  /** Only what is on disk: of a run that has ended. */
  async #withLogs(
    tasks: readonly (LiveTask | undefined)[],
    records: readonly (TaskRecord | undefined)[],
    asker: Asker | undefined,
  ): Promise<(TaskRecord | undefined)[]> {
    const ords = tasks.flatMap((task) => task?.trail?.logged ? task.serial : []);
    const logs = new Map<number, TaskLog>();
    if (ords.length > 0) {
      await this.#turns.start(asker);
      const stored = await this.#turns.during(asker, this.#store.call("logs", { ords }));
      stored.forEach((text, i) => text !== null && logs.set(ords[i]!, logFromText(text)));
    }
    return records.map((record, i) => {
      const log = logs.get(tasks[i]?.serial ?? 0);
      return record && log ? { ...record, log } : record;
    });
  }

  async #standing(task: LiveTask, now: number, asker: Asker | undefined): Promise<WaitReason> {
    const standing = standingOf(this.#live, task, now);
    if (!waitsInLine(standing)) return standing;
    const { priority, seq } = task;
    // On disk, those that run are queued.
    let running = 0;
    for (const [, other] of this.#live.running.entries()) if (isAhead(other, task)) running++;
    await this.#turns.start(asker);
    const counting = this.#store.call("ahead", { priority, seq, limit: MAX_AHEAD });
    const ahead = await this.#turns.during(asker, counting);
    return { ...standing, ahead: Math.max(0, ahead - running) };
  }
}
