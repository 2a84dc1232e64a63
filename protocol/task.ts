/**
 * A task as it travels: its options, its states, what `get` tells of it. Types only. To change a
 * member: members may be added; one that is taken away or changes its meaning needs a new wire version.
 */

import type { ErrorBody, FailureCode } from "./errors.ts";

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

export function isFinal(status: Status): status is FinalStatus {
  return status !== "queued" && status !== "running" && status !== "delayed";
}

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
  /** The record is kept this long once final; default 86400000. */
  keep?: number;
  /** `false`: no second line on this connection; default true. */
  wait?: boolean;
}

/** How far a running task says it is. */
export interface Progress {
  /** 0…1. */
  fraction: number;
  note?: string;
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
}

/** How many tasks are in each status. */
export type StatusCounts = Record<Status, number>;

/** What `stats` answers. */
export interface ServerStats {
  version: string;
  protocol: number;
  pid: number;
  uptime_ms: number;
  engine: string;
  /** Tasks that the server holds now, by status. */
  tasks: StatusCounts;
  /** Since the server started. */
  totals: { submitted: number; finished: number };
  workers: { pools: number; workers: number; running: number };
  connections: number;
}
