/**
 * The life of a task as a pure function: what may happen to it in which state. Every engine obeys it.
 *
 *              ┌─────────── release, lose, die (≤ 2), restart, fail with attempts left ─────┐
 *              ▼                                                                           │
 *     ──▶ queued ──lease──▶ running ──complete──▶ completed                                │
 *     │    ▲  │ │              ├──fail (last attempt), die (3rd)──▶ failed                 │
 *     │   due │ └──expire──▶ expired   ├──stop──▶ cancelled                                │
 *     │    │  └──cancel──▶ cancelled   └──fail with attempts left──▶ delayed ──────────────┘
 *     └▶ delayed ◀──hold── queued      queued, delayed ──refuse──▶ failed
 *
 * A running task that is asked to cancel goes on running until its worker says that it stopped; then
 * it is `cancelled`, however it stopped, unless it had completed first. An event that carries a lease
 * other than the task's own is refused: that worker lost the task.
 */

import { MAX_BACKOFF_MS, MAX_DEATHS } from "../../protocol/limits.ts";
import type { Status } from "../../protocol/task.ts";

export interface TaskState {
  readonly status: Status;
  /** Attempts begun; one that ended by a death or a release is given back. */
  readonly attempt: number;
  /** Deaths of worker processes in which this task was running. */
  readonly deaths: number;
  /** The lease under which it runs; 0 while it does not run. */
  readonly lease: number;
  /** A client asked for its end while it was running. */
  readonly cancelling: boolean;
}

export type TaskEvent =
  | { readonly type: "due" }
  | { readonly type: "lease"; readonly lease: number }
  | { readonly type: "complete"; readonly lease: number }
  /** The attempt failed; `again` when another attempt may be made. */
  | { readonly type: "fail"; readonly lease: number; readonly again: boolean }
  /** The worker stopped it as asked. */
  | { readonly type: "stop"; readonly lease: number }
  /** The worker never started it. */
  | { readonly type: "release"; readonly lease: number }
  /** Its lease ran out: its worker process was silent, which is no death. */
  | { readonly type: "lose"; readonly lease: number }
  /** The worker process died. */
  | { readonly type: "die"; readonly lease: number }
  /** The server that knew who runs it is gone; no fault of the task, nor of its workers. */
  | { readonly type: "restart" }
  /** It has to wait for other tasks first. */
  | { readonly type: "hold" }
  /** It can never be handed to a worker. */
  | { readonly type: "refuse" }
  | { readonly type: "cancel" }
  | { readonly type: "expire" }
  /** A client asks for a finished task to run again, as if it were new. */
  | { readonly type: "retry" };

const QUEUED: TaskState = { status: "queued", attempt: 0, deaths: 0, lease: 0, cancelling: false };
const DELAYED: TaskState = { ...QUEUED, status: "delayed" };

/** The state of a task just submitted. */
export function initialState(delayed: boolean): TaskState {
  return delayed ? DELAYED : QUEUED;
}

/** The state after `event`, or `undefined` where the event is refused and nothing changes. */
export function transition(state: TaskState, event: TaskEvent): TaskState | undefined {
  switch (event.type) {
    case "lease":
      if (state.status !== "queued") return undefined;
      return {
        status: "running",
        attempt: state.attempt + 1,
        deaths: state.deaths,
        lease: event.lease,
        cancelling: false,
      };
    case "due":
      return state.status === "delayed" ? { ...state, status: "queued" } : undefined;
    case "restart":
      return state.status === "running"
        ? ended("queued", state.attempt - 1, state.deaths)
        : undefined;
    case "hold":
      return state.status === "queued" ? { ...state, status: "delayed" } : undefined;
    case "refuse":
      return isWaiting(state) ? { ...state, status: "failed" } : undefined;
    case "cancel":
      if (state.status === "running") return { ...state, cancelling: true };
      return isWaiting(state) ? { ...state, status: "cancelled" } : undefined;
    case "expire":
      return isWaiting(state) ? { ...state, status: "expired" } : undefined;
    case "retry":
      return state.status === "failed" || state.status === "cancelled" ||
          state.status === "expired"
        ? QUEUED
        : undefined;
    default:
      if (state.status !== "running" || state.lease !== event.lease) return undefined;
      return afterRun(state, event);
  }
}

type RunEnd = Extract<
  TaskEvent,
  { type: "complete" | "fail" | "stop" | "release" | "lose" | "die" }
>;

function afterRun(state: TaskState, event: RunEnd): TaskState {
  const { attempt, deaths } = state;
  if (event.type === "complete") {
    return attempt === 1 && deaths === 0 ? COMPLETED_AT_ONCE : ended("completed", attempt, deaths);
  }
  if (state.cancelling) return ended("cancelled", attempt, deaths);
  switch (event.type) {
    case "stop":
      return ended("cancelled", attempt, deaths);
    case "fail":
      return ended(event.again ? "delayed" : "failed", attempt, deaths);
    case "release":
    case "lose":
      return ended("queued", attempt - 1, deaths);
    case "die":
      return deaths + 1 < MAX_DEATHS
        ? ended("queued", attempt - 1, deaths + 1)
        : ended("failed", attempt, deaths + 1);
  }
}

/** The final state of nearly every task: one object for all of them. */
const COMPLETED_AT_ONCE = ended("completed", 1, 0);

function ended(status: Status, attempt: number, deaths: number): TaskState {
  return { status, attempt, deaths, lease: 0, cancelling: false };
}

function isWaiting(state: TaskState): boolean {
  return state.status === "queued" || state.status === "delayed";
}

/** Up to a fifth more or less, so that tasks which failed together do not come back together. */
const JITTER = 0.2;

/**
 * Milliseconds after attempt `attempt` (from 1) failed: `baseMs`, doubled by every attempt after the
 * first, at most an hour, ±20 %. `random` is in 0…1.
 */
export function backoffMs(baseMs: number, attempt: number, random: number): number {
  const doubled = Math.min(baseMs * 2 ** (attempt - 1), MAX_BACKOFF_MS);
  return Math.round(doubled * (1 - JITTER + 2 * JITTER * random));
}
