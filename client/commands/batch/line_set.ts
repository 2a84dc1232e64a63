/**
 * A set of line numbers, stored as ranges. Lines end nearly in the order in which they were sent, so a million of them
 * are a few ranges: at most as many as there were lines in flight.
 */

export class LineSet {
  /** First and last lines of the ranges, ascending; two ranges never touch. */
  readonly #firsts: number[] = [];
  readonly #lasts: number[] = [];
  #count = 0;

  /** Parses the output of `toString`. Throws `SyntaxError` for any other text. */
  static parse(text: string): LineSet {
    const lines = new LineSet();
    for (const range of text === "" ? [] : text.split(",")) {
      const [, first = "", last = first] = /^(\d+)(?:-(\d+))?$/.exec(range) ?? [];
      if (!isLine(Number(first)) || !(Number(last) >= Number(first))) {
        throw new SyntaxError(`not a range of lines: ${range}`);
      }
      lines.addRange(Number(first), Number(last));
    }
    return lines;
  }

  get count(): number {
    return this.#count;
  }

  has(line: number): boolean {
    const at = this.#rangeFrom(line);
    return at >= 0 && line <= (this.#lasts[at] ?? 0);
  }

  add(line: number): void {
    this.addRange(line, line);
  }

  addAll(lines: LineSet): void {
    for (const [i, first] of lines.#firsts.entries()) {
      this.addRange(first, lines.#lasts[i] ?? first);
    }
  }

  /** Adds `first` to `last`, both included. */
  addRange(first: number, last: number): void {
    let from = this.#rangeFrom(first);
    // A range that touches the new one is extended.
    if (from < 0 || (this.#lasts[from] ?? 0) < first - 1) from++;
    const to = this.#rangeFrom(last + 1);
    if (to < from) {
      this.#firsts.splice(from, 0, first);
      this.#lasts.splice(from, 0, last);
      this.#count += last - first + 1;
      return;
    }
    let before = 0;
    for (let i = from; i <= to; i++) before += (this.#lasts[i] ?? 0) - (this.#firsts[i] ?? 0) + 1;
    const start = Math.min(first, this.#firsts[from] ?? first);
    const end = Math.max(last, this.#lasts[to] ?? last);
    this.#firsts.splice(from, to - from + 1, start);
    this.#lasts.splice(from, to - from + 1, end);
    this.#count += end - start + 1 - before;
  }

  /** `1-500,503` */
  toString(): string {
    return this.#firsts.map((first, i) => {
      const last = this.#lasts[i];
      return first === last ? `${first}` : `${first}-${last}`;
    }).join(",");
  }

  /** Index of the last range that begins at `line` or before; −1 if there is none. */
  #rangeFrom(line: number): number {
    let low = 0;
    let high = this.#firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#firsts[middle] ?? 0) <= line) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

function isLine(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}
