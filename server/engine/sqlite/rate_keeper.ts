/**
 * Keeps when the tasks of keys and ops with a rate have started, so that a restart does not let twice as
 * many through. Written along with whatever is committed next, not waited for.
 */

import type { LeasedTask } from "../engine.ts";
import type { LiveTask } from "../live_task.ts";
import type { StartGate } from "../start_gate.ts";
import type { Rate } from "../../../protocol/rate.ts";

/** A shorter window is over before a server is up again. */
const MIN_WINDOW_MS = 100;

interface StoredRate {
  readonly windowMs: number;
  readonly starts: readonly number[];
}

/** Who knows the starts of one kind of names. */
interface Starts {
  startsOf(name: string): readonly number[];
  restore(name: string, starts: readonly number[], windowMs: number): void;
  prune(now: number): void;
}

type Save = (name: string, value: string | null) => void;

export class RateKeeper {
  readonly #keys: KeptStarts;
  readonly #ops: KeptStarts;

  constructor({ keys, opRates }: StartGate, save: Save) {
    this.#keys = new KeptStarts("rate/key/", keys, save);
    this.#ops = new KeptStarts("rate/op/", opRates, save);
  }

  /** Takes what it kept out of `settings`; answers the others. */
  restore(
    settings: readonly (readonly [name: string, value: string])[],
    now: number,
  ): (readonly [string, string])[] {
    return settings.filter(([name, value]) =>
      !this.#keys.restore(name, value, now) && !this.#ops.restore(name, value, now)
    );
  }

  /** These tasks start now. */
  started(tasks: readonly LeasedTask[], rates: ReadonlyMap<string, Rate> | undefined): void {
    let keys: Map<string, number> | undefined;
    let ops: Map<string, number> | undefined;
    for (const task of tasks as readonly LiveTask[]) {
      const { bond } = task.task;
      if (bond?.rate) keys = (keys ?? new Map()).set(bond.key, bond.rate.windowMs);
      const rate = rates?.get(task.op);
      if (rate) ops = (ops ?? new Map()).set(task.op, rate.windowMs);
    }
    if (keys) this.#keys.save(keys);
    if (ops) this.#ops.save(ops);
  }

  /** Forgets those whose windows are over. */
  prune(now: number): void {
    this.#keys.prune(now);
    this.#ops.prune(now);
  }
}

/** The starts of one kind of names. */
class KeptStarts {
  readonly #prefix: string;
  readonly #starts: Starts;
  readonly #save: Save;
  /** The longest window of each. */
  readonly #kept = new Map<string, number>();

  constructor(prefix: string, starts: Starts, save: Save) {
    this.#prefix = prefix;
    this.#starts = starts;
    this.#save = save;
  }

  /** Whether that setting was one of these. */
  restore(name: string, value: string, now: number): boolean {
    if (!name.startsWith(this.#prefix)) return false;
    const { windowMs, starts } = JSON.parse(value) as StoredRate;
    const own = name.slice(this.#prefix.length);
    this.#kept.set(own, windowMs);
    this.#starts.restore(own, starts.filter((start) => start + windowMs > now), windowMs);
    return true;
  }

  save(windows: ReadonlyMap<string, number>): void {
    for (const [name, windowMs] of windows) {
      if (windowMs < MIN_WINDOW_MS) continue;
      this.#kept.set(name, Math.max(windowMs, this.#kept.get(name) ?? 0));
      const stored: StoredRate = { windowMs, starts: this.#starts.startsOf(name) };
      this.#save(this.#prefix + name, JSON.stringify(stored));
    }
  }

  prune(now: number): void {
    this.#starts.prune(now);
    for (const name of this.#kept.keys()) {
      if (this.#starts.startsOf(name).length > 0) continue;
      this.#kept.delete(name);
      this.#save(this.#prefix + name, null);
    }
  }
}
