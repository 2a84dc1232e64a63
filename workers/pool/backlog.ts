/** Leased-task lines that no worker has yet, in the order in which they came. */

export class Backlog {
  #lines: string[] = [];
  #head = 0;

  get size(): number {
    return this.#lines.length - this.#head;
  }

  /** Adds to the end. The array is not used by the caller any more. */
  push(lines: string[]): void {
    if (this.size === 0) return this.#set(lines);
    if (this.#head > this.size) this.#set(this.lines());
    for (const line of lines) this.#lines.push(line);
  }

  /** Puts back what was taken, in front of all others. */
  putBack(lines: readonly string[]): void {
    if (lines.length > 0) this.#set([...lines, ...this.lines()]);
  }

  /** Takes the first `count`. */
  take(count: number): string[] {
    const taken = this.#lines.slice(this.#head, this.#head + count);
    this.#head += taken.length;
    if (this.#head === this.#lines.length) this.#set([]);
    return taken;
  }

  /** Takes the last `count`. */
  takeLast(count: number): string[] {
    return this.#lines.splice(Math.max(this.#head, this.#lines.length - count));
  }

  /** Takes those for which `test` holds. */
  takeIf(test: (line: string) => boolean): string[] {
    const taken: string[] = [];
    const kept: string[] = [];
    for (const line of this.lines()) (test(line) ? taken : kept).push(line);
    this.#set(kept);
    return taken;
  }

  lines(): string[] {
    return this.#lines.slice(this.#head);
  }

  #set(lines: string[]): void {
    this.#lines = lines;
    this.#head = 0;
  }
}
