/**
 * Limits and rates of keys: how many tasks of each key run, when they started, and which keys are held until one of their
 * tasks ends, or until a time.
 */

import { BinaryHeap } from "@std/data-structures/binary-heap";
import type { KeyLimit } from "../../task/new_task.ts";
import { RateWindow } from "../../task/rate_window.ts";

interface KeyState {
  running: number;
  /** Start times, for a key with a rate. */
  window: RateWindow | undefined;
  /** The longest window that its tasks named. */
  windowMs: number;
  isHeld: boolean;
}

interface Wake {
  readonly key: string;
  readonly at: number;
}

export class KeyLimits {
  readonly #keys = new Map<string, KeyState>();
  readonly #wakes = new BinaryHeap<Wake>((a, b) => a.at - b.at);

  /** The next time at which a key that its rate holds back can start a task. */
  get nextAt(): number {
    return this.#wakes.peek()?.at ?? Infinity;
  }

  /** The reason why a task with this limit cannot start. Holds no key. */
  look(
    keyLimit: KeyLimit,
    now: number,
  ): { by: "key_limit" | "key_rate"; until?: number } | undefined {
    const state = this.#keys.get(keyLimit.key);
    if (!state) return undefined;
    if (state.running >= keyLimit.limit) return { by: "key_limit" };
    const until = keyLimit.rate && state.window ? state.window.nextAt(keyLimit.rate, now) : now;
    return until > now ? { by: "key_rate", until } : undefined;
  }

  /** Whether a task cannot start. If so, its key is held until `ended` or `due` frees it. */
  holds(keyLimit: KeyLimit, now: number): boolean {
    const held = this.look(keyLimit, now);
    if (!held) return false;
    (this.#keys.get(keyLimit.key) as KeyState).isHeld = true;
    if (held.until !== undefined) this.#wakes.push({ key: keyLimit.key, at: held.until });
    return true;
  }

  started({ key, rate }: KeyLimit, now: number): void {
    let state = this.#keys.get(key);
    if (!state) {
      state = { running: 0, window: undefined, windowMs: 0, isHeld: false };
      this.#keys.set(key, state);
    }
    state.running++;
    if (!rate) return;
    state.window ??= new RateWindow();
    state.window.add(now);
    state.windowMs = Math.max(state.windowMs, rate.windowMs);
  }

  /** Counts the end of a run; true if its key was held, and is free now. */
  ended({ key }: KeyLimit, now: number): boolean {
    const state = this.#keys.get(key);
    if (!state) return false;
    state.running--;
    const wasHeld = state.isHeld;
    state.isHeld = false;
    if (state.running === 0 && (!state.window || state.window.prune(state.windowMs, now))) {
      this.#keys.delete(key);
    }
    return wasHeld;
  }

  /** The keys whose time has come. */
  due(now: number): string[] {
    const keys: string[] = [];
    for (let wake = this.#wakes.peek(); wake && wake.at <= now; wake = this.#wakes.peek()) {
      this.#wakes.pop();
      const state = this.#keys.get(wake.key);
      if (state) state.isHeld = false;
      keys.push(wake.key);
    }
    return keys;
  }

  /** Sets the starts from before the restart. */
  restore(key: string, starts: readonly number[], windowMs: number): void {
    const window = new RateWindow(starts);
    this.#keys.set(key, { running: 0, window, windowMs, isHeld: false });
  }

  /** Forgets keys without running tasks or starts in their windows. */
  prune(now: number): void {
    for (const [key, state] of this.#keys) {
      if (state.running > 0 || !state.window) continue;
      if (state.window.prune(state.windowMs, now)) this.#keys.delete(key);
    }
  }
}
