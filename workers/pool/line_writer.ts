/**
 * Writes lines to a socket. Lines that come during one write go together into the next one, so nothing waits for a
 * timer, and nothing is allocated for a line. `Link` owns it.
 */

import { setImmediate } from "node:timers";
import type { RecordSealer } from "../../protocol/link_seal.ts";

const FIRST_BYTES = 64 * 1024;

const encoder = new TextEncoder();

/** The socket, a `Deno.Conn`. */
interface ByteSink {
  write(bytes: Uint8Array): Promise<number>;
}

export class LineWriter {
  readonly #to: ByteSink;
  readonly #failed: (error: unknown) => void;
  /** Collects bytes; swapped with `#spare` at each write. */
  #buffer = new Uint8Array(FIRST_BYTES);
  #spare = new Uint8Array(FIRST_BYTES);
  #used = 0;
  #writing: Promise<void> | undefined;
  #broken = false;
  /** Once set, seals all further bytes. */
  sealer: RecordSealer | undefined;

  /** `failed` is called once, when the socket takes no more; later lines are dropped. */
  constructor(to: ByteSink, failed: (error: unknown) => void) {
    this.#to = to;
    this.#failed = failed;
  }

  /** Number of bytes that wait for the write under way. */
  get waiting(): number {
    return this.#used;
  }

  /** Whole lines with their newlines; the bytes are copied. */
  write(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
    this.#writing ??= this.#run();
  }

  /** A line, given without its newline. */
  line(text: string): void {
    this.#reserve(text.length * 3 + 1);
    this.#used += encoder.encodeInto(text, this.#buffer.subarray(this.#used)).written;
    this.#buffer[this.#used++] = 10;
    this.#writing ??= this.#run();
  }

  /** Resolves when the system has all bytes so far. */
  async flushed(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  #reserve(bytes: number): void {
    const needed = this.#used + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#buffer.length));
    larger.set(this.#buffer.subarray(0, this.#used));
    this.#buffer = larger;
  }

  async #run(): Promise<void> {
    // Lines of this turn of the event loop go with the first write.
    await new Promise<void>((resolve) => setImmediate(resolve));
    try {
      while (this.#used > 0 && !this.#broken) {
        const gathered = this.#buffer.subarray(0, this.#used);
        const bytes = this.sealer ? this.sealer.seal(gathered) : gathered;
        [this.#buffer, this.#spare] = [this.#spare, this.#buffer];
        this.#used = 0;
        for (let at = 0; at < bytes.length;) at += await this.#to.write(bytes.subarray(at));
        if (this.#spare.length > 16 * FIRST_BYTES) this.#spare = new Uint8Array(FIRST_BYTES);
      }
    } catch (error) {
      this.#broken = true;
      this.#failed(error);
    } finally {
      this.#used = 0;
      this.#writing = undefined;
    }
  }
}
