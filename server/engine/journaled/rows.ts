/**
 * The row of a task in the store of the journaled engine. `RowState` and `LaneState` are the knowledge of the store that
 * hangs on the `stored` slot of each task and lane; the live tasks themselves know nothing of a store, and the memory engine
 * leaves the slot empty. The functions convert a task in memory to the cells of its row, and back.
 *
 * To change a row, change `StoredTask`, both directions here, and each store by a migration.
 */

import type { SdError } from "../../../protocol/errors.ts";
import { isFinal } from "../../../protocol/task.ts";
import { DEFAULT_RULES, type NewTask, type TaskRules } from "../../task/new_task.ts";
import type { Rate } from "../../../protocol/text_forms.ts";
import type { RunHistory } from "../../task/run_log.ts";
import { transition } from "../../task/transition.ts";
import type { TaskRecord } from "../engine.ts";
import { LiveTask, type StoredState } from "../live/live_task.ts";
import type { Lane, StoredLane } from "../live/ready_queue.ts";
import { type Cell, STORED_STATUSES, type StoredStatus, type StoredTask } from "./task_store.ts";

/** Stands for the status of a task without a row. */
export const NOT_STORED = -1;

/** A listener that hears when a new task is committed for the first time, or is rolled back. */
export interface FirstWriteListener {
  stored(task: LiveTask): void;
  rolledBack(task: LiveTask, reason: SdError): void;
}

/** The state of a task in the store. Statuses are indexes into `STORED_STATUSES`, or `NOT_STORED`. */
export class RowState implements StoredState {
  isSpilled = false;
  isGone = false;
  isParked = false;
  /** It has changed since it was last passed to the store. */
  isDirty = false;
  /** The status of the committed row. */
  committedStatus: number;
  firstWrite: FirstWriteListener | undefined = undefined;

  /** `storedStatus`: the status of the row after the write under way. */
  constructor(public storedStatus: number) {
    this.committedStatus = storedStatus;
  }

  /** It was new and could not be written: as if it had never been submitted. */
  get isRolledBack(): boolean {
    return this.isGone && this.storedStatus === NOT_STORED;
  }
}

/** The state in the store of a task of this engine. */
export function rowOf(task: LiveTask): RowState {
  return task.stored as RowState;
}

/** The state of a lane, as the pager needs it. */
export class LaneState implements StoredLane {
  isSpilled = false;
  lastSeq = 0;
  isLate = false;
  /** Tasks of the lane that are on their way to the disk. */
  leaving: Set<LiveTask> | undefined = undefined;
  /** A page of the lane is on its way here. */
  isFetching = false;
}

/** The state in the store of a lane of this engine. */
export function laneStateOf(lane: Lane<LiveTask>): LaneState {
  return lane.stored as LaneState;
}

/** The options of a task that has any. */
interface StoredOptions {
  readonly rules: TaskRules;
  readonly limit?: number;
  readonly rate?: Rate;
  readonly after?: readonly string[];
  readonly noWait?: true;
  /** `runAt` is a time of the wall clock until the first attempt; absent in files of older releases. */
  readonly calendar?: true;
  /** Where its end is published; absent in files of older releases. */
  readonly route?: string;
}

const CODES: ReadonlyMap<StoredStatus, number> = new Map(
  STORED_STATUSES.map((status, code) => [status, code]),
);

export function codeOf(status: StoredStatus): number {
  return CODES.get(status) as number;
}

const QUEUED = codeOf("queued");
const WAITING = codeOf("waiting");
const COMPLETED = codeOf("completed");

/** The status for the row of `task`, as an index into `STORED_STATUSES`. */
export function storedStatusOf(task: LiveTask): number {
  const { status } = task.state;
  if (status === "completed") return COMPLETED;
  if (isFinal(status)) return codeOf(status);
  // Every open task that comes after others is read when the store is opened.
  if (task.task.after.length > 0) return WAITING;
  return status === "delayed" ? codeOf(status) : QUEUED;
}

/** Adds the cells of `FIXED_COLUMNS`. */
export function pushFixed(cells: Cell[], { task }: LiveTask): void {
  cells.push(
    task.serial,
    task.id,
    task.idGiven ? 1 : 0,
    task.op,
    task.payload,
    optionsOf(task),
    task.keyLimit?.key ?? null,
    task.rules.priority,
    task.createdAt,
    task.expiresAt === Infinity ? null : task.expiresAt,
  );
}

/** Adds the cells of `STATE_COLUMNS`. */
export function pushState(cells: Cell[], task: LiveTask, status: number): void {
  // A run whose end is never written does not count.
  const state = transition(task.state, { type: "restart" }) ?? task.state;
  cells.push(
    status,
    task.seq,
    task.runAt,
    state.attempt,
    state.deaths,
    task.startedAt,
    task.finishedAt,
    status >= COMPLETED ? dropAtOf(task) : null,
    task.result ?? null,
    errorOf(task),
    historyText(task.history),
  );
}

/** The task of a row. It does not run. */
export function readRow(row: StoredTask): LiveTask {
  const options = row.options === null ? undefined : JSON.parse(row.options) as StoredOptions;
  const status = STORED_STATUSES[row.status] as StoredStatus;
  const error = row.error === null ? undefined : JSON.parse(row.error);
  const task: NewTask = {
    id: row.id,
    serial: row.ord,
    idGiven: row.given === 1,
    op: row.op,
    payload: row.payload,
    rules: options?.rules ?? DEFAULT_RULES,
    createdAt: row.createdAt,
    runAt: row.runAt,
    expiresAt: row.expiresAt ?? Infinity,
    isCalendar: options?.calendar === true,
    wait: options?.noWait !== true,
    keyLimit: row.key === null
      ? undefined
      : { key: row.key, limit: options?.limit ?? Infinity, rate: options?.rate },
    after: options?.after ?? [],
    ...(options?.route === undefined ? {} : { route: options.route }),
    past: {
      status: status === "waiting" ? "delayed" : status,
      attempt: row.attempt,
      deaths: row.deaths,
      startedAt: row.startedAt,
      finishedAt: row.finishedAt,
      result: row.result ?? undefined,
      error: error?.after === undefined ? error : undefined,
      cancelledFor: error?.after,
      history: historyOf(row.trail),
      log: undefined,
    },
  };
  const live = new LiveTask(task, new RowState(row.status));
  live.seq = row.seq;
  return live;
}

/** The committed state of a task, for replies: a power failure cannot undo it. */
export function committedRecord(task: LiveTask): TaskRecord | undefined {
  const { committedStatus } = rowOf(task);
  if (committedStatus === NOT_STORED) return undefined;
  const record = task.record();
  if (!isFinal(record.status) || committedStatus === storedStatusOf(task)) return record;
  const stored = STORED_STATUSES[committedStatus] as StoredStatus;
  const status = stored === "waiting" ? "delayed" : stored;
  return { ...record, status, result: undefined, error: undefined, finishedAt: 0 };
}

function optionsOf(task: NewTask): string | null {
  const { rules, keyLimit, after, wait, isCalendar, route } = task;
  const isPlain = rules === DEFAULT_RULES && !keyLimit && after.length === 0 && wait;
  if (isPlain && !isCalendar && route === undefined) return null;
  const options: StoredOptions = {
    rules,
    ...(keyLimit && keyLimit.limit !== Infinity ? { limit: keyLimit.limit } : {}),
    ...(keyLimit?.rate ? { rate: keyLimit.rate } : {}),
    ...(after.length > 0 ? { after } : {}),
    ...(wait ? {} : { noWait: true }),
    ...(isCalendar ? { calendar: true } : {}),
    ...(route === undefined ? {} : { route }),
  };
  return JSON.stringify(options);
}

function dropAtOf({ task, finishedAt }: LiveTask): number | null {
  const { keepMs } = task.rules;
  return keepMs === DEFAULT_RULES.keepMs ? null : finishedAt + keepMs;
}

function errorOf({ error, cancelledFor }: LiveTask): string | null {
  if (cancelledFor !== undefined) return JSON.stringify({ after: cancelledFor });
  return error ? JSON.stringify(error) : null;
}

type StoredHistory = readonly [version: string | null, logged: number, retries: number];

function historyText(history: RunHistory | undefined): string | null {
  if (!history) return null;
  const { version, logged, retries } = history;
  return JSON.stringify([version ?? null, logged, retries] satisfies StoredHistory);
}

function historyOf(stored: string | null): RunHistory | undefined {
  if (stored === null) return undefined;
  const [version, logged, retries] = JSON.parse(stored) as StoredHistory;
  return { version: version ?? undefined, logged, retries };
}
