/**
 * Where a worker leaves its results: a ring of bytes in the shared buffer, whole lines of the work
 * link one after the other. The main thread copies them from there to the socket, unread, when the
 * worker says so, and also when it says nothing because the next task keeps it: a result never waits
 * behind a slow neighbour, and none is lost with its worker. What does not fit travels by message.
 *
 * Positions count bytes and wrap at 32 bits; the ring's size is a power of two.
 */

import { Bytes, charCodeAt, encode, encodeInto, floor } from "../primordials.ts";
import { RESULT_AREA_BYTES, type TaskRow } from "./task_table.ts";

const MASK = RESULT_AREA_BYTES - 1;
/** Up to this length characters are written one by one: quicker than to call the encoder. */
const SHORT_CHARS = 200;
/** The characters round a result's JSON, the newline and 16 digits of the lease included. */
const ENVELOPE_CHARS = 40;

const NEWLINE = 10, ZERO = 48, CLOSE_BRACE = 125;

// The same text as `resultLine` in protocol/work_message.ts makes.
const BEFORE_LEASE = encode('{"lease":');
const BEFORE_RESULT = encode(',"result":');
// The length of an array of bytes is a getter, which task code can replace.
const LEASE_BYTES = BEFORE_LEASE.length;
const RESULT_BYTES = BEFORE_RESULT.length;

/** The worker's end. Its methods answer false, and have written nothing, where there is no room. */
export class ResultWriter {
  /** Where the last result ends. */
  end = 0;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  // Of `#bytes`; to ask it for them would be to show it to whoever has replaced their getters.
  readonly #buffer: SharedArrayBuffer;
  readonly #start: number;
  readonly #row: TaskRow;
  #taken = 0;

  constructor(bytes: Uint8Array<SharedArrayBuffer>, row: TaskRow) {
    this.#bytes = bytes;
    this.#buffer = bytes.buffer;
    this.#start = bytes.byteOffset;
    this.#row = row;
  }

  /** Writes the line of a result whose JSON is short and plain; false leaves it to `writeLine`. */
  writeResult(lease: number, json: string): boolean {
    const length = json.length;
    if (length > SHORT_CHARS || !this.#hasRoom(length + ENVELOPE_CHARS)) return false;
    const bytes = this.#bytes;
    let at = this.end;
    for (let i = 0; i < LEASE_BYTES; i++) bytes[at++ & MASK] = BEFORE_LEASE[i]!;
    at = this.#writeDigits(at, lease);
    for (let i = 0; i < RESULT_BYTES; i++) bytes[at++ & MASK] = BEFORE_RESULT[i]!;
    for (let i = 0; i < length; i++) {
      const code = charCodeAt(json, i);
      if (code > 127) return false;
      bytes[at++ & MASK] = code;
    }
    bytes[at++ & MASK] = CLOSE_BRACE;
    bytes[at++ & MASK] = NEWLINE;
    this.end = at | 0;
    return true;
  }

  /** Writes any line, given without its newline. */
  writeLine(line: string): boolean {
    // A character is at most three bytes in UTF-8. The encoder needs them in one piece.
    const most = line.length * 3 + 1;
    const start = this.end & MASK;
    if (start + most > RESULT_AREA_BYTES || !this.#hasRoom(most)) return false;
    const { written } = encodeInto(
      line,
      new Bytes(this.#buffer, this.#start + start, most),
    );
    this.#bytes[start + written] = NEWLINE;
    this.end = (this.end + written + 1) | 0;
    return true;
  }

  /** Writes the digits of a safe integer from `start`; returns where they end. */
  #writeDigits(start: number, value: number): number {
    let end = start + 1;
    for (let limit = 10; limit <= value; limit *= 10) end++;
    let at = end;
    let rest = value;
    for (; rest >= 2 ** 31; rest = floor(rest / 10)) {
      this.#bytes[--at & MASK] = ZERO + rest % 10;
    }
    // The usual case, in 32 bits.
    for (let low = rest | 0; at > start; low = (low / 10) | 0) {
      this.#bytes[--at & MASK] = ZERO + low % 10;
    }
    return end;
  }

  #hasRoom(bytes: number): boolean {
    if (RESULT_AREA_BYTES - ((this.end - this.#taken) | 0) >= bytes) return true;
    this.#taken = this.#row.resultTaken;
    return RESULT_AREA_BYTES - ((this.end - this.#taken) | 0) >= bytes;
  }
}

interface ByteSink {
  write(bytes: Uint8Array): void;
}

/** The main thread's end. */
export class ResultReader {
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #row: TaskRow;
  #taken = 0;

  constructor(bytes: Uint8Array<SharedArrayBuffer>, row: TaskRow) {
    this.#bytes = bytes;
    this.#row = row;
  }

  /** Gives the lines up to `end` to `sink`, in one piece or two; only copies of them may be kept. */
  take(end: number, sink: ByteSink): void {
    this.#give(end, sink);
    this.skip(end);
  }

  /** As `take`, but drops the last line. */
  takeButLast(end: number, sink: ByteSink): void {
    if (((end - this.#taken) | 0) <= 0) return;
    let cut = (end - 1) | 0;
    while (cut !== this.#taken && this.#bytes[(cut - 1) & MASK] !== NEWLINE) cut = (cut - 1) | 0;
    this.#give(cut, sink);
    this.skip(end);
  }

  /**
   * A copy of the lines up to `end`, which stays as it is whatever the worker does; `undefined` where that
   * is no place in the area.
   */
  copy(end: number): Uint8Array | undefined {
    const length = (end - this.#taken) | 0;
    if (length < 0 || length > RESULT_AREA_BYTES) return undefined;
    const bytes = new Uint8Array(length);
    let at = 0;
    this.#give(end, {
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
    this.#row.setResultTaken(end);
  }

  #give(end: number, sink: ByteSink): void {
    const length = (end - this.#taken) | 0;
    if (length <= 0) return;
    const start = this.#taken & MASK;
    const first = Math.min(length, RESULT_AREA_BYTES - start);
    sink.write(this.#bytes.subarray(start, start + first));
    if (first < length) sink.write(this.#bytes.subarray(0, length - first));
  }
}
