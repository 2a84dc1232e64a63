/**
 * When the starts of a rate were. Exact: those within the stretch are remembered, so that no edge of a
 * window lets twice as many through. Pure.
 */

import { MAX_RATE_STARTS } from "../../protocol/limits.ts";
import type { Rate } from "../../protocol/text_forms.ts";

/** The starts that still count. */
export class RateWindow {
  /** Times of starts, the oldest first. */
  #starts: number[];

  constructor(starts: readonly number[] = []) {
    this.#starts = [...starts];
  }

  get starts(): readonly number[] {
    return this.#starts;
  }

  add(now: number): void {
    this.#starts.push(now);
    if (this.#starts.length > 2 * MAX_RATE_STARTS) this.#starts.splice(0, MAX_RATE_STARTS);
  }

  /** When the next start may be: `now` or later. Starts are forgotten once no longer window asks. */
  nextAt({ starts, windowMs }: Rate, now: number): number {
    if (this.#starts.length < starts) return now;
    // The start that must have left the window before another may come.
    const blocking = this.#starts[this.#starts.length - starts] as number;
    return Math.max(now, blocking + windowMs);
  }

  /** Forgets what lies more than `windowMs` back; true when nothing is left. */
  prune(windowMs: number, now: number): boolean {
    const first = this.#starts.findIndex((start) => start + windowMs > now);
    if (first === -1) this.#starts = [];
    else if (first > 0) this.#starts.splice(0, first);
    return this.#starts.length === 0;
  }
}
