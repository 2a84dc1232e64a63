/**
 * Waiters by what they wait for: a chain of them for each key, the last to come first. Each is taken out by its own
 * wait, in one step, however many wait for the same.
 */

import type { Ref } from "../../protocol/message.ts";
import type { FinishedTask } from "./finished_task.ts";

/** Where the news of a final task goes. */
export interface Waiter {
  /** No news are wanted any more. */
  readonly closed: boolean;
  deliver(task: FinishedTask, ref: Ref | undefined): void;
}

/** One waiter's place in a chain. */
export class Wait {
  /** The next one that waits for the same task, and the one before. */
  next: Wait | undefined = undefined;
  previous: Wait | undefined = undefined;
  /** It stands in a chain. */
  isOpen = false;

  constructor(readonly id: string, readonly waiter: Waiter, readonly ref: Ref | undefined) {}
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
    const first = this.#waits.get(key);
    wait.next = first;
    wait.isOpen = true;
    if (first) first.previous = wait;
    this.#waits.set(key, wait);
  }

  /** Drops a wait that was added under `key`; false if it was taken or dropped before. */
  remove(key: Key, wait: Wait): boolean {
    if (!wait.isOpen) return false;
    const { next, previous } = wait;
    if (next) next.previous = previous;
    if (previous) previous.next = next;
    else if (next) this.#waits.set(key, next);
    else this.#waits.take(key);
    wait.isOpen = false;
    return true;
  }

  /** The first wait for `key`, which stays. */
  first(key: Key): Wait | undefined {
    return this.#waits.get(key);
  }

  /** All who wait for `key`; they wait no longer. */
  take(key: Key): Wait | undefined {
    const first = this.#waits.take(key);
    for (let wait = first; wait; wait = wait.next) wait.isOpen = false;
    return first;
  }

  /** Drops the waiters that are closed. */
  sweep(): void {
    for (const [key, first] of [...this.#waits.entries()]) {
      for (let wait: Wait | undefined = first; wait; wait = wait.next) {
        if (wait.waiter.closed) this.remove(key, wait);
      }
    }
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
