/**
 * A task as it travels: its options, its states, what `get` tells of it. Types only. To change a
 * member: members may be added; one that is taken away or changes its meaning needs a new wire version.
 */

import type { ErrorBody, FailureCode } from "./errors.ts";
import type { OpSpec } from "./op_spec.ts";

export const PROTOCOL_VERSION = 1;

export const STATUSES = [
  "queued",
  "delayed",
  "running",
  "completed",
  "failed",
  "cancelled",
  "expired",
] as const;
export type Status = typeof STATUSES[number];

/** A task in one of these never changes again, unless a person asks for `retry`. */
export const FINAL_STATUSES = ["completed", "failed", "cancelled", "expired"] as const;
export type FinalStatus = typeof FINAL_STATUSES[number];
/** Statuses of tasks that can be cancelled, in the order of a task's life. */
export const OPEN_STATUSES = ["delayed", "queued", "running"] as const satisfies readonly Status[];
/** Statuses of tasks that can be retried. */
export const RETRIABLE_STATUSES = [
  "failed",
  "cancelled",
  "expired",
] as const satisfies readonly Status[];

export function isFinal(status: Status): status is FinalStatus {
  return status !== "queued" && status !== "running" && status !== "delayed";
}

/** How long the record of a final task is kept where `keep` does not say. */
export const DEFAULT_KEEP_MS = 86_400_000;

/** The `task` member of a submitted message. Times are milliseconds unless said otherwise. */
export interface TaskOptions {
  /** Chosen by the client, ≤ 128 of `A-Za-z0-9._:-`; default: a UUIDv7. */
  id?: string;
  /** −100…100, higher first; default 0. */
  priority?: number;
  /** From now. */
  delay?: number;
  /** RFC 3339. */
  at?: string;
  /** One attempt may run this long; default 60000. */
  timeout?: number;
  /** Most attempts, 1…100; default 1. */
  attempts?: number;
  /** Before attempt 2, doubling after it; default 1000. */
  backoff?: number;
  /** From submit; not started after it. */
  expires?: number;
  /** The record is kept this long once final; default `DEFAULT_KEEP_MS`. */
  keep?: number;
  /** `false`: no second line on this connection; default true. */
  wait?: boolean;
  /** Tasks with one key, ≤ 256 characters, share the workers with other keys in turn. */
  key?: string;
  /** Tasks of its key that run at a time, this one included, ≥ 1; needs `key`. */
  limit?: number;
  /** Tasks of its key that start in a time: `"10/1m"` is at most ten in any minute; needs `key`. */
  rate?: string;
  /** Ids of tasks that must complete first, ≤ 10000; when one of them does not, this one is cancelled. */
  after?: string[];
  /** Not a task but a recurring one: five or six fields, as in crontab. Its `id` names it. */
  cron?: string;
  /** Of `cron`: an IANA time zone; default UTC. */
  tz?: string;
  /**
   * Of `cron`: what becomes of times that passed while no server ran, or while it was paused: left out
   * (`skip`), one task for all of them (`once`, the default), or one for each of the latest 1000 (`all`).
   */
  catch_up?: CatchUp;
}

export const CATCH_UPS = ["skip", "once", "all"] as const;
export type CatchUp = typeof CATCH_UPS[number];

/** A recurring task, as `crons` tells it. Times are RFC 3339. */
export interface CronView {
  cron_id: string;
  op: string;
  cron: string;
  tz: string;
  catch_up: CatchUp;
  paused: boolean;
  /** The next time; absent while it is paused, or when there is none. */
  next_at?: string;
  /** The time for which it last submitted a task, and that task. */
  last_at?: string;
  last_task_id?: string;
  created_at: string;
}

/** What became of a recurring task that was submitted, paused, resumed or removed. */
export interface CronAnswer {
  cron_id: string;
  status: "scheduled" | "paused" | "removed";
  /** RFC 3339; of one that is scheduled, unless there is no further time. */
  next_at?: string;
}

/** Why a task is not running: a code for programs, a sentence for people. */
export const WHY_CODES = [
  "running",
  "final",
  "stopping",
  "paused",
  "no_worker",
  "workers_busy",
  "delayed",
  "backoff",
  "after",
  "key_limit",
  "key_rate",
  "op_limit",
  "op_rate",
  "suspect",
  "next",
] as const;
export type WhyCode = typeof WHY_CODES[number];

export interface Why {
  task_id: string;
  status: Status;
  code: WhyCode;
  why: string;
  /** Queued tasks before it. */
  ahead?: number;
}

/** What `watch` tells of, one line each. */
export interface WatchEvent {
  event: "queued" | "delayed" | "started" | "progress" | "log" | FinalStatus | "dropped";
  /** RFC 3339. */
  at: string;
  task_id?: string;
  op?: string;
  attempt?: number;
  progress?: Progress;
  error?: ErrorBody<FailureCode>;
  /** Of `log`: what it said since the last one. */
  log?: LogLine[];
  /** Of `dropped`: events that this connection was too slow for. */
  count?: number;
}

/** As the methods of `console` are called; `ctx.log` says `info`. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = typeof LOG_LEVELS[number];

/** One thing that a task said. */
export interface LogLine {
  /** Counts what the task said from 1; where some is missing, that was dropped. */
  n: number;
  /** RFC 3339, by the clock of the machine that it ran on. */
  at: string;
  /** Counted from 1; anew after each `retry`. */
  attempt: number;
  /** Of a task that was run again by `retry`: how often it had been. */
  retry?: number;
  level: LogLevel;
  text: string;
}

/** What `logs` answers. */
export interface TaskLogView {
  task_id: string;
  status: Status;
  /** Oldest first. */
  log: LogLine[];
  /** How much it said that is not kept. */
  dropped: number;
}

/** How far a running task says it is. */
export interface Progress {
  /** 0…1. */
  fraction: number;
  note?: string;
}

/** Something that the person who runs the server should mend. */
export interface Notice {
  message: string;
  /** What mends it. */
  cure: string;
}

/** What `get` answers. Times are RFC 3339. */
export interface TaskView {
  task_id: string;
  op: string;
  status: Status;
  priority: number;
  /** The attempt that runs or ran last; 0 before the first. */
  attempt: number;
  attempts: number;
  created_at: string;
  /** When a delayed task becomes due. */
  run_at?: string;
  started_at?: string;
  finished_at?: string;
  result?: unknown;
  error?: ErrorBody<FailureCode>;
  progress?: Progress;
  key?: string;
  /** The tasks that must complete before it. */
  after?: string[];
  /** Of the task file that its last attempt ran; see `OpSpec`. */
  version?: string;
}

/** An op, as `ops` tells it; what its options ask for is that of the worker process that came last. */
export interface OpView extends OpSpec {
  workers: number;
  /** Its tasks wait until it is resumed; absent otherwise. */
  paused?: true;
}

/** How many tasks are in each status. */
export type StatusCounts = Record<Status, number>;

/** What waits and what runs of one op. */
export interface OpLoadView {
  op: string;
  queued: number;
  running: number;
  /** Since when the oldest of its queued tasks has been due, RFC 3339, where that is known. */
  waiting_since?: string;
}

/** A worker process. It may hold more tasks than it has workers: the next ones are there already. */
export interface PoolView {
  pid: number;
  workers: number;
  held: number;
  /** Of which ops; those with most first, at most 100. */
  ops: { op: string; held: number }[];
  /** It runs one task of an op with `isolate: "process"`, and ends with it: none of the server's workers. */
  single?: true;
}

/** What `stats` answers. */
export interface ServerStats {
  version: string;
  protocol: number;
  pid: number;
  uptime_ms: number;
  /** The server's clock, RFC 3339. */
  now: string;
  engine: string;
  /** Tasks that the server holds now, by status. */
  tasks: StatusCounts;
  /** Since the server started. */
  totals: { submitted: number; finished: number };
  /** Ops that are not handed out now; `["*"]` when that is all of them. */
  paused: string[];
  workers: { pools: number; workers: number; running: number };
  /** Ops of which anything is queued or running, those with most first; at most 100. */
  ops: OpLoadView[];
  /** Each worker process, and what it holds; at most 100. */
  pools: PoolView[];
  connections: number;
  /** How often tasks that were due stood still beside an idle worker, since the server started: a fault of sd. */
  standstills: number;
  /** What is to be mended now; absent while there is nothing. */
  notices?: Notice[];
}
