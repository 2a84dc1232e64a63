/** When the tasks of ops with a rate have started, and which ops may start nothing now. */

import type { Rate } from "../../../protocol/text_forms.ts";
import { RateWindow } from "../../task/rate_window.ts";

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
