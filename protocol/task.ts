/**
 * A task as it travels: its options, its states, and the replies about it. Types only. To change a member: members
 * can be added; one that is removed or changes its meaning needs a new wire version.
 */

import type { ErrorBody, FailureCode } from "./errors.ts";
import type { OpSpec } from "./op_spec.ts";

/** Version of the wire, as `hello` and `stats` report it. */
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
/**
 * The state of a task. `queued`: it can start; `delayed`: it waits for its time, for other tasks, or for its next
 * attempt; `running`: on a worker. The other four are final.
 */
export type Status = typeof STATUSES[number];

/** Final states: only `retry` brings a task back from one. */
export const FINAL_STATUSES = ["completed", "failed", "cancelled", "expired"] as const;
/** One of the final states. */
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

/** Default time for which the record of a final task is kept, in ms: a day. */
export const DEFAULT_KEEP_MS = 86_400_000;

/** Options of a task: the `task` of a submitted line. Times are in ms unless a member says otherwise. */
export interface TaskOptions {
  /**
   * Chosen by the client, ≤ 128 of `A-Za-z0-9._:-`; default: a UUIDv7. The same id again, with the same op and
   * arguments, is the same task.
   */
  id?: string;
  /** −100…100, higher first; default 0. */
  priority?: number;
  /** Time before it can start. */
  delay?: number;
  /** Time at which it can start, RFC 3339; instead of `delay`. */
  at?: string;
  /** Longest time of an attempt; default 60000. */
  timeout?: number;
  /** Most attempts if the handler throws or times out, 1…100; default 1. */
  attempts?: number;
  /** Time before attempt 2; it doubles for each further attempt; default 1000. */
  backoff?: number;
  /** Time after the submit in which it must start; then it is `expired`. Default: never. */
  expires?: number;
  /** Time for which the record is kept once the task is final; default 86400000, a day. */
  keep?: number;
  /** `false`: the server does not send the end on its own; default true. */
  wait?: boolean;
  /** Tasks with one key, ≤ 256 characters, share the workers with other keys in turn. */
  key?: string;
  /** Most tasks of the key that run at a time, with this one, ≥ 1; needs `key`. */
  limit?: number;
  /** Most tasks of the key that start in a time: `"10/1m"` is up to ten in any minute; needs `key`. */
  rate?: string;
  /** Ids of tasks that must complete first, ≤ 10000. If one of them does not, this task is cancelled. */
  after?: string[];
  /** Makes a recurring task, named by `id`: five or six fields, as in crontab, or `@daily`. */
  cron?: string;
  /** The IANA time zone of `cron`; default UTC. */
  tz?: string;
  /**
   * For `cron`, the times that passed while no server ran or the recurring task was paused: left out (`skip`), one task
   * for all of them (`once`, the default), or a task for each of the latest 1000 (`all`).
   */
  catch_up?: CatchUp;
}

/** Choices for the times that a recurring task missed. */
export const CATCH_UPS = ["skip", "once", "all"] as const;
/** One of `CATCH_UPS`. */
export type CatchUp = typeof CATCH_UPS[number];

/** A recurring task, in the reply to `crons`. Times are RFC 3339. */
export interface CronView {
  cron_id: string;
  op: string;
  /** Its times: five or six fields, as in crontab. */
  cron: string;
  /** The IANA time zone of `cron`. */
  tz: string;
  catch_up: CatchUp;
  paused: boolean;
  /** The next time; absent while it is paused, or if there is none. */
  next_at?: string;
  /** The time for which it last submitted a task. */
  last_at?: string;
  /** That task. */
  last_task_id?: string;
  created_at: string;
}

/** A recurring task after it was made, paused, resumed or removed. */
export interface CronAnswer {
  cron_id: string;
  status: "scheduled" | "paused" | "removed";
  /** The next time, RFC 3339; absent unless `scheduled`, and if there is no further time. */
  next_at?: string;
}

/**
 * Reasons why a task is not running. `running`, `final`, `stopping`: it runs, has ended, is being stopped; `paused`: its
 * op is; `no_worker`, `workers_busy`; `delayed`, `backoff`: it waits for its time; `after`: for other tasks; `key_limit`,
 * `key_rate`, `op_limit`, `op_rate`: for its key or its op; `suspect`: it is tried alone, since worker processes died
 * with it; `takeover`: worker processes of the server before may still run it, or tasks that count in its limit; `next`: it starts as soon as a worker takes it.
 */
const WHY_CODES = [
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
  "takeover",
  "next",
] as const;
/** One of `WHY_CODES`. */
export type WhyCode = typeof WHY_CODES[number];

/** The reason why a task is not running, in the reply to `why`. */
export interface Why {
  task_id: string;
  status: Status;
  /** The reason, for programs. */
  code: WhyCode;
  /** The reason as a sentence, for people; its wording can change. */
  why: string;
  /** Number of queued tasks that start before it; absent if it waits for something else. */
  ahead?: number;
}

/** An event in the life of a task, from `watch`. */
export interface WatchEvent {
  /** `dropped` stands for events that were missed; it has no task. */
  event: "queued" | "delayed" | "started" | "progress" | "log" | FinalStatus | "dropped";
  /** RFC 3339. */
  at: string;
  task_id?: string;
  op?: string;
  /** Counted from 1. */
  attempt?: number;
  progress?: Progress;
  /** With `failed`. */
  error?: ErrorBody<FailureCode>;
  /** With `log`: the new entries. */
  log?: LogLine[];
  /** With `dropped`: the number of missed events, if it is known. */
  count?: number;
}

/** Levels of a log entry, named like the methods of `console`; `ctx.log` writes `info`. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
/** One of `LOG_LEVELS`. */
export type LogLevel = typeof LOG_LEVELS[number];

/** One entry of a task's log. */
export interface LogLine {
  /** Number of the entry, from 1; a gap stands for dropped entries. */
  n: number;
  /** RFC 3339, by the clock of the machine that ran the task. */
  at: string;
  /** Counted from 1, again from 1 after each `retry`. */
  attempt: number;
  /** How often `retry` had run the task again; absent at 0. */
  retry?: number;
  level: LogLevel;
  text: string;
}

/** The log of a task, in the reply to `logs`. */
export interface TaskLogView {
  task_id: string;
  status: Status;
  /** Oldest first. */
  log: LogLine[];
  /** Number of entries that are not kept. */
  dropped: number;
}

/** The progress that a running task last reported. */
export interface Progress {
  /** 0…1. */
  fraction: number;
  /** A text for people. */
  note?: string;
}

/** A fault that the server's operator should mend. */
export interface Notice {
  message: string;
  /** The cure, for people. */
  cure: string;
}

/** A task, in the replies to `get`, `wait` and `list`. Times are RFC 3339. */
export interface TaskView {
  task_id: string;
  op: string;
  status: Status;
  /** −100…100, higher first. */
  priority: number;
  /** The attempt that runs or ran last; 0 before the first. */
  attempt: number;
  /** Most attempts. */
  attempts: number;
  /** Time of the submit. */
  created_at: string;
  /** Time at which a delayed task can start. */
  run_at?: string;
  /** Start of the last attempt. */
  started_at?: string;
  /** Time at which it became final. */
  finished_at?: string;
  /** Of a completed task: the value that its handler returned. */
  result?: unknown;
  /** The error of the last attempt, if it failed. */
  error?: ErrorBody<FailureCode>;
  /** Of a running task. */
  progress?: Progress;
  key?: string;
  /** Ids of the tasks that must complete before it. */
  after?: string[];
  /** Version of the task file of its last attempt; see `OpSpec`. */
  version?: string;
}

/** An op, in the reply to `ops`. The worker process that connected last sets its options. */
export interface OpView extends OpSpec {
  /** Number of workers that have it. */
  workers: number;
  /** Its tasks wait until it is resumed; absent if it is not paused. */
  paused?: true;
}

/** Number of tasks in each status. */
export type StatusCounts = Record<Status, number>;

/** Numbers of tasks of one op that wait and that run. */
export interface OpLoadView {
  op: string;
  queued: number;
  running: number;
  /** Time since which its oldest queued task has been due, RFC 3339, if it is known. */
  waiting_since?: string;
}

/** A server of a cluster. */
export interface ServerView {
  /** Its `--name`, or its machine and port. */
  name: string;
  /** Where the other servers reach it: `HOST:PORT`. */
  address: string;
  /** The name of its machine. */
  machine: string;
  /** Its release. */
  version: string;
  pid: number;
  /** `leads`: it decides about all tasks. `follows`: it passes its connections on. */
  role: "leads" | "follows";
  /** When it started, RFC 3339. */
  started_at: string;
  /** It is stopping. */
  draining?: true;
}

/** A worker process. It can hold more tasks than it has workers, so that each worker has the next one at once. */
export interface PoolView {
  pid: number;
  /** The name of its machine; absent for a process of an older release. */
  machine?: string;
  /** Number of its workers. */
  workers: number;
  /** Number of tasks that it holds. */
  held: number;
  /** The same by op, the largest first, up to 100. */
  ops: { op: string; held: number }[];
  /** It is for a single task of an op with `isolate: "process"`; its worker is not counted in `workers`. */
  single?: true;
}

/** The reply to `hello`. */
export interface ServerHello {
  hello: "sd";
  /** Release of the server, like `1.4.0`. */
  version: string;
  /** Version of the wire, `PROTOCOL_VERSION`: 1. */
  protocol: number;
}

/** The reply to `health`, for load balancers: they need no token for it. */
export interface ServerHealth {
  /** Whether new clients are welcome. */
  ok: boolean;
  /** `alone`: the only server of its tasks. In a cluster one server `leads`; the others `follow` and hand clients on. */
  role: "alone" | "leads" | "follows";
  /** The server is about to stop: it serves the clients that it has, and new ones should go elsewhere. */
  draining: boolean;
  /** Release of the server. */
  version: string;
}

/** The reply to `stats`. Numbers are of now unless a member says otherwise. */
export interface ServerStats {
  /** Release of the server. */
  version: string;
  /** Version of the wire. */
  protocol: number;
  /** Process id of the server. */
  pid: number;
  /** Time since the server started, in ms. */
  uptime_ms: number;
  /** The server's clock, RFC 3339. */
  now: string;
  /** The engine, like `sqlite` or `memory`. */
  engine: string;
  /** Tasks that the server holds, by status. */
  tasks: StatusCounts;
  /** Tasks since the server started. */
  totals: { submitted: number; finished: number };
  /** Ops that are paused; `["*"]` if all are. */
  paused: string[];
  /** Worker processes, their workers, and tasks that run. */
  workers: { pools: number; workers: number; running: number };
  /** Ops with queued or running tasks, the largest first, up to 100. */
  ops: OpLoadView[];
  /** Worker processes, up to 100. */
  pools: PoolView[];
  /** The servers of the cluster, the leader first, up to 100; absent for a server alone. */
  servers?: ServerView[];
  /** Open connections. */
  connections: number;
  /** How often due tasks stood still beside an idle worker since the start: a fault of sd. */
  standstills: number;
  /** Faults to mend now; absent if there are none. */
  notices?: Notice[];
  /** Sources of tasks beside clients; absent if the server has none. */
  intakes?: IntakeView[];
}

/** A source of tasks beside clients, `--intake`. The counts begin when the server begins to lead. */
export interface IntakeView {
  /** Without credentials; `sql:` for the table of tasks in PostgreSQL. */
  url: string;
  /** `waiting`: tasks stay in their queue, since there is no room for them now. */
  state: "connecting" | "taking" | "waiting" | "stopped";
  /** Why it takes no tasks now; absent if it takes tasks. */
  reason?: string;
  /** Messages whose tasks are committed. */
  taken: number;
  /** Messages that were refused. */
  rejected: number;
  /** Ends that were published. */
  replied: number;
  /** Ends whose reply address did not exist any more. */
  dropped: number;
}
