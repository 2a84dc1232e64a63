/** How the lines of a file become tasks: each line a task, each line the arguments of one op, or rows of CSV. */

import { type Making, type Payload, readArguments, readPayload } from "../input/payload.ts";
import type { LineBatch } from "../input/task_lines.ts";
import { CsvFormat } from "./csv_format.ts";

export interface Reading {
  /** The op of every line; without it each line names its own. */
  op: string | undefined;
  /** The argument for a line of plain text. */
  arg: string;
  csv: boolean;
  separator: string;
  /** Leaves numbers in the cells of CSV as text. */
  strings: boolean;
}

export interface LineFormat {
  /** Joins lines that belong together, numbered by the first, and drops lines that are not tasks. */
  gather(batches: AsyncIterable<LineBatch>): AsyncIterable<LineBatch>;
  /** The task of a line. Throws `SdError` or `ClientError`. */
  read(text: string, making: Making): Payload;
}

/** Describes a reading in one line, for comparison. */
export function describeReading({ op, arg, csv, separator, strings }: Reading): string {
  const how = csv ? `CSV with ${JSON.stringify(separator)}${strings ? ", all text" : ""}` : "JSON";
  return op === undefined ? how : `${how} for ${op}(${csv ? "" : arg})`;
}

export function lineFormat(reading: Reading): LineFormat {
  if (reading.csv) return new CsvFormat(reading);
  const { op, arg } = reading;
  return {
    gather: withoutBlanks,
    read: op === undefined
      ? readPayload
      : (text, making) => readArguments(text, { ...making, op, arg }),
  };
}

async function* withoutBlanks(batches: AsyncIterable<LineBatch>): AsyncGenerator<LineBatch> {
  for await (const { lines, bytes } of batches) {
    yield { lines: lines.filter(({ text }) => text === null || /\S/.test(text)), bytes };
  }
}
