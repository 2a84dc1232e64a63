/** What is said of how the lines of a file become tasks, and what does it. */

import type { Making, Payload } from "../input/payload.ts";
import type { LineBatch } from "../input/task_lines.ts";

export interface Reading {
  /** What every line is to run; without it each says so itself. */
  op: string | undefined;
  /** The argument that a line of plain text is. */
  arg: string;
  csv: boolean;
  separator: string;
  /** Leaves numbers in the cells of CSV as text. */
  strings: boolean;
}

export interface LineFormat {
  /** Puts lines together that belong together, numbered by the first; leaves out what is no task. */
  gather(batches: AsyncIterable<LineBatch>): AsyncIterable<LineBatch>;
  /** The task of a line. Throws `SdError` or `ClientError`. */
  read(text: string, making: Making): Payload;
}

/** In one line, so that two readings can be told apart. */
export function describeReading({ op, arg, csv, separator, strings }: Reading): string {
  const how = csv ? `CSV with ${JSON.stringify(separator)}${strings ? ", all text" : ""}` : "JSON";
  return op === undefined ? how : `${how} for ${op}(${csv ? "" : arg})`;
}
