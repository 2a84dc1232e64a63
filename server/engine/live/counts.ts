/**
 * How many tasks are in each status, and of each op how many are queued and running. Whoever moves a task
 * says so here; an op of which nothing is queued or running is forgotten.
 */

import type { Status, StatusCounts } from "../../../protocol/task.ts";
import type { EngineStats } from "../engine.ts";
import type { LiveTask } from "./live_task.ts";
import type { ReadyQueue } from "./ready_queue.ts";

/** Heads of lanes that one look at the queue takes in: with very many keys, those that came first. */
const MAX_HEADS = 10_000;

interface Load {
  queued: number;
  running: number;
}

export class TaskCounts {
  readonly counts: StatusCounts = {
    queued: 0,
    delayed: 0,
    running: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    expired: 0,
  };
  readonly #loads = new Map<string, Load>();

  /** A task of `op` went from one status to another; `undefined` is outside of all. */
  moved(op: string, from: Status | undefined, to: Status | undefined): void {
    if (from !== undefined) this.counts[from]--;
    if (to !== undefined) this.counts[to]++;
    if (from === "queued" || from === "running") this.#load(op, from, -1);
    if (to === "queued" || to === "running") this.#load(op, to, 1);
  }

  /** So many of those that are counted as queued are of `op`. */
  queuedOf(op: string, count: number): void {
    this.#load(op, "queued", count);
  }

  /** What there is now; of each op also since when the oldest of its tasks in `queue` has been due. */
  stats(queue: ReadyQueue<LiveTask>): EngineStats {
    const oldest = new Map<string, LiveTask>();
    for (const task of queue.heads(MAX_HEADS)) {
      const other = oldest.get(task.op);
      if (!other || task.runAt < other.runAt) oldest.set(task.op, task);
    }
    const ops = [...this.#loads].map(([op, { queued, running }]) => ({
      op,
      queued,
      running,
      waitingSince: queued > 0 ? oldest.get(op)?.runAt : undefined,
    }));
    return { tasks: { ...this.counts }, ops };
  }

  #load(op: string, status: keyof Load, count: number): void {
    let load = this.#loads.get(op);
    if (!load) this.#loads.set(op, load = { queued: 0, running: 0 });
    load[status] += count;
    if (load.queued === 0 && load.running === 0) this.#loads.delete(op);
  }
}
