/**
 * A TLS connection on which the server's small writes do not wait. Deno cannot switch off Nagle's algorithm on the
 * server's end of TLS: its second small write waits until this side acknowledges the first. The system here delays that
 * acknowledgement by 40 ms unless it has bytes to send. So each read is followed by an empty line, which the server
 * ignores, and which carries the acknowledgement.
 */

import type { Wire } from "./wire.ts";

const NEWLINE = 10;
const EMPTY_LINE = new Uint8Array([NEWLINE]);

export class PromptWire implements Wire {
  readonly #conn: Wire;
  #isWriting = false;
  /** An empty line in the middle of a line would end that line. */
  #isAtLineStart = true;

  constructor(conn: Wire) {
    this.#conn = conn;
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    const count = await this.#conn.read(buffer);
    if (count !== null && !this.#isWriting && this.#isAtLineStart) {
      // If the write fails, the next read or write throws.
      this.write(EMPTY_LINE).catch(() => undefined);
    }
    return count;
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.#isWriting = true;
    try {
      const count = await this.#conn.write(bytes);
      this.#isAtLineStart = bytes[count - 1] === NEWLINE;
      return count;
    } finally {
      this.#isWriting = false;
    }
  }

  close(): void {
    this.#conn.close();
  }

  async closeWrite(): Promise<void> {
    await this.#conn.closeWrite();
  }
}
