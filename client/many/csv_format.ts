/**
 * CSV as RFC 4180 has it: the first row names the columns, each row after it is a task with a cell for each
 * argument. A cell that is a plain number is a number, an empty one is left out.
 */

import { parse } from "@std/csv/parse";
import { ClientError } from "../../cli/client_error.ts";
import { quote } from "../../protocol/errors.ts";
import { MAX_LINE_BYTES } from "../../protocol/limits.ts";
import { type Making, type Payload, withOptions } from "../payload.ts";
import type { LineBatch, NumberedLine } from "../task_lines.ts";
import type { LineFormat, Reading } from "./reading.ts";

/** A number as JSON has it, of no more digits than a double keeps; `007`, `+1` and `1e9` are text. */
const NUMBER = /^-?(?=[\d.]{1,16}$)(0|[1-9]\d{0,14})(\.\d+)?$/;
const MAX_DIGITS = 15;
/** Members of a message that no column can be. */
const RESERVED = ["cmd", "ref", "task"];

export class CsvFormat implements LineFormat {
  readonly #op: string | undefined;
  readonly #separator: string;
  readonly #strings: boolean;
  /** By column: its name as a member of an object, `"n":`. */
  #members: readonly string[] | undefined;
  /** The column that names the op, where there is one. */
  #opColumn = -1;

  constructor({ op, separator, strings }: Omit<Reading, "csv" | "arg">) {
    this.#op = op;
    this.#separator = separator;
    this.#strings = strings;
  }

  /** Rows, each whole; the first, with the names, is read here. Throws `usage` where it is of no use. */
  async *gather(batches: AsyncIterable<LineBatch>): AsyncGenerator<LineBatch> {
    const rows = new RowJoiner(this.#separator);
    let bytes = 0;
    for await (const batch of batches) {
      bytes = batch.bytes;
      yield { lines: this.#withoutHeader(batch.lines.flatMap((line) => rows.add(line))), bytes };
    }
    yield { lines: this.#withoutHeader(rows.end()), bytes };
  }

  read(text: string, making: Making): Payload {
    const members = this.#members ?? [];
    const cells = this.#cells(text);
    if (cells.length !== members.length) {
      throw new ClientError(
        "usage",
        `the row has ${cells.length} cells, the first row names ${members.length}`,
      );
    }
    const op = this.#op ?? cells[this.#opColumn] ?? "";
    if (op === "") throw new ClientError("usage", "the row names no op");
    let json = `{"op":${JSON.stringify(op)}`;
    for (const [i, cell] of cells.entries()) {
      if (cell !== "" && i !== this.#opColumn) json += `,${members[i]}${this.#value(cell)}`;
    }
    return withOptions(`${json}}`, { ...making, op });
  }

  #withoutHeader(rows: NumberedLine[]): NumberedLine[] {
    const lines = rows.filter(({ text }) => text !== "");
    const [first] = lines;
    if (this.#members || !first) return lines;
    if (first.text === null) {
      throw new ClientError(
        "usage",
        `line ${first.number}, the names of the columns, ${first.fault ?? "is not valid UTF-8"}`,
      );
    }
    this.#readNames(this.#cells(first.text));
    return lines.slice(1);
  }

  #readNames(names: readonly string[]): void {
    const hasOp = names.includes("op");
    const told = names.map(quote).join(", ");
    if (this.#op === undefined && !hasOp) {
      throw new ClientError("usage", `no column is called "op"; these are ${told}`, {
        hint: "name what every row is to run with: --op OP",
      });
    }
    const wrong = names.find((name, i) =>
      name === "" || RESERVED.includes(name) || (name === "op" && this.#op !== undefined) ||
      names.indexOf(name) !== i
    );
    if (wrong !== undefined) {
      throw new ClientError(
        "usage",
        `a column cannot be called ${quote(wrong)}, or not twice; these are ${told}`,
        { hint: wrong === "op" ? "rows that name their op go without --op" : undefined },
      );
    }
    this.#opColumn = names.indexOf("op");
    this.#members = names.map((name) => `${JSON.stringify(name)}:`);
  }

  #cells(text: string): string[] {
    try {
      return parse(text, { separator: this.#separator })[0] ?? [];
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      // What the library says counts the lines of this row alone.
      const column = /column (\d+)/.exec(error.message)?.[1];
      throw new ClientError(
        "usage",
        `the row is not CSV: a quote stands where none can${column ? `, at column ${column}` : ""}`,
        { cause: error, hint: 'a cell with quotes is written "like ""this"""' },
      );
    }
  }

  #value(cell: string): string {
    return !this.#strings && isPlainNumber(cell) ? cell : JSON.stringify(cell);
  }
}

export function isPlainNumber(cell: string): boolean {
  return NUMBER.test(cell) && cell.replace(/\D/g, "").length <= MAX_DIGITS;
}

/** Puts lines together while a quoted cell goes on over their ends. */
class RowJoiner {
  readonly #separator: string;
  #first: number | undefined;
  #parts: string[] = [];
  #bytes = 0;

  constructor(separator: string) {
    this.#separator = separator;
  }

  add(line: NumberedLine): NumberedLine[] {
    const { text } = line;
    if (this.#first === undefined) {
      if (text === null || !this.#opensQuotes(text)) return [line];
      this.#begin(line.number, text);
      return [];
    }
    if (text === null || this.#bytes + text.length > MAX_LINE_BYTES) {
      return [this.#unended(`has a quoted cell that does not end before line ${line.number}`)];
    }
    this.#parts.push(text);
    this.#bytes += text.length;
    // An odd number in an odd number of them: the cell ends here.
    return hasOddQuotes(text) ? [this.#whole()] : [];
  }

  end(): NumberedLine[] {
    return this.#first === undefined ? [] : [this.#unended("has a quoted cell that does not end")];
  }

  /** A quote within a cell that did not begin with one opens nothing: it is a fault of its row alone. */
  #opensQuotes(text: string): boolean {
    return hasOddQuotes(text) &&
      (text.startsWith('"') || text.includes(`${this.#separator}"`));
  }

  #begin(number: number, text: string): void {
    this.#first = number;
    this.#parts = [text];
    this.#bytes = text.length;
  }

  #whole(): NumberedLine {
    const row = { number: this.#first ?? 0, text: this.#parts.join("\n") };
    this.#first = undefined;
    this.#parts = [];
    return row;
  }

  #unended(fault: string): NumberedLine {
    return { number: this.#whole().number, text: null, fault };
  }
}

function hasOddQuotes(text: string): boolean {
  let isOdd = false;
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) isOdd = !isOdd;
  return isOdd;
}
