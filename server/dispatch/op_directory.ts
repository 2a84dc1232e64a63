/**
 * Which ops there are: what worker processes said when they connected. An op stays known when its
 * last worker leaves, so that a restart of the workers refuses nobody.
 */

import type { Runner } from "./runner.ts";

export class OpDirectory {
  readonly #workers = new Map<string, number>();
  #ready: Promise<void> | undefined;
  #markReady: () => void = () => {};

  /** With `expectsWorkers`, nobody can say that an op is unknown before the first ones are there. */
  constructor(expectsWorkers: boolean) {
    if (expectsWorkers) {
      this.#ready = new Promise((resolve) => {
        this.#markReady = () => {
          this.#ready = undefined;
          resolve();
        };
      });
    }
  }

  /** Pending while the first workers are on their way; `undefined` afterwards. */
  get ready(): Promise<void> | undefined {
    return this.#ready;
  }

  /** Answers nothing more to wait for, workers or not. */
  giveUpWaiting(): void {
    this.#markReady();
  }

  add(runner: Runner): void {
    for (const op of runner.ops) {
      this.#workers.set(op, (this.#workers.get(op) ?? 0) + runner.workers);
    }
    this.#markReady();
  }

  remove(runner: Runner): void {
    for (const op of runner.ops) {
      this.#workers.set(op, (this.#workers.get(op) ?? 0) - runner.workers);
    }
  }

  /** True also while no worker has ever connected: then nothing is known to be wrong. */
  has(op: string): boolean {
    return this.#workers.has(op) || this.#workers.size === 0;
  }

  /** Every known op and how many workers run it now, by name. */
  list(): { op: string; workers: number }[] {
    return [...this.#workers].map(([op, workers]) => ({ op, workers }))
      .sort((a, b) => a.op < b.op ? -1 : 1);
  }
}
