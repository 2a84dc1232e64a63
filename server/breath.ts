/**
 * Pauses in a loop over many messages or records, so that other connections get their turn. Sessions and imports use it.
 */

import { setImmediate } from "node:timers";

/** Longest time without a turn for sockets and timers, in ms. */
const LONGEST_MS = 4;

export class Breath {
  #since = performance.now();

  /** The loop begins: sockets and timers have just had their turn. */
  begin(): void {
    this.#since = performance.now();
  }

  /**
   * Resolves after the work that is due now. `setImmediate` costs least, but Deno runs immediates for a second and more
   * before it turns to sockets and timers. So a timer gets its turn every `LONGEST_MS`.
   */
  async take(): Promise<void> {
    if (this.#isLong) await this.#takeLong();
    else await new Promise<void>((resolve) => setImmediate(resolve));
  }

  /** Resolves at once, unless sockets and timers have waited for long. For a loop of many small steps. */
  async takeIfLong(): Promise<void> {
    if (this.#isLong) await this.#takeLong();
  }

  get #isLong(): boolean {
    return performance.now() - this.#since >= LONGEST_MS;
  }

  async #takeLong(): Promise<void> {
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    this.#since = performance.now();
  }
}
