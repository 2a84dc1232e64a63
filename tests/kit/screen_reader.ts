/** What a terminal would show of the text written to it, as far as the programs of these tests write. */

/** A control sequence, or one character. */
// deno-lint-ignore no-control-regex
const PIECE = /\x1b\[([?0-9;]*)([A-Za-z])|[^]/gu;

export class ScreenReader {
  #rows: number;
  #columns: number;
  #cells: string[][] = [];
  #row = 0;
  #column = 0;
  #saved: { cells: string[][]; row: number; column: number } | undefined;
  /** The end of a text may be the beginning of a sequence. */
  #rest = "";

  constructor(rows: number, columns: number) {
    this.#rows = rows;
    this.#columns = columns;
    this.#clear();
  }

  /** Its lines, without the spaces at their ends. */
  get text(): string {
    return this.#cells.map((row) => row.join("").trimEnd()).join("\n");
  }

  get lines(): string[] {
    return this.text.split("\n");
  }

  resize(rows: number, columns: number): void {
    this.#rows = rows;
    this.#columns = columns;
    this.#clear();
  }

  write(text: string): void {
    const all = this.#rest + text;
    // deno-lint-ignore no-control-regex
    const open = /\x1b(\[[?0-9;]*)?$/.exec(all);
    this.#rest = open?.[0] ?? "";
    for (const [piece, parameters, final] of all.slice(0, open?.index).matchAll(PIECE)) {
      if (final !== undefined) this.#control(parameters ?? "", final);
      else this.#put(piece);
    }
  }

  #control(parameters: string, final: string): void {
    if (parameters === "?1049") return final === "h" ? this.#enter() : this.#leave();
    const [first = 1, second = 1] = parameters.split(";").map((number) => Number(number) || 1);
    if (final === "H") {
      this.#row = first - 1;
      this.#column = second - 1;
    } else if (final === "J") this.#clear();
  }

  /** To the screen beside. */
  #enter(): void {
    this.#saved = { cells: this.#cells, row: this.#row, column: this.#column };
    this.#clear();
  }

  #leave(): void {
    if (!this.#saved) return;
    this.#cells = this.#saved.cells;
    this.#row = this.#saved.row;
    this.#column = this.#saved.column;
    this.#saved = undefined;
  }

  #put(char: string): void {
    if (char === "\r") this.#column = 0;
    else if (char === "\n") {
      this.#row++;
      if (this.#row >= this.#rows) {
        this.#cells.shift();
        this.#cells.push(Array(this.#columns).fill(" "));
        this.#row = this.#rows - 1;
      }
    } else if (char >= " ") {
      const row = this.#cells[this.#row];
      if (row && this.#column < this.#columns) row[this.#column] = char;
      this.#column++;
    }
  }

  #clear(): void {
    this.#cells = Array.from({ length: this.#rows }, () => Array(this.#columns).fill(" "));
  }
}
