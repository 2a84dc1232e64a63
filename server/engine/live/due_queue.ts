/**
 * Tasks in the order of a time that they wait for. `DelayedTasks` wait for their `runAt`, some of them by the wall clock. A
 * task that stops waiting stays in the heap and is passed over. When about half of the entries are like that, they are
 * removed together. So a cancelled task with a delay of ten years does not stay for ten years.
 */

import { BinaryHeap } from "@std/data-structures/binary-heap";
import type { LiveTask } from "./live_task.ts";

/** An entry of the heap. It has a copy of the time, since that of the task can change meanwhile. */
interface Entry {
  readonly task: LiveTask;
  readonly at: number;
}

/** Fewest entries at which a sweep is worth it. */
const SWEEP_AT_LEAST = 256;

export class DueQueue {
  /** Whether `task` still waits for the time `at`. */
  readonly #waits: (task: LiveTask, at: number) => boolean;
  #heap = newHeap();
  #sweepAt = SWEEP_AT_LEAST;

  constructor(waits: (task: LiveTask, at: number) => boolean) {
    this.#waits = waits;
  }

  /** The earliest time that a task waits for; `Infinity` if none does. */
  get nextAt(): number {
    return this.#first()?.at ?? Infinity;
  }

  /** The number of entries, including tasks that no longer wait. */
  get length(): number {
    return this.#heap.length;
  }

  push(task: LiveTask, at: number): void {
    if (this.#heap.length >= this.#sweepAt) this.#sweep();
    this.#heap.push({ task, at });
  }

  /** Takes the first task whose time has come. */
  take(now: number): LiveTask | undefined {
    const first = this.#first();
    if (!first || first.at > now) return undefined;
    this.#heap.pop();
    return first.task;
  }

  #first(): Entry | undefined {
    for (;;) {
      const first = this.#heap.peek();
      if (!first || this.#waits(first.task, first.at)) return first;
      this.#heap.pop();
    }
  }

  #sweep(): void {
    const kept = newHeap();
    for (let entry = this.#heap.pop(); entry; entry = this.#heap.pop()) {
      if (this.#waits(entry.task, entry.at)) kept.push(entry);
    }
    this.#heap = kept;
    this.#sweepAt = Math.max(SWEEP_AT_LEAST, 2 * kept.length);
  }
}

/**
 * Delayed tasks in the order in which they become due. Tasks with `at` wait for the wall clock, all others for server time,
 * which is `aheadMs` ahead of it. All arguments and results are server time.
 */
export class DelayedTasks {
  /** How far server time is ahead of the wall clock. */
  aheadMs = 0;
  readonly #spans = new DueQueue(stillWaits);
  readonly #calendar = new DueQueue(stillWaits);

  /** When the first task becomes due; `Infinity` if there is none. */
  get nextAt(): number {
    return Math.min(this.#spans.nextAt, this.#calendar.nextAt + this.aheadMs);
  }

  get length(): number {
    return this.#spans.length + this.#calendar.length;
  }

  push(task: LiveTask): void {
    (task.isCalendar ? this.#calendar : this.#spans).push(task, task.runAt);
  }

  /** Takes the first task that is due. */
  take(now: number): LiveTask | undefined {
    const wall = now - this.aheadMs;
    return this.#spans.nextAt <= this.#calendar.nextAt + this.aheadMs
      ? this.#spans.take(now)
      : this.#calendar.take(wall);
  }

  /** When `task` is due. */
  dueAt(task: LiveTask): number {
    return task.isCalendar ? task.runAt + this.aheadMs : task.runAt;
  }
}

function stillWaits(task: LiveTask, at: number): boolean {
  const { state, runAt, unmet, isElsewhere } = task;
  return state.status === "delayed" && runAt === at && unmet === 0 && !isElsewhere;
}

function newHeap(): BinaryHeap<Entry> {
  return new BinaryHeap<Entry>((a, b) => a.at - b.at || a.task.serial - b.task.serial);
}
