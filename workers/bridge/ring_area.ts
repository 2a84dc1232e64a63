/**
 * Two rings of bytes that one worker shares with the pool's main thread: one for results, one for log lines. The
 * worker writes whole lines of the work link into them; the main thread copies these to the socket, unread. It does
 * so when the worker reports them, and also when it looks at a worker that is too busy to report. So a result never
 * waits behind a slow task, and neither results nor log lines are lost with their worker. A line that does not fit
 * travels by message.
 *
 * Positions count bytes and wrap at 32 bits; the size of a ring is a power of two.
 */

import { Bytes, charCodeAt, encode, encodeInto, floor } from "../primordials.ts";
import { RING_BYTES, type TaskRow } from "./task_table.ts";

const MASK = RING_BYTES - 1;
/** Results up to this length are written character by character: quicker than to call the encoder. */
const SHORT_CHARS = 200;
/** Characters around the JSON of a result, with the newline and 16 digits of the lease. */
const ENVELOPE_CHARS = 40;

const NEWLINE = 10, ZERO = 48, CLOSE_BRACE = 125;

// The same text as `resultLine` in protocol/work_message.ts makes.
const BEFORE_LEASE = encode('{"lease":');
const BEFORE_RESULT = encode(',"result":');
// The length of a typed array is a getter, which task code can replace.
const LEASE_BYTES = BEFORE_LEASE.length;
const RESULT_BYTES = BEFORE_RESULT.length;

/** The worker's end of its result ring. Its methods return false, and write nothing, if there is no space. */
export class ResultRing {
  /** Where the last result ends. */
  end = 0;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  // Parts of `#bytes`, read here once: task code can replace the getters.
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

  /** Writes the line of a result whose JSON is short and ASCII; false leaves it to `writeLine`. */
  writeResult(lease: number, json: string): boolean {
    const length = json.length;
    if (length > SHORT_CHARS || !this.#hasSpace(length + ENVELOPE_CHARS)) return false;
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
    if (start + most > RING_BYTES || !this.#hasSpace(most)) return false;
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

  #hasSpace(bytes: number): boolean {
    if (RING_BYTES - ((this.end - this.#taken) | 0) >= bytes) return true;
    this.#taken = this.#row.resultTaken;
    return RING_BYTES - ((this.end - this.#taken) | 0) >= bytes;
  }
}

/** The worker's end of its log ring. */
export class LogRing {
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

  /** Writes a line, given without its newline. Returns false, and writes nothing, if there is no space. */
  write(line: string): boolean {
    const piece = this.#piece ??= new Bytes(RING_BYTES);
    const { read, written } = encodeInto(line, piece);
    const used = (this.end - this.#row.logTaken) | 0;
    if (read < line.length || used + written + 1 > RING_BYTES) return false;
    let at = this.end;
    for (let i = 0; i < written; i++) this.#bytes[at++ & MASK] = piece[i]!;
    this.#bytes[at++ & MASK] = NEWLINE;
    this.end = at | 0;
    this.#row.setLogEnd(this.end);
    return true;
  }
}

interface ByteSink {
  write(bytes: Uint8Array): void;
}

/** The main thread's end of a ring. */
export class RingReader {
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #publish: (end: number) => void;
  #taken = 0;

  /** `publish` shows the worker up to where the main thread has taken its lines. */
  private constructor(bytes: Uint8Array<SharedArrayBuffer>, publish: (end: number) => void) {
    this.#bytes = bytes;
    this.#publish = publish;
  }

  static ofResults(bytes: Uint8Array<SharedArrayBuffer>, row: TaskRow): RingReader {
    return new RingReader(bytes, (end) => row.setResultTaken(end));
  }

  static ofLog(bytes: Uint8Array<SharedArrayBuffer>, row: TaskRow): RingReader {
    return new RingReader(bytes, (end) => row.setLogTaken(end));
  }

  /** Gives the lines up to `end` to `sink`, in one piece or two; the sink must copy what it keeps. */
  take(end: number, sink: ByteSink): void {
    this.#give(end, sink);
    this.skip(end);
  }

  /** As `take`, but drops the last line. */
  takeButLast(end: number, sink: ByteSink): void {
    if (this.hasTaken(end)) return;
    let cut = (end - 1) | 0;
    while (cut !== this.#taken && this.#bytes[(cut - 1) & MASK] !== NEWLINE) cut = (cut - 1) | 0;
    this.#give(cut, sink);
    this.skip(end);
  }

  /**
   * A copy of the lines up to `end`, which the worker cannot change afterwards. `undefined` if `end` is no position
   * in the ring.
   */
  copy(end: number): Uint8Array | undefined {
    const length = (end - this.#taken) | 0;
    if (length < 0 || length > RING_BYTES) return undefined;
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
    if (this.hasTaken(end)) return;
    this.#taken = end;
    this.#publish(end);
  }

  /** Whether the lines up to `end` were taken before. */
  hasTaken(end: number): boolean {
    return ((end - this.#taken) | 0) <= 0;
  }

  #give(end: number, sink: ByteSink): void {
    const length = (end - this.#taken) | 0;
    if (length <= 0) return;
    const start = this.#taken & MASK;
    const first = Math.min(length, RING_BYTES - start);
    sink.write(this.#bytes.subarray(start, start + first));
    if (first < length) sink.write(this.#bytes.subarray(0, length - first));
  }
}
