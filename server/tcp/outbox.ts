/**
 * Lines on their way out of a connection. What is pushed in one turn of the event loop, and whatever
 * gathers while a write is under way, goes out as one write: a write costs as much as some ten tasks.
 */

import { setImmediate } from "node:timers";

/** Above this a reader is slow: stop taking work from it until it has read on. */
const HIGH_WATER_CHARS = 4 * 1024 * 1024;

const encoder = new TextEncoder();

export class Outbox {
  readonly #conn: Deno.Conn;
  /** The connection is of no use any more: it is cut. */
  readonly #onLost: () => void;
  #text = "";
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor(conn: Deno.Conn, onLost: () => void) {
    this.#conn = conn;
    this.#onLost = onLost;
  }

  /** `text` is one line or more, newline included. */
  push(text: string): void {
    if (this.#closed) return;
    this.#text += text;
    this.#writing ??= this.#write();
  }

  /** Resolves when the other side has not too much left to read. */
  async room(): Promise<void> {
    while (this.#text.length > HIGH_WATER_CHARS) await this.#writing;
  }

  /** Resolves when everything pushed so far is written, or can never be. */
  async flushed(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  close(): void {
    this.#closed = true;
    this.#text = "";
  }

  async #write(): Promise<void> {
    // All that came in together is handled before anything is written: a few µs for a lone line.
    await new Promise<void>((resolve) => setImmediate(resolve));
    try {
      while (this.#text !== "") {
        const bytes = encoder.encode(this.#text);
        this.#text = "";
        let offset = await this.#conn.write(bytes);
        while (offset < bytes.length) offset += await this.#conn.write(bytes.subarray(offset));
      }
    } catch {
      // Whatever the system calls it, nothing more can be written: the client is gone.
      this.close();
      this.#onLost();
    } finally {
      this.#writing = undefined;
    }
  }
}
