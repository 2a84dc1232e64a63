/**
 * The order in which queued tasks are handed out: a queue per op, in it one per priority, first in
 * first out in each. An entry that stops being queued stays where it is and is dropped when its turn
 * comes, so that cancelling costs nothing here.
 */

import { Deque } from "@std/data-structures/deque";

export interface ReadyEntry {
  readonly op: string;
  readonly priority: number;
  /** Grows with every entry: who came first, across ops. */
  readonly order: number;
  /** False once the task was cancelled or expired, and this entry means nothing. */
  readonly isQueued: boolean;
}

/** The entries of one op and one priority. */
interface Lane<Entry> {
  readonly priority: number;
  readonly entries: Deque<Entry>;
}

/** The lanes of one op, highest priority first; none of them empty. */
type OpLanes<Entry> = Lane<Entry>[];

export class ReadyQueue<Entry extends ReadyEntry> {
  readonly #ops = new Map<string, OpLanes<Entry>>();

  push(entry: Entry): void {
    this.#lane(entry).entries.pushBack(entry);
  }

  /** Puts back what was taken and never started: it is next again. */
  pushFront(entry: Entry): void {
    this.#lane(entry).entries.pushFront(entry);
  }

  /** Takes the next entry of one of `ops`. */
  take(ops: ReadonlySet<string>): Entry | undefined {
    let best: Entry | undefined;
    if (this.#ops.size <= ops.size) {
      for (const op of this.#ops.keys()) if (ops.has(op)) best = before(best, this.#head(op));
    } else {
      for (const op of ops) best = before(best, this.#head(op));
    }
    if (best) this.#drop(best.op);
    return best;
  }

  /** Whether `take` would find one. */
  has(ops: ReadonlySet<string>): boolean {
    for (const op of this.#ops.keys()) if (ops.has(op) && this.#head(op)) return true;
    return false;
  }

  #lane(entry: Entry): Lane<Entry> {
    const { op, priority } = entry;
    let lanes = this.#ops.get(op);
    if (!lanes) this.#ops.set(op, lanes = []);
    let at = 0;
    for (; at < lanes.length; at++) {
      const lane = lanes[at];
      if (!lane || lane.priority < priority) break;
      if (lane.priority === priority) return lane;
    }
    const lane: Lane<Entry> = { priority, entries: new Deque<Entry>() };
    lanes.splice(at, 0, lane);
    return lane;
  }

  /** The next entry of `op`; entries that are not queued any more are dropped on the way. */
  #head(op: string): Entry | undefined {
    for (;;) {
      const head = this.#ops.get(op)?.[0]?.entries.peekFront();
      if (!head || head.isQueued) return head;
      this.#drop(op);
    }
  }

  #drop(op: string): void {
    const lanes = this.#ops.get(op);
    const lane = lanes?.[0];
    if (!lanes || !lane) return;
    lane.entries.popFront();
    if (lane.entries.length > 0) return;
    lanes.shift();
    if (lanes.length === 0) this.#ops.delete(op);
  }
}

/** Which of two is handed out first. */
function before<Entry extends ReadyEntry>(a: Entry | undefined, b: Entry | undefined) {
  if (!a || !b) return a ?? b;
  if (a.priority !== b.priority) return a.priority > b.priority ? a : b;
  return a.order < b.order ? a : b;
}
