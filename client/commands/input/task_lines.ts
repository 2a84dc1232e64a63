/** Lines of input, from a file, from stdin, or typed as an answer: bytes in, numbered lines out, at the reader's pace. */

import { write } from "../../../cli/talk.ts";
import { ClientError } from "../../../net/client_error.ts";
import { quote } from "../../../protocol/errors.ts";
import { MAX_LINE_BYTES } from "../../../protocol/limits.ts";
import { type Line, LineSplitter } from "../../../protocol/ndjson.ts";

const READ_BYTES = 64 * 1024;
const NEWLINE = 10;
const BYTE_ORDER_MARK = "\ufeff";

/** A line and its number, counted from 1. */
export interface NumberedLine {
  number: number;
  /** `null` if the line is not UTF-8 or too long. */
  text: Line;
  /** The reason for a missing text, unless it is the encoding. */
  fault?: string;
}

/** The lines of one read. */
export interface LineBatch {
  lines: NumberedLine[];
  /** Bytes read so far, with this batch. */
  bytes: number;
}

interface LineOptions {
  /** Greatest length of a line in bytes; default: the limit of the protocol. */
  maxBytes?: number;
  /** Ends the lines at once, even during a read. */
  signal?: AbortSignal;
}

/** Opens `path` for `lineBatches`; `-` is stdin. Throws `usage` if it cannot be read. */
export async function openLines(path: string): Promise<ReadableStream<Uint8Array>> {
  if (path === "-") return Deno.stdin.readable;
  try {
    const file = await Deno.open(path, { read: true });
    return file.readable;
  } catch (error) {
    throw cannotRead(path, error);
  }
}

/** The error for a file that cannot be read because of `cause`. */
export function cannotRead(path: string, cause: unknown): ClientError {
  const reason = cause instanceof Deno.errors.NotFound
    ? "there is no such file"
    : cause instanceof Error
    ? cause.message
    : String(cause);
  return new ClientError("usage", `cannot read ${quote(path)}: ${reason}`, { cause });
}

/**
 * The lines of `source`, with empty lines, without a byte order mark. A line that is too long has a fault instead of
 * a text; the lines after it are read as usual.
 */
export async function* lineBatches(
  source: ReadableStream<Uint8Array>,
  { maxBytes = MAX_LINE_BYTES, signal }: LineOptions = {},
): AsyncGenerator<LineBatch> {
  const cutter = new LineCutter(maxBytes);
  const reader = source.getReader();
  const stop = () => void reader.cancel().catch(() => undefined);
  signal?.addEventListener("abort", stop);
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (bytes === 0) checkEncoding(value);
      for (let start = 0; start < value.length; start += READ_BYTES) {
        const piece = value.subarray(start, start + READ_BYTES);
        bytes += piece.length;
        yield { lines: cutter.push(piece), bytes };
      }
    }
    if (!signal?.aborted) yield { lines: cutter.end(), bytes };
  } finally {
    signal?.removeEventListener("abort", stop);
    await reader.cancel().catch(() => undefined);
  }
}

/** Throws `usage` for UTF-16, which some Windows programs write. */
function checkEncoding([first, second]: Uint8Array): void {
  if (!(first === 0xff && second === 0xfe) && !(first === 0xfe && second === 0xff)) return;
  throw new ClientError("usage", "the lines are UTF-16, and must be UTF-8", {
    hint: "convert the file with: iconv -f UTF-16 -t UTF-8 FILE > NEW",
  });
}

/** The lines of `source` one by one. Throws `usage` at a line of more than `maxBytes`. */
export async function* taskLines(
  source: ReadableStream<Uint8Array>,
  maxBytes = MAX_LINE_BYTES,
): AsyncGenerator<NumberedLine> {
  for await (const { lines } of lineBatches(source, { maxBytes })) {
    for (const line of lines) {
      if (line.fault !== undefined) {
        throw new ClientError("usage", `line ${line.number} ${line.fault}`, {
          hint: "neither this line nor the lines after it were sent",
        });
      }
      yield line;
    }
  }
}

/** Splits bytes into numbered lines, and goes on after a line that is too long. */
class LineCutter {
  readonly #maxBytes: number;
  #splitter: LineSplitter;
  #number = 0;
  /** The rest of a line that is too long is being skipped. */
  #skips = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#splitter = new LineSplitter(maxBytes);
  }

  push(bytes: Uint8Array): NumberedLine[] {
    const lines: NumberedLine[] = [];
    let rest: Uint8Array | undefined = bytes;
    while (rest && rest.length > 0) rest = this.#pushSome(rest, lines);
    return lines;
  }

  end(): NumberedLine[] {
    const lines: NumberedLine[] = [];
    this.#add(this.#splitter.end(), lines);
    if (this.#splitter.overflowed) this.#addTooLong(lines);
    return lines;
  }

  /** Adds the lines of `bytes`; returns the bytes after a line that was too long. */
  #pushSome(bytes: Uint8Array, lines: NumberedLine[]): Uint8Array | undefined {
    if (this.#skips) {
      const end = bytes.indexOf(NEWLINE);
      if (end < 0) return undefined;
      this.#skips = false;
      return bytes.subarray(end + 1);
    }
    const texts = this.#splitter.push(bytes);
    this.#add(texts, lines);
    if (!this.#splitter.overflowed) return undefined;
    this.#splitter = new LineSplitter(this.#maxBytes);
    this.#addTooLong(lines);
    this.#skips = true;
    // Each complete line ended in these bytes; the long line begins after the last of them.
    let start = 0;
    for (let i = 0; i < texts.length; i++) start = bytes.indexOf(NEWLINE, start) + 1;
    return bytes.subarray(start);
  }

  #add(texts: readonly Line[], lines: NumberedLine[]): void {
    for (const text of texts) {
      const number = ++this.#number;
      const isMarked = number === 1 && text?.startsWith(BYTE_ORDER_MARK);
      lines.push({ number, text: isMarked ? text!.slice(1) : text });
    }
  }

  #addTooLong(lines: NumberedLine[]): void {
    const fault = `is longer than ${this.#maxBytes} bytes, the limit for a line`;
    lines.push({ number: ++this.#number, text: null, fault });
  }
}

/** Whether a person can read a question and answer it. */
export function canAsk(): boolean {
  return Deno.stdin.isTerminal() && Deno.stderr.isTerminal();
}

/** Asks `question`; true for the answer yes, false for any other, for none and for Ctrl-D. */
export async function askYes(question: string): Promise<boolean> {
  write("stderr", `${question} [y/N] `);
  for await (const { text } of taskLines(Deno.stdin.readable)) {
    return /^y(es)?$/i.test(text?.trim() ?? "");
  }
  // Ctrl-D leaves the cursor in the line.
  write("stderr", "\n");
  return false;
}
