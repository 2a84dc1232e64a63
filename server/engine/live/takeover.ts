/**
 * Starts that wait after a takeover. The server before may have handed out tasks to worker processes that still run them.
 * Its notes name the tasks that ran for long: these are set aside for the process that will go on with them. Tasks with a
 * limit wait as well, since a run that is not reported yet may count. `StartLimits` has one of these for as long.
 *
 * Invariant: a task that is set aside stands in no queue, and `LiveTasks` puts it back when the reservation ends.
 */

import type { WaitReason } from "../engine.ts";
import type { Reservation } from "../adoption.ts";
import type { LiveTask } from "./live_task.ts";

export class Takeover {
  readonly #reservation: Reservation;
  readonly #aside = new Set<LiveTask>();
  /** Keys whose tasks were held back. */
  readonly #keys = new Set<string>();

  constructor(reservation: Reservation) {
    this.#reservation = reservation;
  }

  get until(): number {
    return this.#reservation.until;
  }

  isOver(now: number): boolean {
    return now >= this.until;
  }

  /** Whether a worker process is expected to go on with the task. */
  reserves(id: string, now: number): boolean {
    return !this.isOver(now) && this.#reservation.tasks.has(id);
  }

  /** Sets a task aside that was about to start, if it is reserved. */
  setsAside(task: LiveTask, now: number): boolean {
    if (!this.reserves(task.id, now)) return false;
    this.#aside.add(task);
    return true;
  }

  /** Whether the key of a task holds it back. */
  holdsKey({ task }: LiveTask, now: number): boolean {
    if (this.isOver(now) || !hasLimit(task)) return false;
    this.#keys.add(task.keyLimit.key);
    return true;
  }

  /** Why `task` cannot start; `hasOpLimit`: its op has a limit. */
  look(task: LiveTask, hasOpLimit: boolean, now: number): WaitReason | undefined {
    const isHeld = !this.isOver(now) &&
      (hasOpLimit || hasLimit(task.task) || this.#reservation.tasks.has(task.id));
    return isHeld ? { heldBy: "takeover", until: this.until } : undefined;
  }

  /** The tasks that stand in no queue until the end, the reserved ids, and the keys that are parked. */
  get waiting(): {
    readonly aside: ReadonlySet<LiveTask>;
    readonly ids: ReadonlySet<string>;
    readonly keys: ReadonlySet<string>;
  } {
    return { aside: this.#aside, ids: this.#reservation.tasks, keys: this.#keys };
  }
}

function hasLimit<T extends LiveTask["task"]>(
  task: T,
): task is T & { readonly keyLimit: NonNullable<T["keyLimit"]> } {
  return task.keyLimit !== undefined && task.keyLimit.limit !== Infinity;
}

/** The live tasks, as far as they wait for a takeover. */
interface WaitingTasks {
  readonly gate: {
    reserve(reservation: Reservation | undefined): Takeover["waiting"] | undefined;
  };
  readonly index: { get(id: string): LiveTask | undefined };
  readonly expiring: { push(task: LiveTask, at: number): void };
  unpark(key: string): void;
  stand(task: LiveTask): void;
}

/** Holds starts back, or no longer: then what has waited stands in its queue again. */
export function reserveStarts(live: WaitingTasks, reservation: Reservation | undefined): void {
  const ended = live.gate.reserve(reservation);
  if (!ended) return;
  for (const key of ended.keys) live.unpark(key);
  for (const task of ended.aside) if (task.isReady) live.stand(task);
  for (const id of ended.ids) {
    const task = live.index.get(id);
    const expiresAt = task?.task.expiresAt ?? Infinity;
    if (task && expiresAt !== Infinity) live.expiring.push(task, expiresAt);
  }
}
