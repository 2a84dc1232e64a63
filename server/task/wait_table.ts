/** Waiters by what they wait for: a chain of them for each key, the last to come first. */

import type { Ref } from "../../protocol/message.ts";
import type { FinishedTask } from "./finished_task.ts";

/** Where the news of a final task goes. */
export interface Waiter {
  /** No news are wanted any more. */
  readonly closed: boolean;
  deliver(task: FinishedTask, ref: Ref | undefined): void;
}

export interface Wait {
  readonly waiter: Waiter;
  readonly ref: Ref | undefined;
  /** The next one that waits for the same task. */
  next: Wait | undefined;
}

/** The map that a table keeps its chains in. */
interface WaitMap<Key> {
  readonly size: number;
  get(key: Key): Wait | undefined;
  set(key: Key, wait: Wait): unknown;
  take(key: Key): Wait | undefined;
  entries(): Iterable<[Key, Wait]>;
}

export class WaitTable<Key> {
  readonly #waits: WaitMap<Key>;

  constructor(waits: WaitMap<Key>) {
    this.#waits = waits;
  }

  get size(): number {
    return this.#waits.size;
  }

  add(key: Key, wait: Wait): void {
    wait.next = this.#waits.get(key);
    this.#waits.set(key, wait);
  }

  /** Drops one wait of `waiter` with this `ref`; it may have others. Whether there was one. */
  remove(key: Key, waiter: Waiter, ref: Ref | undefined): boolean {
    let found = false;
    this.#keepOnly(key, (wait) => {
      if (found || wait.waiter !== waiter || wait.ref !== ref) return true;
      found = true;
      return false;
    });
    return found;
  }

  /** All who wait for `key`; they wait no longer. */
  take(key: Key): Wait | undefined {
    return this.#waits.take(key);
  }

  /** Drops the waiters that are closed. */
  sweep(): void {
    for (const [key] of [...this.#waits.entries()]) {
      this.#keepOnly(key, ({ waiter }) => !waiter.closed);
    }
  }

  #keepOnly(key: Key, isKept: (wait: Wait) => boolean): void {
    let kept: Wait | undefined;
    for (let wait = this.#waits.take(key); wait; wait = wait.next) {
      if (isKept(wait)) kept = { ...wait, next: kept };
    }
    if (kept) this.#waits.set(key, kept);
  }
}

/** A `Map` of waiters by ids that clients chose. */
export class WaitsById extends Map<string, Wait> implements WaitMap<string> {
  take(id: string): Wait | undefined {
    const wait = this.get(id);
    if (wait) this.delete(id);
    return wait;
  }
}
