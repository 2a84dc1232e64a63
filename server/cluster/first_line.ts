/**
 * The first line of a connection, read before it is known which server serves the connection. Its bytes are put back:
 * the next reader sees every byte. The switchboard reads first lines, and the answers of other servers.
 */

import type { Wire } from "../../net/wire.ts";
import { WireAfter } from "../../net/wire_after.ts";

const NEWLINE = 10;

/** A wire of which some bytes were read and put back. */
export class PeekedWire extends WireAfter {
  #hasEnded = false;

  constructor(wire: Wire) {
    super(new Uint8Array(0), wire);
  }

  /**
   * The first line without its newline, but no more of it than `maxBytes`; it stays unread. `undefined`: the other side
   * has ended without a byte.
   */
  async peekLine(maxBytes: number): Promise<string | undefined> {
    for (;;) {
      const end = this.rest.indexOf(NEWLINE);
      if (end !== -1 || this.rest.length >= maxBytes || this.#hasEnded) {
        if (this.rest.length === 0) return undefined;
        const line = this.rest.subarray(0, Math.min(end === -1 ? Infinity : end, maxBytes));
        return new TextDecoder().decode(line);
      }
      const buffer = new Uint8Array(maxBytes);
      const count = await this.wire.read(buffer);
      if (count === null) this.#hasEnded = true;
      else this.rest = joined(this.rest, buffer.subarray(0, count));
    }
  }

  /** Drops the line that `peekLine` has returned. */
  dropLine(): void {
    const end = this.rest.indexOf(NEWLINE);
    this.rest = this.rest.subarray(end === -1 ? this.rest.length : end + 1);
  }

  override read(buffer: Uint8Array): Promise<number | null> {
    if (this.#hasEnded && this.rest.length === 0) return Promise.resolve(null);
    return super.read(buffer);
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
