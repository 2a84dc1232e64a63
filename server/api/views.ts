/**
 * From an engine's records, in server time, to the answers that clients read, in wall time. Pure; every answer is
 * bounded, whatever the server holds. Called by the use cases that read.
 */

import { cutText } from "../../protocol/errors.ts";
import { MAX_STATS_ROWS } from "../../protocol/limits.ts";
import type {
  OpLoadView,
  PoolView,
  Progress,
  ServerView,
  TaskLogView,
  TaskView,
} from "../../protocol/task.ts";
import { formatTime } from "../../protocol/text_forms.ts";
import type { OpLoad, TaskRecord } from "../engine/engine.ts";
import { countOf, joined, logLine, type TaskLog } from "../task/task_log.ts";

/** Longest message of an error, and longest note, of a task in a list: a thousand tasks must fit a line. */
const MAX_ERROR_CHARS = 200;
const MAX_NOTE_CHARS = 80;

/** `record` with its times in wall time, which is `aheadMs` behind server time. */
export function atWall(record: TaskRecord, aheadMs: number): TaskRecord {
  if (aheadMs === 0) return record;
  // 0 stands for an event that has not happened.
  const shown = (ms: number) => ms > 0 ? ms - aheadMs : ms;
  const { waitReason } = record;
  const runAt = record.isCalendar ? record.runAt : shown(record.runAt);
  const until = waitReason?.heldBy === "time" ? runAt : shown(waitReason?.until ?? 0);
  return {
    ...record,
    createdAt: shown(record.createdAt),
    runAt,
    startedAt: shown(record.startedAt),
    finishedAt: shown(record.finishedAt),
    expiresAt: shown(record.expiresAt),
    ...(waitReason?.until !== undefined && { waitReason: { ...waitReason, until } }),
  };
}

/** The answer to `get`. The times of `record` are wall times. */
export function taskView(record: TaskRecord, progress: Progress | undefined): TaskView {
  const { rules } = record;
  return {
    task_id: record.id,
    op: record.op,
    status: record.status,
    priority: rules.priority,
    attempt: record.attempt,
    attempts: rules.attempts,
    created_at: formatTime(record.createdAt),
    ...(record.status === "delayed" ? { run_at: formatTime(record.runAt) } : {}),
    ...(record.startedAt > 0 ? { started_at: formatTime(record.startedAt) } : {}),
    ...(record.finishedAt > 0 ? { finished_at: formatTime(record.finishedAt) } : {}),
    ...(record.result === undefined ? {} : { result: JSON.parse(record.result) as unknown }),
    ...(record.error === undefined ? {} : { error: record.error }),
    ...(progress === undefined ? {} : { progress }),
    ...(record.keyLimit === undefined ? {} : { key: record.keyLimit.key }),
    ...(record.after.length === 0 ? {} : { after: [...record.after] }),
    // After a retry, the version of an earlier run says nothing of the next one.
    ...(record.history?.version !== undefined && record.attempt > 0
      ? { version: record.history.version }
      : {}),
  };
}

/** A task in a list: without result and parents, with its texts cut. */
export function taskSummary(record: TaskRecord, progress: Progress | undefined): TaskView {
  const { error, ...view } = taskView(
    { ...record, result: undefined, after: [] },
    undefined,
  );
  return {
    ...view,
    ...(error && { error: { code: error.code, message: cutText(error.message, MAX_ERROR_CHARS) } }),
    ...(progress && { progress: shortened(progress) }),
  };
}

function shortened({ fraction, note }: Progress): Progress {
  return note === undefined ? { fraction } : { fraction, note: cutText(note, MAX_NOTE_CHARS) };
}

/** The answer to `logs`: the log of the runs that have ended, and that of the run that goes on. */
export function logView(record: TaskRecord, running: TaskLog | undefined): TaskLogView {
  const { id, status, history, log: ended } = record;
  const log = running ? joined(ended, running) : ended ?? [];
  const count = Math.max(history?.logged ?? 0, countOf(log));
  return { task_id: id, status, log: log.map(logLine), dropped: count - log.length };
}

/** The ops in `stats`, those with most tasks first. */
export function opLoads(ops: readonly OpLoad[], aheadMs: number): OpLoadView[] {
  const most = ops.toSorted((a, b) => b.queued + b.running - a.queued - a.running);
  return most.slice(0, MAX_STATS_ROWS).map(({ op, queued, running, waitingSince }) => ({
    op,
    queued,
    running,
    ...(waitingSince === undefined ? {} : { waiting_since: formatTime(waitingSince - aheadMs) }),
  }));
}

/** A worker process, as far as `stats` shows it. */
interface Pool {
  readonly pid: number;
  readonly machine?: string | undefined;
  readonly workers: number;
  readonly held: number;
  readonly isSingle: boolean;
  heldOps(): ReadonlyMap<string, number>;
}

/** The servers in `stats`: the leader first, then by name. */
export function serversInOrder(servers: readonly ServerView[]): ServerView[] {
  const rank = ({ role }: ServerView) => role === "leads" ? 0 : 1;
  const inOrder = servers.toSorted((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
  return inOrder.slice(0, MAX_STATS_ROWS);
}

/** The worker processes in `stats`. */
export function poolViews(pools: readonly Pool[]): PoolView[] {
  // In the order of their pids: the dispatcher changes its own order all the time.
  const shown = pools.filter(({ isSingle, held }) => !isSingle || held > 0);
  const byPid = shown.toSorted((a, b) => a.pid - b.pid).slice(0, MAX_STATS_ROWS);
  return byPid.map((pool) => {
    const { pid, machine, workers, held, isSingle } = pool;
    const ops = [...pool.heldOps()].map(([op, held]) => ({ op, held }));
    ops.sort((a, b) => b.held - a.held || (a.op < b.op ? -1 : 1));
    return {
      pid,
      ...(machine === undefined ? {} : { machine }),
      workers,
      held,
      ops: ops.slice(0, MAX_STATS_ROWS),
      ...(isSingle && { single: true as const }),
    };
  });
}
