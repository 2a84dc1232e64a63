/**
 * The framing of the wire: bytes in, lines out, without I/O. Whole lines are decoded together, and one by one only if
 * that fails, so that one bad line does not spoil the others.
 */

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;

/** A line without its line ending; `null` if the bytes are not UTF-8. */
export type Line = string | null;

/** Cuts a stream of bytes into lines of at most `maxBytes` each. */
export class LineSplitter {
  /** True after the first line over the limit: no further lines are returned. */
  overflowed = false;
  /** Keeps the texts of lines that are not UTF-8, for `takeSpoiled`. */
  keepsSpoiled = false;

  #maxBytes: number;
  // A byte order mark is kept, so that the JSON parser refuses it instead of ignoring it.
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #rest: Uint8Array[] = [];
  #restBytes = 0;
  #spoiled: string[] = [];

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The limit of a line from now on. */
  set maxBytes(bytes: number) {
    this.#maxBytes = bytes;
  }

  /** The texts of the `null` lines since the last call, in their order, with U+FFFD for invalid bytes. */
  takeSpoiled(): readonly string[] {
    const spoiled = this.#spoiled;
    if (spoiled.length > 0) this.#spoiled = [];
    return spoiled;
  }

  /** Number of bytes of the incomplete line. */
  get partialBytes(): number {
    return this.#restBytes;
  }

  /** The first bytes of the incomplete line, `most` at most. */
  partialHead(most: number): Uint8Array {
    const head = new Uint8Array(Math.min(most, this.#restBytes));
    let offset = 0;
    for (const part of this.#rest) {
      const taken = part.subarray(0, head.length - offset);
      head.set(taken, offset);
      offset += taken.length;
      if (offset === head.length) break;
    }
    return head;
  }

  /** The lines that are complete with `chunk`, which may be reused. */
  push(chunk: Uint8Array): Line[] {
    if (this.overflowed) return [];
    const last = chunk.lastIndexOf(NEWLINE);
    if (last < 0) {
      this.#keep(chunk);
      return [];
    }
    let whole = chunk.subarray(0, last);
    if (this.#restBytes > 0) whole = this.#takeRest(whole);
    const lines = whole.length <= this.#maxBytes ? this.#decode(whole) : this.#decodeBounded(whole);
    if (!this.overflowed && last + 1 < chunk.length) this.#keep(chunk.subarray(last + 1));
    return lines;
  }

  /** The last line, without a newline; empty if the stream ended with a newline. */
  end(): Line[] {
    if (this.overflowed || this.#restBytes === 0) return [];
    return this.#decodeBounded(this.#takeRest(new Uint8Array(0)));
  }

  #keep(bytes: Uint8Array): void {
    // One byte more than the limit, for a carriage return at the end of the line.
    if (this.#restBytes + bytes.length > this.#maxBytes + 1) {
      this.overflowed = true;
      this.#rest = [];
      this.#restBytes = 0;
      return;
    }
    this.#rest.push(bytes.slice());
    this.#restBytes += bytes.length;
  }

  #takeRest(tail: Uint8Array): Uint8Array {
    const joined = new Uint8Array(this.#restBytes + tail.length);
    let offset = 0;
    for (const part of this.#rest) {
      joined.set(part, offset);
      offset += part.length;
    }
    joined.set(tail, offset);
    this.#rest = [];
    this.#restBytes = 0;
    return joined;
  }

  #decode(bytes: Uint8Array): Line[] {
    try {
      const text = this.#decoder.decode(bytes);
      const lines = text.split("\n");
      if (!text.includes("\r")) return lines;
      return lines.map((line) => line.endsWith("\r") ? line.slice(0, -1) : line);
    } catch {
      // Some line is not UTF-8; #decodeBounded finds out which.
      return this.#decodeBounded(bytes);
    }
  }

  #decodeBounded(bytes: Uint8Array): Line[] {
    const lines: Line[] = [];
    for (let start = 0; start <= bytes.length;) {
      const newline = bytes.indexOf(NEWLINE, start);
      let end = newline < 0 ? bytes.length : newline;
      const next = end + 1;
      if (end > start && bytes[end - 1] === CARRIAGE_RETURN) end--;
      if (end - start > this.#maxBytes) {
        this.overflowed = true;
        break;
      }
      lines.push(this.#decodeLine(bytes.subarray(start, end)));
      start = next;
    }
    return lines;
  }

  #decodeLine(bytes: Uint8Array): Line {
    try {
      return this.#decoder.decode(bytes);
    } catch {
      if (this.keepsSpoiled) this.#spoiled.push(new TextDecoder().decode(bytes));
      return null;
    }
  }
}
