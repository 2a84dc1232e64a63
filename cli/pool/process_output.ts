/**
 * What another process writes, as lines: none is endless, and their number in a second is bounded. A line may hold
 * any character, and its reader escapes what it shows. All of it is read, so that the writer never waits.
 */

import { cutText } from "../../protocol/errors.ts";

/** Characters of a line, the `…` of one that is cut aside. */
const MAX_LINE_CHARS = 1000;
/** What is kept of a line until it ends: enough to see that it is to be cut. */
const MAX_KEPT_CHARS = MAX_LINE_CHARS + 2;
/** Lines that may come at once, */
const BURST = 50;
/** and lines for each ms after that. */
const PER_MS = 10 / 1000;

/** What a stream brings, to its end or until its reader is cancelled. */
export async function* chunksOf(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  for (let { value } = await reader.read(); value; { value } = await reader.read()) yield value;
}

/** Hands the lines that come to `budget`. Resolves at the end. */
export async function readOutput(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  budget: LineBudget,
): Promise<void> {
  const decoder = new TextDecoder();
  let partial = "";
  for await (const chunk of chunksOf(reader)) {
    const lines = decoder.decode(chunk, { stream: true }).split("\n");
    // What is not shown of a line is not kept either.
    if (partial.length < MAX_KEPT_CHARS) partial += lines[0]!.slice(0, MAX_KEPT_CHARS);
    for (let i = 1; i < lines.length; i++) {
      budget.take(partial);
      partial = lines[i]!.slice(0, MAX_KEPT_CHARS);
    }
  }
  budget.take(partial);
  budget.close();
}

/** Hands on the lines that are within the bounds, and how many were left out. */
export class LineBudget {
  readonly #tell: (line: string) => void;
  #lines = BURST;
  #at = performance.now();
  #leftOut = 0;

  constructor(tell: (line: string) => void) {
    this.#tell = tell;
  }

  take(raw: string): void {
    const line = raw.trimEnd();
    if (line === "") return;
    const now = performance.now();
    this.#lines = Math.min(BURST, this.#lines + (now - this.#at) * PER_MS);
    this.#at = now;
    if (this.#lines < 1) {
      this.#leftOut++;
      return;
    }
    this.#lines--;
    this.close();
    this.#tell(cutText(line, MAX_LINE_CHARS + 1));
  }

  /** Tells what was left out so far. */
  close(): void {
    const count = this.#leftOut;
    this.#leftOut = 0;
    if (count > 0) {
      this.#tell(`(${count} more ${count === 1 ? "line was" : "lines were"} left out)`);
    }
  }
}
