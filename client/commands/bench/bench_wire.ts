/**
 * The request and the two replies of a task, written and read as bytes. Pure. The replies of the server have this form; a
 * line of any other form is left to a JSON parser.
 *
 *     {"task_id":"…36 characters…","status":"queued","ref":7}
 *     {"task_id":"…36 characters…","status":"completed","result":49,"ref":7}
 */

import type { BenchOp } from "./bench_op.ts";

const NEWLINE = 10, QUOTE = 34, COMMA = 44, ZERO = 48, COLON = 58, CLOSE_BRACE = 125;
const LETTER_C = 99, LETTER_O = 111, LETTER_Q = 113;
// Offsets from the start of a line.
const AFTER_ID = 48, STATUS = 60;
const QUEUED_END = 66, QUEUED_REF = 74;
const COMPLETED_END = 69, RESULT = 80;
/** Bytes from the comma after a result to its ref. */
const TO_REF = 7;
/** Digits of the largest safe integer; no correct result has more. */
const MAX_DIGITS = 16;
/** Most bytes of a ref and its number in decimal, a brace and a newline. */
const NUMBER_BYTES = 34;

/** Forms of a line. */
export const INCOMPLETE = 0, ACKNOWLEDGED = 1, NUMBER = 2, RIGHT = 3, OTHER = 4;
type LineShape = 0 | 1 | 2 | 3 | 4;

/** The most bytes that a request of `op` takes. */
function requestBytes(op: BenchOp): number {
  return op.head.length + (op.tail?.length ?? 0) + NUMBER_BYTES;
}

/** Requests that are waiting for a write. */
export class RequestBuffer {
  readonly #op: BenchOp;
  readonly #bytes: Uint8Array;
  #size = 0;

  constructor(op: BenchOp, requests: number) {
    this.#op = op;
    this.#bytes = new Uint8Array(requests * requestBytes(op));
  }

  get isEmpty(): boolean {
    return this.#size === 0;
  }

  add(ref: number): void {
    const { head, tail } = this.#op;
    this.#append(head);
    if (tail) {
      this.#appendDigits(this.#op.numberOf(ref));
      this.#append(tail);
    }
    this.#appendDigits(ref);
    this.#bytes[this.#size++] = CLOSE_BRACE;
    this.#bytes[this.#size++] = NEWLINE;
  }

  /** Takes all requests. They must be written before the next one is added. */
  take(): Uint8Array {
    const bytes = this.#bytes.subarray(0, this.#size);
    this.#size = 0;
    return bytes;
  }

  // For a few bytes a loop is faster than `set`.
  #append(part: Uint8Array): void {
    for (let i = 0; i < part.length; i++) this.#bytes[this.#size++] = part[i] ?? 0;
  }

  #appendDigits(value: number): void {
    let digits = 1;
    for (let rest = value; rest >= 10; rest = (rest / 10) | 0) digits++;
    this.#size += digits;
    let rest = value | 0;
    for (let at = this.#size - 1, i = 0; i < digits; at--, i++) {
      const next = (rest / 10) | 0;
      this.#bytes[at] = ZERO + rest - next * 10;
      rest = next;
    }
  }
}

/** Scans replies, one line a call, and leaves the values in its fields. */
export class ReplyScanner {
  /** The ref of an `ACKNOWLEDGED`, `NUMBER` or `RIGHT` line. */
  ref = 0;
  /** The result of a `NUMBER` line. */
  result = 0;
  /** Offset of the next line. */
  next = 0;
  /** The result of a `RIGHT` line, if it is not a number. */
  readonly #answer: Uint8Array | undefined;
  #value = 0;

  constructor(op: BenchOp) {
    this.#answer = op.answer;
  }

  /** The form of the line at `at`, within the first `end` bytes. */
  scan(bytes: Uint8Array, at: number, end: number): LineShape {
    if (end - at > QUEUED_REF && bytes[at + AFTER_ID] === QUOTE) {
      const letter = bytes[at + STATUS];
      if (letter === LETTER_Q) {
        if (bytes[at + QUEUED_END] === QUOTE && bytes[at + QUEUED_REF - 1] === COLON) {
          if (this.#ref(bytes, at + QUEUED_REF, end)) return ACKNOWLEDGED;
        }
      } else if (letter === LETTER_C && bytes[at + STATUS + 1] === LETTER_O) {
        if (bytes[at + COMPLETED_END] === QUOTE && bytes[at + RESULT - 1] === COLON) {
          const shape = this.#completed(bytes, at + RESULT, end);
          if (shape !== OTHER) return shape;
        }
      }
    }
    const newline = bytes.indexOf(NEWLINE, at);
    if (newline < 0 || newline >= end) return INCOMPLETE;
    this.next = newline + 1;
    return OTHER;
  }

  #completed(bytes: Uint8Array, at: number, end: number): LineShape {
    const answer = this.#answer;
    let comma: number;
    if (answer) {
      for (let i = 0; i < answer.length; i++) if (bytes[at + i] !== answer[i]) return OTHER;
      comma = at + answer.length;
    } else {
      comma = this.#digits(bytes, at, end);
      this.result = this.#value;
      if (comma === at) return OTHER;
    }
    if (bytes[comma] !== COMMA || bytes[comma + TO_REF - 1] !== COLON) return OTHER;
    if (!this.#ref(bytes, comma + TO_REF, end)) return OTHER;
    return answer ? RIGHT : NUMBER;
  }

  /** Reads the ref at the end of a line; false if there is none. */
  #ref(bytes: Uint8Array, at: number, end: number): boolean {
    const brace = this.#digits(bytes, at, end);
    if (brace === at || brace + 1 >= end) return false;
    if (bytes[brace] !== CLOSE_BRACE || bytes[brace + 1] !== NEWLINE) return false;
    this.ref = this.#value;
    this.next = brace + 2;
    return true;
  }

  /** Reads decimal digits into `#value`; returns the place after them. */
  #digits(bytes: Uint8Array, at: number, end: number): number {
    const last = Math.min(end, at + MAX_DIGITS);
    let value = 0;
    let place = at;
    for (; place < last; place++) {
      const digit = (bytes[place] ?? 0) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    this.#value = value;
    return place;
  }
}
