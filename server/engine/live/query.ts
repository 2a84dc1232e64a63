/**
 * Pages of the tasks in memory, and the cursor between two pages. Both engines answer `list` with it: the memory engine
 * for all tasks, the journaled engine for running tasks.
 */

import { SdError } from "../../../protocol/errors.ts";
import type { Listed, ListRequest } from "../engine.ts";
import type { LiveTask } from "./live_task.ts";
import type { LiveTasks } from "./live_tasks.ts";

/** A page of the tasks that fit `request`. It looks at one task in each step. */
export function* listPage(live: LiveTasks, request: ListRequest): Generator<void, Listed> {
  const tasks: LiveTask[] = [];
  const page = (cursor?: number): Listed => ({
    tasks: tasks.map((task) => task.record()),
    cursor: cursor === undefined ? undefined : String(cursor),
  });
  const { status, limit } = request;
  if (status !== undefined && live.counts.byStatus[status] === 0) return page();
  for (const task of inOrder(live, request)) {
    yield;
    if (status !== undefined && task.state.status !== status) continue;
    if (!fits(request, task)) continue;
    if (tasks.length === limit) return page(tasks.at(-1)?.serial);
    tasks.push(task);
  }
  return page();
}

function inOrder(
  live: LiveTasks,
  { status, oldestFirst = false, cursor }: ListRequest,
): Iterable<LiveTask> {
  const from = cursor === undefined
    ? (oldestFirst ? 0 : Number.MAX_SAFE_INTEGER)
    : readCursor(cursor);
  if (status !== "running") return live.index.inOrder(from, { down: !oldestFirst });
  // Few tasks run, among many others.
  const sign = oldestFirst ? 1 : -1;
  return [...live.running.entries()].map(([, task]) => task)
    .filter((task) => sign * (task.serial - from) > 0)
    .sort((a, b) => sign * (a.serial - b.serial));
}

function fits({ op, key, createdSince }: ListRequest, { task }: LiveTask): boolean {
  return (op === undefined || task.op === op) &&
    (key === undefined || task.keyLimit?.key === key) &&
    (createdSince === undefined || task.createdAt >= createdSince);
}

/** The serial number of the last task of the page before. Throws `bad_request`. */
export function readCursor(cursor: string): number {
  const serial = /^\d{1,15}$/.test(cursor) ? Number(cursor) : NaN;
  if (Number.isNaN(serial)) {
    throw new SdError("bad_request", `the cursor is one that list answered; this is "${cursor}"`);
  }
  return serial;
}
