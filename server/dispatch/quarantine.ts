/**
 * Runs suspects: tasks that were running in so many deaths of worker processes that the next is their
 * last. One of them at a time, on a runner that holds nothing else, so that no innocent task is blamed
 * for the death of its neighbour. The dispatcher asks here before it gives a runner anything.
 */

import type { Runner } from "./runner.ts";

export class Quarantine {
  #runner: Runner | undefined;
  #isRunning = false;

  /** Suspects are queued: `runners` has to spare one, the least busy. False: one is spared already. */
  open(runners: readonly Runner[]): boolean {
    if (this.#runner) return false;
    this.#runner = [...runners].sort((a, b) => a.held - b.held)[0];
    this.#isRunning = false;
    return true;
  }

  /** What `runner` may be given now. */
  allows(runner: Runner): "all" | "suspect" | "nothing" {
    if (runner !== this.#runner) return "all";
    if (runner.held > 0) return "nothing";
    if (!this.#isRunning) return "suspect";
    // The suspect has ended, and its runner outlived it.
    this.#runner = undefined;
    return "all";
  }

  /** The runner was given a suspect, or there was none left. */
  settle(gotOne: boolean): void {
    if (gotOne) this.#isRunning = true;
    else this.#runner = undefined;
  }

  /** The runner is gone, and with it what it ran. */
  leave(runner: Runner): void {
    if (runner === this.#runner) this.#runner = undefined;
  }
}
