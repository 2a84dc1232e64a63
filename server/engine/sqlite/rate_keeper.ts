/**
 * Keeps when the tasks of keys with a rate have started, so that a restart does not let twice as many
 * through. Written along with whatever is committed next, not waited for.
 */

import type { LeasedTask } from "../engine.ts";
import type { KeyGate } from "../key_gate.ts";
import type { LiveTask } from "../live_task.ts";

const PREFIX = "rate/";
/** A shorter window is over before a server is up again. */
const MIN_WINDOW_MS = 100;

interface StoredRate {
  readonly windowMs: number;
  readonly starts: readonly number[];
}

export class RateKeeper {
  readonly #gate: KeyGate;
  readonly #save: (name: string, value: string | null) => void;
  readonly #kept = new Map<string, number>();

  constructor(gate: KeyGate, save: (name: string, value: string | null) => void) {
    this.#gate = gate;
    this.#save = save;
  }

  /** Takes what it kept out of `settings`; answers the others. */
  restore(
    settings: readonly (readonly [name: string, value: string])[],
    now: number,
  ): (readonly [string, string])[] {
    return settings.filter(([name, value]) => {
      if (!name.startsWith(PREFIX)) return true;
      const key = name.slice(PREFIX.length);
      const { windowMs, starts } = JSON.parse(value) as StoredRate;
      this.#kept.set(key, windowMs);
      this.#gate.restore(key, starts.filter((start) => start + windowMs > now), windowMs);
      return false;
    });
  }

  /** These tasks start now. */
  started(tasks: readonly LeasedTask[]): void {
    let keys: Map<string, number> | undefined;
    for (const task of tasks as readonly LiveTask[]) {
      const { bond } = task.task;
      if (!bond?.rate || bond.rate.windowMs < MIN_WINDOW_MS) continue;
      keys ??= new Map();
      keys.set(bond.key, bond.rate.windowMs);
    }
    for (const [key, windowMs] of keys ?? []) {
      this.#kept.set(key, Math.max(windowMs, this.#kept.get(key) ?? 0));
      const stored: StoredRate = { windowMs, starts: this.#gate.startsOf(key) };
      this.#save(PREFIX + key, JSON.stringify(stored));
    }
  }

  /** Forgets the keys whose windows are over. */
  prune(now: number): void {
    this.#gate.prune(now);
    for (const key of this.#kept.keys()) {
      if (this.#gate.startsOf(key).length > 0) continue;
      this.#kept.delete(key);
      this.#save(PREFIX + key, null);
    }
  }
}
