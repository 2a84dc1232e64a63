/**
 * Tasks in the order of a time that each of them has, for as long as it waits for it; `DelayedTasks` are those that wait
 * for their `runAt`, some of them by the wall clock. One that stops
 * waiting stays where it is and is passed over; when about half of all are such, they are thrown out
 * together, so that a delay of ten years, cancelled, is not remembered for ten years.
 */

import { BinaryHeap } from "@std/data-structures/binary-heap";
import type { LiveTask } from "./live_task.ts";

/** The time is kept here, since a task's own may change while it lies in the heap. */
interface Entry {
  readonly task: LiveTask;
  readonly at: number;
}

/** With fewer entries there is nothing to win. */
const SWEEP_AT_LEAST = 256;

export class DueQueue {
  /** Whether `task` still waits for the time `at`. */
  readonly #waits: (task: LiveTask, at: number) => boolean;
  #heap = newHeap();
  #sweepAt = SWEEP_AT_LEAST;

  constructor(waits: (task: LiveTask, at: number) => boolean) {
    this.#waits = waits;
  }

  /** The earliest time that a task waits for; `Infinity` when none does. */
  get nextAt(): number {
    return this.#first()?.at ?? Infinity;
  }

  /** Entries, those included that wait no longer. */
  get length(): number {
    return this.#heap.length;
  }

  push(task: LiveTask, at: number): void {
    if (this.#heap.length >= this.#sweepAt) this.#sweep();
    this.#heap.push({ task, at });
  }

  /** Takes out the first task whose time has come. */
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
 * Delayed tasks in the order in which they become due. Those with `at` wait for the wall clock, all others for server time,
 * which is `aheadMs` before it. All times that go in and out are server time.
 */
export class DelayedTasks {
  /** How far server time is ahead of the wall clock. */
  aheadMs = 0;
  readonly #spans = new DueQueue(stillWaits);
  readonly #calendar = new DueQueue(stillWaits);

  /** When the first task becomes due; `Infinity` when there is none. */
  get nextAt(): number {
    return Math.min(this.#spans.nextAt, this.#calendar.nextAt + this.aheadMs);
  }

  get length(): number {
    return this.#spans.length + this.#calendar.length;
  }

  push(task: LiveTask): void {
    (task.isCalendar ? this.#calendar : this.#spans).push(task, task.runAt);
  }

  /** Takes out the first task that is due. */
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
