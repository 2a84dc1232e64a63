/**
 * Limits and rates of ops: which ops may start no more tasks now. `OpLimits` counts the running tasks of ops with a limit;
 * those of an op are counted when its limit is first named. `OpRates` keeps the start times of ops with a rate.
 */

import type { Rate } from "../../../protocol/text_forms.ts";
import { RateWindow } from "../../task/rate_window.ts";

interface OpCount {
  running: number;
  /** As it was last named; `Infinity` once it has none any more. */
  limit: number;
}

export class OpLimits {
  readonly #ops = new Map<string, OpCount>();
  /** As they were last told. */
  #named: ReadonlyMap<string, number> = new Map();

  /** Takes up the limits that hold from now on; `running` are the ops of all tasks that run. */
  name(limits: ReadonlyMap<string, number>, running: () => Iterable<string>): void {
    if (limits === this.#named) return;
    this.#named = limits;
    const fresh = new Map<string, OpCount>();
    for (const [op, limit] of limits) {
      const known = this.#ops.get(op);
      if (known) known.limit = limit;
      else fresh.set(op, { running: 0, limit });
    }
    for (const [op, known] of this.#ops) {
      if (limits.has(op)) continue;
      // Counted on while any run, so that a limit that comes back finds them.
      known.limit = Infinity;
      if (known.running === 0) this.#ops.delete(op);
    }
    if (fresh.size === 0) return;
    for (const op of running()) {
      const count = fresh.get(op);
      if (count) count.running++;
    }
    for (const [op, count] of fresh) this.#ops.set(op, count);
  }

  /** The limit of `op` where as many of its tasks run; `undefined` where one more may start. */
  limitOf(op: string): number | undefined {
    const known = this.#ops.get(op);
    return known && known.running >= known.limit ? known.limit : undefined;
  }

  /** The ops that may start nothing now. */
  *full(): Generator<string> {
    for (const [op, { running, limit }] of this.#ops) if (running >= limit) yield op;
  }

  /** A task of `op` starts; true when it was the last that may. */
  started(op: string): boolean {
    if (this.#ops.size === 0) return false;
    const known = this.#ops.get(op);
    return known !== undefined && ++known.running >= known.limit;
  }

  ended(op: string): void {
    if (this.#ops.size === 0) return;
    const known = this.#ops.get(op);
    if (!known) return;
    known.running--;
    if (known.running === 0 && known.limit === Infinity) this.#ops.delete(op);
  }
}

interface OpWindow {
  readonly window: RateWindow;
  /** As it was last named. */
  rate: Rate;
}

export class OpRates {
  readonly #ops = new Map<string, OpWindow>();
  #nextAt = Infinity;

  /** When one of the ops that `full` last told of may start something. */
  get nextAt(): number {
    return this.#nextAt;
  }

  /** Those of `ops` that may start nothing now; `rates` are those that hold. */
  full(
    ops: ReadonlySet<string>,
    rates: ReadonlyMap<string, Rate> | undefined,
    now: number,
  ): readonly string[] {
    this.#nextAt = Infinity;
    if (!rates || rates.size === 0) return NONE;
    const full: string[] = [];
    for (const [op, rate] of rates) {
      const known = ops.has(op) ? this.#ops.get(op) : undefined;
      if (!known) continue;
      known.rate = rate;
      const at = known.window.nextAt(rate, now);
      if (at <= now) continue;
      full.push(op);
      this.#nextAt = Math.min(this.#nextAt, at);
    }
    return full;
  }

  started(op: string, rate: Rate, now: number): void {
    let known = this.#ops.get(op);
    if (!known) this.#ops.set(op, known = { window: new RateWindow(), rate });
    known.window.add(now);
  }

  /** When the next task of `op` may start; `now` or later. */
  nextOf(op: string, now: number): number {
    const known = this.#ops.get(op);
    return known ? known.window.nextAt(known.rate, now) : now;
  }

  /** What started before the server did. */
  restore(op: string, starts: readonly number[], windowMs: number): void {
    this.#ops.set(op, { window: new RateWindow(starts), rate: { starts: Infinity, windowMs } });
  }

  /** Forgets ops that nothing is to be remembered of. */
  prune(now: number): void {
    for (const [op, { window, rate }] of this.#ops) {
      if (window.prune(rate.windowMs, now)) this.#ops.delete(op);
    }
  }
}

const NONE: readonly string[] = [];
