/**
 * Pauses of a loop that handles many things which came together: each may take long, there may be
 * thousands, and other connections must have their turn in between.
 */

import { setImmediate } from "node:timers";

/** Longest time without a look at sockets and timers, in ms. */
const LONGEST_MS = 4;

export class Breath {
  #since = performance.now();

  /** The loop begins: sockets and timers have just had their turn. */
  begin(): void {
    this.#since = performance.now();
  }

  /**
   * Resolves after what is due now. `setImmediate` costs least, but Deno runs immediates one after the other, for
   * a second and more, before it looks at sockets and timers again: so a timer has its turn every few ms.
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
