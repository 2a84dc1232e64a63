/**
 * Runs one piece of work again and again, never twice at a time; the work says when it wants to be
 * run next. `stop` waits for the run under way. Used by the reclaimer and the janitor.
 */

import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";

export interface TickerOptions {
  readonly room: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Does the work; answers in how many ms to do it again. */
  readonly work: () => Promise<number>;
}

/** After work that failed: soon enough to recover, rare enough not to flood the log. */
const AFTER_ERROR_MS = 1000;

export class Ticker {
  readonly #options: TickerOptions;
  #cancel: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #started = false;

  constructor(options: TickerOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#schedule(0);
  }

  async stop(): Promise<void> {
    this.#started = false;
    this.#cancel?.();
    this.#cancel = undefined;
    await this.#running;
  }

  #schedule(ms: number): void {
    if (!this.#started) return;
    this.#cancel = this.#options.clock.after(ms, () => {
      this.#running = this.#run();
    });
  }

  async #run(): Promise<void> {
    const { work, log, room } = this.#options;
    let next = AFTER_ERROR_MS;
    try {
      next = await work();
    } catch (error) {
      log.bug(room, error);
    }
    this.#schedule(next);
  }
}
