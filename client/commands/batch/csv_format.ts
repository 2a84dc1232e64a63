/**
 * CSV by RFC 4180 as tasks: the first row names the columns, each further row is a task with a cell for each
 * argument. A plain number becomes a number; an empty cell is left out.
 */

import { ClientError } from "../../../net/client_error.ts";
import { quote } from "../../../protocol/errors.ts";
import { type Making, type Payload, withOptions } from "../input/payload.ts";
import type { LineBatch, NumberedLine } from "../input/task_lines.ts";
import { RowJoiner, scanRow } from "./csv_rows.ts";

/** A number in JSON with digits that a double keeps; `007`, `+1` and `1e9` are text. */
const NUMBER = /^-?(?=[\d.]{1,16}$)(0|[1-9]\d{0,14})(\.\d+)?$/;
const MAX_DIGITS = 15;
/** Common separators. A first row of one column that contains one of them was split by the wrong one. */
const OTHER_SEPARATORS = [",", ";", "\t", "|"];
const QUOTED = /"(?:[^"]|"")*"/g;
/** Members of a message that cannot be a column. */
const RESERVED = ["cmd", "ref", "task"];

/** How rows are read; a part of `Reading`. */
interface CsvReading {
  /** The op of every row; without it a column names the op. */
  op: string | undefined;
  separator: string;
  /** Leaves numbers in cells as text. */
  strings: boolean;
}

export class CsvFormat {
  readonly #op: string | undefined;
  readonly #separator: string;
  readonly #strings: boolean;
  /** For each column its name as a member of an object, `"n":`. */
  #members: readonly string[] | undefined;
  /** Index of the column that names the op; −1 without one. */
  #opColumn = -1;

  constructor({ op, separator, strings }: CsvReading) {
    this.#op = op;
    this.#separator = separator;
    this.#strings = strings;
  }

  /** The complete rows, without the first, which names the columns. Throws `usage` for invalid names. */
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
    if (first.text.replace(QUOTED, "").includes("\r")) {
      throw new ClientError(
        "usage",
        "the lines end with a carriage return and no newline",
        {
          hint: "convert the file with: tr '\\r' '\\n' < FILE > NEW.csv",
        },
      );
    }
    this.#readNames(this.#cells(first.text));
    return lines.slice(1);
  }

  #readNames(cells: readonly string[]): void {
    // Spaces around a name are never meant: no handler has an argument " n".
    const names = cells.map((name) => name.trim());
    const told = names.map(quote).join(", ");
    const [only = ""] = names;
    const separator = names.length === 1
      ? OTHER_SEPARATORS.find((char) => only.includes(char))
      : undefined;
    if (separator !== undefined && separator !== this.#separator) {
      const name = separator === "\t" ? "tab" : `'${separator}'`;
      throw new ClientError("usage", `the first row names one column, ${told}`, {
        hint: `name the separator with: --separator ${name}`,
      });
    }
    const hasOp = names.includes("op");
    if (this.#op === undefined && !hasOp) {
      throw new ClientError("usage", `no column is called "op"; these are ${told}`, {
        hint: "name the op of every row with: --op OP",
      });
    }
    for (const [i, name] of names.entries()) this.#checkName(name, names.indexOf(name) !== i, told);
    this.#opColumn = names.indexOf("op");
    this.#members = names.map((name) => `${JSON.stringify(name)}:`);
  }

  #checkName(name: string, isTwice: boolean, told: string): void {
    const isOther = name === "op" && this.#op !== undefined;
    // deno-lint-ignore no-control-regex
    const isOdd = name === "" || RESERVED.includes(name) || /[\u0000-\u001f\u007f]/.test(name);
    if (!isOther && !isOdd && !isTwice) return;
    const what = isTwice
      ? `two columns are called ${quote(name)}`
      : `a column cannot be called ${quote(name)}`;
    throw new ClientError("usage", `${what}; these are ${told}`, {
      hint: isOther ? "without --op each row names its own op" : undefined,
    });
  }

  #cells(text: string): string[] {
    const scan = scanRow(text, this.#separator);
    if ("cells" in scan) return scan.cells;
    const fault = "fault" in scan ? scan.fault : "has a quoted cell that does not end";
    throw new ClientError("usage", `the row ${fault}`, {
      hint: 'a cell with quotes is written "like ""this"""',
    });
  }

  #value(cell: string): string {
    return !this.#strings && isPlainNumber(cell) ? cell : JSON.stringify(cell);
  }
}

export function isPlainNumber(cell: string): boolean {
  return NUMBER.test(cell) && cell.replace(/\D/g, "").length <= MAX_DIGITS;
}
