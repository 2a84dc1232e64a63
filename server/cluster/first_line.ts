/**
 * The first line of a connection, read before it is known which server serves the connection. Its bytes are put back:
 * the next reader sees every byte. The switchboard reads first lines, and the answers of other servers.
 */

import type { Wire } from "../../net/wire.ts";

const NEWLINE = 10;

/** A wire of which some bytes were read and put back. */
export class PeekedWire implements Wire {
  readonly #wire: Wire;
  /** Bytes that the next read gets first. */
  #head = new Uint8Array(0);
  #hasEnded = false;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  /**
   * The first line without its newline, but no more of it than `maxBytes`; it stays unread. `undefined`: the other side
   * has ended without a byte.
   */
  async peekLine(maxBytes: number): Promise<string | undefined> {
    for (;;) {
      const end = this.#head.indexOf(NEWLINE);
      if (end !== -1 || this.#head.length >= maxBytes || this.#hasEnded) {
        if (this.#head.length === 0) return undefined;
        const line = this.#head.subarray(0, Math.min(end === -1 ? Infinity : end, maxBytes));
        return new TextDecoder().decode(line);
      }
      const buffer = new Uint8Array(maxBytes);
      const count = await this.#wire.read(buffer);
      if (count === null) this.#hasEnded = true;
      else this.#head = joined(this.#head, buffer.subarray(0, count));
    }
  }

  /** Drops the line that `peekLine` has returned. */
  dropLine(): void {
    const end = this.#head.indexOf(NEWLINE);
    this.#head = this.#head.subarray(end === -1 ? this.#head.length : end + 1);
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    if (this.#head.length === 0) return this.#hasEnded ? null : await this.#wire.read(buffer);
    const count = Math.min(this.#head.length, buffer.length);
    buffer.set(this.#head.subarray(0, count));
    this.#head = this.#head.subarray(count);
    return count;
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.#wire.write(bytes);
  }

  closeWrite(): Promise<void> {
    return this.#wire.closeWrite();
  }

  close(): void {
    this.#wire.close();
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** Writes all of `bytes`. */
export async function writeAll(wire: Wire, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await wire.write(bytes.subarray(at));
}
