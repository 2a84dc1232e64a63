/**
 * Rows of CSV: lines put together while a quoted cell goes on over their ends, and cells taken apart. Each
 * line is told in the end, as a row, as a part of one, or as a fault of its own: a quote that is wrong costs
 * its own line alone.
 */

import { MAX_LINE_BYTES } from "../../../protocol/limits.ts";
import type { NumberedLine } from "../input/task_lines.ts";

/** What a row came to. `open`: it ends within a quoted cell. */
export type Scan = { cells: string[] } | { open: true } | { fault: string };

/** Takes a row apart; with `isQuoted` it begins within a quoted cell. */
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

/** Where the quote stands that ends a quoted cell whose text begins at `at`. */
function quotedEnd(text: string, at: number): number | undefined {
  for (let end = text.indexOf('"', at); end >= 0; end = text.indexOf('"', end + 2)) {
    if (text[end + 1] !== '"') return end;
  }
  return undefined;
}

function wrongQuote(at: number): Scan {
  return { fault: `is not CSV: a quote stands where none can, at column ${at + 1}` };
}

/** Puts lines together to rows. */
export class RowJoiner {
  readonly #separator: string;
  /** The lines of a row that is not whole. */
  #open: { number: number; text: string }[] = [];
  #chars = 0;

  constructor(separator: string) {
    this.#separator = separator;
  }

  /** The rows that `line` completes, and lines that are none. */
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
      return this.#giveUp(`has a quoted cell that does not end before line ${number}`, line);
    }
    const scan = text.includes('"') ? scanRow(text, this.#separator, true) : { open: true };
    if ("fault" in scan) {
      return this.#giveUp(`has a quoted cell that goes wrong in line ${number}`, line);
    }
    this.#open.push({ number, text });
    this.#chars += text.length + 1;
    if ("open" in scan) return [];
    const lines = this.#take();
    return [{ number: lines[0]!.number, text: lines.map(({ text }) => text).join("\n") }];
  }

  end(): NumberedLine[] {
    return this.#open.length === 0 ? [] : this.#giveUp("has a quoted cell that does not end");
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
   * The line with the quote is at fault, and those after it are read again, each for itself. None of them
   * opens a quote: within quotes a line with an odd number of them ends the cell, or goes wrong.
   */
  #giveUp(fault: string, last?: NumberedLine): NumberedLine[] {
    const [first, ...rest] = this.#take();
    return [
      { number: first!.number, text: null, fault },
      ...rest,
      ...(last ? this.add(last) : []),
    ];
  }
}
