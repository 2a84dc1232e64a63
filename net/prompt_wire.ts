/**
 * A TLS connection that keeps the other side's small messages from waiting. Deno cannot switch off
 * Nagle's algorithm on the server's end of TLS: its second small write waits until the first one is
 * acknowledged, which this end's system puts off for 40 ms unless it has something to send. So
 * whatever is read is answered by an empty line, which means nothing, and carries the acknowledgement.
 */

import type { Wire } from "./wire.ts";

const NEWLINE = 10;
const EMPTY_LINE = new Uint8Array([NEWLINE]);

export class PromptWire implements Wire {
  readonly #conn: Wire;
  #isWriting = false;
  /** An empty line in the middle of another would be the end of that one. */
  #isAtLineStart = true;

  constructor(conn: Wire) {
    this.#conn = conn;
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    const count = await this.#conn.read(buffer);
    if (count !== null && !this.#isWriting && this.#isAtLineStart) {
      // Where it cannot be written, whoever reads or writes next is told.
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
