/** Tasks one a line, from a file or from stdin: bytes in, numbered lines out, at a reader's pace. */

import { ClientError } from "../cli/client_error.ts";
import { quote } from "../protocol/errors.ts";
import { MAX_LINE_BYTES } from "../protocol/limits.ts";
import { type Line, LineSplitter } from "../protocol/ndjson.ts";

const READ_BYTES = 64 * 1024;

/** A line and its number, counted from 1. */
export interface NumberedLine {
  number: number;
  text: Line;
}

/** Opens `path` for `taskLines`; `-` is stdin. Throws `usage` where it cannot be read. */
export async function openLines(path: string): Promise<ReadableStream<Uint8Array>> {
  if (path === "-") return Deno.stdin.readable;
  try {
    const file = await Deno.open(path, { read: true });
    return file.readable;
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : error instanceof Error
      ? error.message
      : String(error);
    throw new ClientError("usage", `cannot read ${quote(path)}: ${reason}`, { cause: error });
  }
}

/** The lines of `source`, empty ones too. Throws `usage` at a line of more than `maxBytes`. */
export async function* taskLines(
  source: ReadableStream<Uint8Array>,
  maxBytes = MAX_LINE_BYTES,
): AsyncGenerator<NumberedLine> {
  const splitter = new LineSplitter(maxBytes);
  let number = 0;
  for await (const chunk of source) {
    for (let start = 0; start < chunk.length; start += READ_BYTES) {
      for (const text of splitter.push(chunk.subarray(start, start + READ_BYTES))) {
        yield { number: ++number, text };
      }
      if (splitter.overflowed) throw overflow(number + 1, maxBytes);
    }
  }
  for (const text of splitter.end()) {
    yield { number: ++number, text };
  }
  if (splitter.overflowed) throw overflow(number + 1, maxBytes);
}

function overflow(number: number, maxBytes: number): ClientError {
  return new ClientError(
    "usage",
    `line ${number} is longer than ${maxBytes} bytes, the most that one may have`,
    { hint: "it and the lines after it were not sent" },
  );
}
