/**
 * Limits and rates of ops: which ops may start no more tasks now. `OpLimits` counts the running tasks of ops with a limit.
 * `OpRates` keeps the start times of tasks of ops with a rate.
 */

import type { Rate } from "../../../protocol/text_forms.ts";
import { RateWindow } from "../../task/rate_window.ts";

interface OpCount {
  running: number;
  /** The last named limit; `Infinity` once the op has none. */
  limit: number;
}

export class OpLimits {
  readonly #ops = new Map<string, OpCount>();
  /** The last named limits. */
  #named: ReadonlyMap<string, number> = new Map();

  /** Sets the limits from now on. `running`: the ops of all running tasks. */
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
      // Still counted while any run, in case the limit comes back.
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

  /** The limit of `op` if as many of its tasks run; `undefined` if one more can start. */
  limitOf(op: string): number | undefined {
    const known = this.#ops.get(op);
    return known && known.running >= known.limit ? known.limit : undefined;
  }

  /** The ops of which no task can start now. */
  *full(): Generator<string> {
    for (const [op, { running, limit }] of this.#ops) if (running >= limit) yield op;
  }

  /** Counts a start; true if no further task of `op` can start. */
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
  /** The last named rate. */
  rate: Rate;
}

export class OpRates {
  readonly #ops = new Map<string, OpWindow>();
  #nextAt = Infinity;

  /** The next time at which one of the ops of the last `full` can start a task. */
  get nextAt(): number {
    return this.#nextAt;
  }

  /** The ops among `ops` of which no task can start now, by the present `rates`. */
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

  /** When the next task of `op` can start; `now` or later. */
  nextOf(op: string, now: number): number {
    const known = this.#ops.get(op);
    return known ? known.window.nextAt(known.rate, now) : now;
  }

  /** Sets the starts from before the restart. */
  restore(op: string, starts: readonly number[], windowMs: number): void {
    this.#ops.set(op, { window: new RateWindow(starts), rate: { starts: Infinity, windowMs } });
  }

  /** Forgets ops without starts in their windows. */
  prune(now: number): void {
    for (const [op, { window, rate }] of this.#ops) {
      if (window.prune(rate.windowMs, now)) this.#ops.delete(op);
    }
  }
}

const NONE: readonly string[] = [];
