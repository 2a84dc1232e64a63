/**
 * Where a worker leaves what its task says: a ring of bytes in the shared buffer, whole lines of the work link
 * one after the other. The main thread copies them to the socket, unread: before the results that lie there, and
 * whenever it looks at the worker. So the last words of a task that never yields again are heard as well.
 *
 * Positions count bytes and wrap at 32 bits; the ring's size is a power of two.
 */

import { Bytes, encodeInto } from "../primordials.ts";
import { LOG_AREA_BYTES, type TaskRow } from "./task_table.ts";

const MASK = LOG_AREA_BYTES - 1;
const NEWLINE = 10;

/** The worker's end. */
export class LogWriter {
  /** Where the last line ends. */
  end = 0;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #row: TaskRow;
  /** The encoder needs a line in one piece. Made for the first one. */
  #piece: Uint8Array<ArrayBuffer> | undefined;

  constructor(bytes: Uint8Array<SharedArrayBuffer>, row: TaskRow) {
    this.#bytes = bytes;
    this.#row = row;
  }

  /** Writes a line, given without its newline; false, and nothing is written, where there is no room. */
  write(line: string): boolean {
    const piece = this.#piece ??= new Bytes(LOG_AREA_BYTES);
    const { read, written } = encodeInto(line, piece);
    const used = (this.end - this.#row.logTaken) | 0;
    if (read < line.length || used + written + 1 > LOG_AREA_BYTES) return false;
    let at = this.end;
    for (let i = 0; i < written; i++) this.#bytes[at++ & MASK] = piece[i]!;
    this.#bytes[at++ & MASK] = NEWLINE;
    this.end = at | 0;
    this.#row.setLogEnd(this.end);
    return true;
  }
}

/** The main thread's end. */
export class LogReader {
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #row: TaskRow;
  #taken = 0;

  constructor(bytes: Uint8Array<SharedArrayBuffer>, row: TaskRow) {
    this.#bytes = bytes;
    this.#row = row;
  }

  /** Gives the lines up to `end` to `sink`, in one piece or two; only copies of them may be kept. */
  take(end: number, sink: { write(bytes: Uint8Array): void }): void {
    const length = (end - this.#taken) | 0;
    if (length <= 0) return;
    const start = this.#taken & MASK;
    const first = Math.min(length, LOG_AREA_BYTES - start);
    sink.write(this.#bytes.subarray(start, start + first));
    if (first < length) sink.write(this.#bytes.subarray(0, length - first));
    this.skip(end);
  }

  /**
   * Takes a copy of the lines up to `end`, which stays as it is whatever the worker does; `undefined` where
   * that is no place in the area.
   */
  copy(end: number): Uint8Array | undefined {
    const length = (end - this.#taken) | 0;
    if (length > LOG_AREA_BYTES) return undefined;
    const bytes = new Uint8Array(Math.max(0, length));
    let at = 0;
    this.take(end, {
      write(piece) {
        bytes.set(piece, at);
        at += piece.length;
      },
    });
    return bytes;
  }

  /** Drops the lines up to `end`. */
  skip(end: number): void {
    if (((end - this.#taken) | 0) <= 0) return;
    this.#taken = end;
    this.#row.setLogTaken(end);
  }
}
