/** Lines for stdout, gathered: what a chunk of replies brings leaves in one write, a moment later. */

import { write } from "../../../cli/talk.ts";

const MAX_GATHERED_CHARS = 64 * 1024;

export class LinePrinter {
  readonly #failed = Promise.withResolvers<never>();
  #gathered = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isBroken = false;

  /**
   * Does `work`, and prints to the end what is added meanwhile. Rejects as soon as stdout takes no more;
   * nothing is written behind such a gap.
   */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#failed.promise.catch(() => undefined);
    try {
      return await Promise.race([work(), this.#failed.promise]);
    } finally {
      this.#flush();
    }
  }

  add(line: string): void {
    this.#gathered += `${line}\n`;
    if (this.#gathered.length > MAX_GATHERED_CHARS) this.#flush();
    else this.#timer ??= setTimeout(() => this.#tryFlush(), 0);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#gathered;
    this.#gathered = "";
    if (text === "" || this.#isBroken) return;
    try {
      write("stdout", text);
    } catch (error) {
      this.#isBroken = true;
      this.#failed.reject(error);
      throw error;
    }
  }

  #tryFlush(): void {
    try {
      this.#flush();
    } catch {
      // `during` rejects with it.
    }
  }
}
