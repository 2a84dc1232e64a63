/** From an engine's record, in server time, to what `get` answers, in that of the wall clock. */

import { cutText } from "../../protocol/errors.ts";
import type { Progress, TaskView } from "../../protocol/task.ts";
import type { TaskRecord } from "../engine/engine.ts";

/** `record` with the times that people read: those of the wall clock, which is `aheadMs` behind server time. */
export function atWall(record: TaskRecord, aheadMs: number): TaskRecord {
  if (aheadMs === 0) return record;
  // 0 stands for what has not happened.
  const shown = (ms: number) => ms > 0 ? ms - aheadMs : ms;
  const { standing } = record;
  const runAt = record.isCalendar ? record.runAt : shown(record.runAt);
  const until = standing?.heldBy === "time" ? runAt : shown(standing?.until ?? 0);
  return {
    ...record,
    createdAt: shown(record.createdAt),
    runAt,
    startedAt: shown(record.startedAt),
    finishedAt: shown(record.finishedAt),
    expiresAt: shown(record.expiresAt),
    ...(standing?.until !== undefined && { standing: { ...standing, until } }),
  };
}

/** `record` is as `atWall` gives it. */
export function taskView(record: TaskRecord, progress: Progress | undefined): TaskView {
  const { rules } = record;
  return {
    task_id: record.id,
    op: record.op,
    status: record.status,
    priority: rules.priority,
    attempt: record.attempt,
    attempts: rules.attempts,
    created_at: time(record.createdAt),
    ...(record.status === "delayed" ? { run_at: time(record.runAt) } : {}),
    ...(record.startedAt > 0 ? { started_at: time(record.startedAt) } : {}),
    ...(record.finishedAt > 0 ? { finished_at: time(record.finishedAt) } : {}),
    ...(record.result === undefined ? {} : { result: JSON.parse(record.result) as unknown }),
    ...(record.error === undefined ? {} : { error: record.error }),
    ...(progress === undefined ? {} : { progress }),
    ...(record.bond === undefined ? {} : { key: record.bond.key }),
    ...(record.after.length === 0 ? {} : { after: [...record.after] }),
    // One that is to run again has not been run yet.
    ...(record.trail?.version !== undefined && record.attempt > 0
      ? { version: record.trail.version }
      : {}),
  };
}

/** What is said of a task in a list: a thousand of them are to fit a line. */
const MAX_ERROR_CHARS = 200;
const MAX_NOTE_CHARS = 80;

/** A task in a list of up to a thousand: without its result and its parents, and with few words, so that they fit a line. */
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

function time(ms: number): string {
  return new Date(ms).toISOString();
}
