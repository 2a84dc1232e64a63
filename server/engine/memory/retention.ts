/**
 * The finished tasks of the memory engine, and when each is dropped: after its own `keep`, or before
 * that when there are too many. Completed tasks whose submitter was waiting for the result have been
 * told already: few of them are kept, so that a flood of tasks leaves little behind (kept in numbers,
 * they cost the garbage collector more than running them costs everyone else). Tasks with the default
 * `keep` become due in the order in which they finished, so only the others need a heap.
 */

import { BinaryHeap } from "@std/data-structures/binary-heap";
import { Deque } from "@std/data-structures/deque";
import { DEFAULT_RULES } from "../../task/new_task.ts";
import type { LiveTask, Stay } from "../live/live_task.ts";

/** How many finished tasks are kept at most. */
export interface ShelfLimits {
  /** Completed, with the default `keep`, and their submitter waited for the result. */
  readonly told: number;
  /** All others; when there are more, those with the default `keep` go first. */
  readonly untold: number;
  /** Payloads, results and logs of all of them together; those told already go first. */
  readonly chars?: number;
}

/** Ten thousand tasks of a megabyte each, with their results, would be 20 GB. */
const KEPT_CHARS = 64 * 1024 * 1024;

export class Retention {
  readonly #limits: ShelfLimits;
  readonly #remove: (task: LiveTask) => void;
  readonly #told = new Deque<LiveTask>();
  readonly #untold = new Deque<Stay>();
  readonly #ownKeep = new BinaryHeap<Stay>((a, b) => a.until - b.until);
  #size = 0;
  #chars = 0;

  constructor(limits: ShelfLimits, remove: (task: LiveTask) => void) {
    this.#limits = limits;
    this.#remove = remove;
  }

  /** When the next record is to be dropped; `Infinity` when none is. */
  get nextAt(): number {
    return Math.min(
      leavesAt(this.#told.peekFront()),
      this.#untold.peekFront()?.until ?? Infinity,
      this.#ownKeep.peek()?.until ?? Infinity,
    );
  }

  put(task: LiveTask): void {
    const { keepMs } = task.task.rules;
    const hasOwnKeep = keepMs !== DEFAULT_RULES.keepMs;
    this.#size++;
    this.#chars += charsOf(task);
    if (!hasOwnKeep && task.task.wait && task.state.status === "completed") {
      // A completed task is never run again, so its place needs no mark.
      this.#told.pushBack(task);
      if (this.#told.length > this.#limits.told) this.#drop(this.#told.popFront());
    } else {
      this.#putUntold(task, hasOwnKeep);
    }
    while (this.#chars > (this.#limits.chars ?? KEPT_CHARS)) {
      const told = this.#told.popFront();
      const stay = told ? undefined : this.#untold.popFront() ?? this.#ownKeep.pop();
      if (!told && !stay) return;
      this.#drop(told);
      this.#end(stay);
    }
  }

  #putUntold(task: LiveTask, hasOwnKeep: boolean): void {
    const { keepMs } = task.task.rules;
    const stay: Stay = { task, until: task.finishedAt + keepMs };
    task.stay = stay;
    if (hasOwnKeep) this.#ownKeep.push(stay);
    else this.#untold.pushBack(stay);
    if (this.#untold.length + this.#ownKeep.length > this.#limits.untold) {
      this.#end(this.#untold.popFront() ?? this.#ownKeep.pop());
    }
  }

  /** The task runs again: it leaves the shelf and stays in the engine. */
  takeBack(task: LiveTask): void {
    if (!task.stay) return;
    // The stay itself is passed over when its turn comes: it is not the task's own any more.
    task.stay = undefined;
    this.#size--;
    this.#chars -= charsOf(task);
  }

  /** Drops what has been kept long enough; answers how many. */
  prune(now: number): number {
    const before = this.#size;
    while (isOver(this.#ownKeep.peek(), now)) this.#end(this.#ownKeep.pop());
    while (leavesAt(this.#told.peekFront()) <= now) this.#drop(this.#told.popFront());
    while (isOver(this.#untold.peekFront(), now)) this.#end(this.#untold.popFront());
    return before - this.#size;
  }

  #end(stay: Stay | undefined): void {
    if (!stay || stay.task.stay !== stay) return;
    stay.task.stay = undefined;
    this.#drop(stay.task);
  }

  #drop(task: LiveTask | undefined): void {
    if (!task) return;
    this.#size--;
    this.#chars -= charsOf(task);
    this.#remove(task);
  }
}

/** When a task with the default `keep` is dropped. */
function leavesAt(task: LiveTask | undefined): number {
  return task ? task.finishedAt + DEFAULT_RULES.keepMs : Infinity;
}

function isOver(stay: Stay | undefined, now: number): boolean {
  return stay !== undefined && (stay.until <= now || stay.task.stay !== stay);
}

/** Of a finished task; the same for as long as it lies on the shelf. */
function charsOf({ chars, result }: LiveTask): number {
  return chars + (result?.length ?? 0);
}
