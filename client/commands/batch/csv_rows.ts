/**
 * Rows of CSV: joins lines while a quoted cell goes on over their ends, and splits rows into cells. Each line becomes a
 * row, a part of a row, or a fault: a wrong quote makes only its own line faulty.
 */

import { MAX_LINE_BYTES } from "../../../protocol/limits.ts";
import type { NumberedLine } from "../input/task_lines.ts";

/** The parts of a row; `open` if it ends within a quoted cell. */
type Scan = { cells: string[] } | { open: true } | { fault: string };

/** Splits a row; with `isQuoted` it begins within a quoted cell. */
export function scanRow(text: string, separator: string, isQuoted = false): Scan {
  const cells: string[] = [];
  let at = 0;
  for (let isNext = isQuoted || text.startsWith('"');; isNext = text.startsWith('"', at)) {
    if (isNext) {
      const start = isQuoted && cells.length === 0 ? 0 : at + 1;
      const end = quotedEnd(text, start);
      if (end === undefined) return { open: true };
      cells.push(text.slice(start, end).replaceAll('""', '"'));
      if (end + 1 === text.length) return { cells };
      if (!text.startsWith(separator, end + 1)) return wrongQuote(end);
      at = end + 1 + separator.length;
    } else {
      const next = text.indexOf(separator, at);
      const cell = next < 0 ? text.slice(at) : text.slice(at, next);
      const quote = cell.indexOf('"');
      if (quote >= 0) return wrongQuote(at + quote);
      if (cell.includes("\r")) return { fault: "has a carriage return outside quotes" };
      cells.push(cell);
      if (next < 0) return { cells };
      at = next + separator.length;
    }
  }
}

/** The place of the quote that ends a quoted cell whose text begins at `at`. */
function quotedEnd(text: string, at: number): number | undefined {
  for (let end = text.indexOf('"', at); end >= 0; end = text.indexOf('"', end + 2)) {
    if (text[end + 1] !== '"') return end;
  }
  return undefined;
}

function wrongQuote(at: number): Scan {
  return { fault: `is not CSV: there is a misplaced quote at column ${at + 1}` };
}

/** Joins lines to rows. */
export class RowJoiner {
  readonly #separator: string;
  /** The lines of an incomplete row. */
  #open: { number: number; text: string }[] = [];
  #chars = 0;

  constructor(separator: string) {
    this.#separator = separator;
  }

  /** The rows that `line` completes, and faulty lines. */
  add(line: NumberedLine): NumberedLine[] {
    const { number, text } = line;
    if (this.#open.length === 0) {
      // Most rows have no quotes.
      if (text === null || !text.includes('"')) return [line];
      if (!("open" in scanRow(text, this.#separator))) return [line];
      this.#begin(number, text);
      return [];
    }
    if (text === null || this.#chars + text.length > MAX_LINE_BYTES) {
      return this.#reject(`has a quoted cell that does not end before line ${number}`, line);
    }
    const scan = text.includes('"') ? scanRow(text, this.#separator, true) : { open: true };
    if ("fault" in scan) {
      return this.#reject(`has a quoted cell that goes wrong in line ${number}`, line);
    }
    this.#open.push({ number, text });
    this.#chars += text.length + 1;
    if ("open" in scan) return [];
    const lines = this.#take();
    return [{ number: lines[0]!.number, text: lines.map(({ text }) => text).join("\n") }];
  }

  end(): NumberedLine[] {
    return this.#open.length === 0 ? [] : this.#reject("has a quoted cell that does not end");
  }

  #begin(number: number, text: string): void {
    this.#open = [{ number, text }];
    this.#chars = text.length;
  }

  #take(): { number: number; text: string }[] {
    const lines = this.#open;
    this.#open = [];
    return lines;
  }

  /**
   * Makes the line with the open quote a fault, and reads the lines after it again, each alone. None of these opens a
   * quote: a line with an odd number of quotes would have ended the cell, or been a fault.
   */
  #reject(fault: string, last?: NumberedLine): NumberedLine[] {
    const [first, ...rest] = this.#take();
    return [
      { number: first!.number, text: null, fault },
      ...rest,
      ...(last ? this.add(last) : []),
    ];
  }
}
