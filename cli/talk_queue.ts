/**
 * The talk of a long-running program, written in the background: a stderr that nothing reads (a stopped pager, a
 * log collector that hangs, Ctrl-S) must never stop a server. Lines wait here, in order, up to a limit of bytes.
 * Lines beyond it, and lines that could not be written, are dropped; a line in their place reports how many.
 */

import { delay } from "@std/async/delay";

/** Most bytes of waiting lines. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** Most bytes of one write. */
const MAX_WRITE_BYTES = 64 * 1024;
/** Pause before a non-blocking stream is tried again, in ms. */
const RETRY_MS = 20;

interface Entry {
  readonly bytes: Uint8Array;
  /** Number of lines that are lost if it cannot be written. */
  readonly lines: number;
}

interface TalkQueueOptions {
  /** Writes at least one of `bytes` and resolves with the number written. */
  readonly write: (bytes: Uint8Array) => Promise<number>;
  /** The line, without its newline, that reports the number of dropped lines. */
  readonly gap: (lines: number) => string;
}

const encoder = new TextEncoder();

export class TalkQueue {
  readonly #options: TalkQueueOptions;
  #waiting: Entry[] = [];
  #bytes = 0;
  #dropped = 0;
  /** A part of a line was written: the next write begins with a newline. */
  #isTorn = false;
  #writing: Promise<void> | undefined;

  constructor(options: TalkQueueOptions) {
    this.#options = options;
  }

  /** Adds `bytes`, which end with a newline. */
  add(bytes: Uint8Array): void {
    const lines = bytes.reduce((count, byte) => byte === 10 ? count + 1 : count, 0);
    if (this.#bytes + bytes.length > MAX_WAITING_BYTES) {
      this.#dropped += lines;
      return;
    }
    if (this.#dropped > 0) {
      const gap = encoder.encode(`${this.#options.gap(this.#dropped)}\n`);
      this.#push({ bytes: gap, lines: this.#dropped });
      this.#dropped = 0;
    }
    this.#push({ bytes, lines });
    this.#writing ??= this.#writeAll();
  }

  /** Resolves once all is written, or after `maxMs`. */
  async flush(maxMs: number): Promise<void> {
    const late = new AbortController();
    const timeout = delay(maxMs, { signal: late.signal }).catch(() => undefined);
    await Promise.race([this.#writing, timeout]);
    late.abort();
    await timeout;
  }

  #push(entry: Entry): void {
    this.#waiting.push(entry);
    this.#bytes += entry.bytes.length;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch();
      const written = await this.#write(join(this.#isTorn, batch));
      if (written === undefined) {
        this.#isTorn = false;
        continue;
      }
      // The bytes written, without the newline that ends a torn line.
      let end = this.#isTorn ? written - 1 : written;
      if (written > 0) this.#isTorn = false;
      for (const { bytes, lines } of batch) {
        if (end < bytes.length) {
          this.#dropped += lines;
          if (end > 0) this.#isTorn = true;
        }
        end -= bytes.length;
      }
    }
    this.#writing = undefined;
  }

  #takeBatch(): Entry[] {
    let count = 0;
    let size = 0;
    for (const { bytes } of this.#waiting) {
      if (count > 0 && size + bytes.length > MAX_WRITE_BYTES) break;
      size += bytes.length;
      count++;
    }
    this.#bytes -= size;
    return this.#waiting.splice(0, count);
  }

  /** Returns `undefined` if all was written, otherwise the number of bytes that were. */
  async #write(bytes: Uint8Array): Promise<number | undefined> {
    for (let at = 0; at < bytes.length;) {
      try {
        at += await this.#options.write(bytes.subarray(at));
      } catch (error) {
        if (!(error instanceof Deno.errors.WouldBlock)) return at;
        await delay(RETRY_MS);
      }
    }
    return undefined;
  }
}

function join(isTorn: boolean, batch: readonly Entry[]): Uint8Array {
  const head = isTorn ? 1 : 0;
  const joined = new Uint8Array(batch.reduce((sum, { bytes }) => sum + bytes.length, head));
  if (isTorn) joined[0] = 10;
  let at = head;
  for (const { bytes } of batch) {
    joined.set(bytes, at);
    at += bytes.length;
  }
  return joined;
}
