/**
 * The retention of final tasks in the memory engine: each is dropped after its own `keep`, or sooner if there are too
 * many. The result of a completed task whose client waits is delivered at once, so only a few of these are kept. A flood of
 * tasks then leaves little behind, which the garbage collector would have to visit. Tasks with the default `keep` become
 * due in the order of their ends, so only the others need a heap.
 */

import { BinaryHeap } from "@std/data-structures/binary-heap";
import { Deque } from "@std/data-structures/deque";
import { DEFAULT_RULES } from "../../task/new_task.ts";
import type { LiveTask, Stay } from "../live/live_task.ts";

/** Limits of the final tasks that are kept. */
export interface RetentionLimits {
  /** Most completed tasks with the default `keep` whose client waited for the result. */
  readonly delivered: number;
  /** Most other final tasks. Above it, tasks with the default `keep` are removed first. */
  readonly others: number;
  /** Most characters of payloads, results and logs of all of them; delivered tasks go first. */
  readonly chars?: number;
}

/** Default of `chars`. Without it, ten thousand tasks of a megabyte each, with their results, would be 20 GB. */
const KEPT_CHARS = 64 * 1024 * 1024;

export class Retention {
  readonly #limits: RetentionLimits;
  readonly #remove: (task: LiveTask) => void;
  readonly #delivered = new Deque<LiveTask>();
  readonly #others = new Deque<Stay>();
  readonly #ownKeep = new BinaryHeap<Stay>((a, b) => a.until - b.until);
  #size = 0;
  #chars = 0;

  constructor(limits: RetentionLimits, remove: (task: LiveTask) => void) {
    this.#limits = limits;
    this.#remove = remove;
  }

  /** When the next record becomes due; `Infinity` if none does. */
  get nextAt(): number {
    return Math.min(
      leavesAt(this.#delivered.peekFront()),
      this.#others.peekFront()?.until ?? Infinity,
      this.#ownKeep.peek()?.until ?? Infinity,
    );
  }

  put(task: LiveTask): void {
    const { keepMs } = task.task.rules;
    const hasOwnKeep = keepMs !== DEFAULT_RULES.keepMs;
    this.#size++;
    this.#chars += charsOf(task);
    if (!hasOwnKeep && task.task.wait && task.state.status === "completed") {
      // A completed task never runs again, so its place needs no mark.
      this.#delivered.pushBack(task);
      if (this.#delivered.length > this.#limits.delivered) this.#drop(this.#delivered.popFront());
    } else {
      this.#putOther(task, hasOwnKeep);
    }
    while (this.#chars > (this.#limits.chars ?? KEPT_CHARS)) {
      const delivered = this.#delivered.popFront();
      const stay = delivered ? undefined : this.#others.popFront() ?? this.#ownKeep.pop();
      if (!delivered && !stay) return;
      this.#drop(delivered);
      this.#end(stay);
    }
  }

  #putOther(task: LiveTask, hasOwnKeep: boolean): void {
    const { keepMs } = task.task.rules;
    const stay: Stay = { task, until: task.finishedAt + keepMs };
    task.stay = stay;
    if (hasOwnKeep) this.#ownKeep.push(stay);
    else this.#others.pushBack(stay);
    if (this.#others.length + this.#ownKeep.length > this.#limits.others) {
      this.#end(this.#others.popFront() ?? this.#ownKeep.pop());
    }
  }

  /** Takes back a task that runs again: it stays in the engine. */
  takeBack(task: LiveTask): void {
    if (!task.stay) return;
    // The stay is passed over when its turn comes: the task has another by then, or none.
    task.stay = undefined;
    this.#size--;
    this.#chars -= charsOf(task);
  }

  /** Drops the tasks that were kept long enough; returns how many. */
  prune(now: number): number {
    const before = this.#size;
    while (isOver(this.#ownKeep.peek(), now)) this.#end(this.#ownKeep.pop());
    while (leavesAt(this.#delivered.peekFront()) <= now) this.#drop(this.#delivered.popFront());
    while (isOver(this.#others.peekFront(), now)) this.#end(this.#others.popFront());
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

/** The size of a final task, which does not change while it is kept. */
function charsOf({ chars, result }: LiveTask): number {
  return chars + (result?.length ?? 0);
}
