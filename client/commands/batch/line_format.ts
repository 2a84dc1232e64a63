/** Lines as tasks: each a task, each the arguments of one op, or rows of CSV. */

import { readArguments, readPayload } from "../input/payload.ts";
import type { LineBatch } from "../input/task_lines.ts";
import { CsvFormat } from "./csv_format.ts";
import type { LineFormat, Reading } from "./reading.ts";

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
