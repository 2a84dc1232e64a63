/** Lines for stdout, gathered: what a chunk of replies brings leaves in one write, a moment later. */

import { write } from "../cli/talk.ts";

const MAX_GATHERED_CHARS = 64 * 1024;

export class LinePrinter {
  #gathered = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  add(line: string): void {
    this.#gathered += `${line}\n`;
    if (this.#gathered.length > MAX_GATHERED_CHARS) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), 0);
  }

  /** Writes what there is; call it once more at the end. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#gathered !== "") write("stdout", this.#gathered);
    this.#gathered = "";
  }
}
