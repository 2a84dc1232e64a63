/**
 * Ids of tasks: UUIDv7 (RFC 9562), with the counter that its section 6.2 allows in the last 48 bits. So they sort by the
 * time at which they were made, and a task that this server made is found by a number: a map of strings costs ten times as
 * much, since it interns every key. Each engine has one `Serials`, and all of its new tasks are numbered by it.
 */

import { MAX_TASK_ID_CHARS } from "../../protocol/limits.ts";

const TASK_ID = new RegExp(`^[A-Za-z0-9._:-]{1,${MAX_TASK_ID_CHARS}}$`);
const HEX_DIGITS = 16;
const SERIAL_CHARS = 12;
const UUID_CHARS = 36;

/** The value of each hexadecimal digit, by character code. */
const VALUES = new Uint8Array(128).fill(HEX_DIGITS);
for (let digit = 0; digit < HEX_DIGITS; digit++) VALUES[digit.toString(16).charCodeAt(0)] = digit;

/** Whether a task can have the id `id`. */
export function isTaskId(id: unknown): id is string {
  return typeof id === "string" && TASK_ID.test(id);
}

/** The serial numbers of the tasks of one engine, and the ids that are made of them. */
export class Serials {
  /** 26 random bits: servers that share a store make different ids in the same millisecond. */
  readonly #own = crypto.randomUUID().slice(14, 24).replace(/^./, "7");
  #last: number;
  #prefixMs = -1;
  #prefix = "";

  /** `first`: above every number in the engine's store; 1 if that is empty. */
  constructor(first = 1) {
    this.#last = first - 1;
  }

  /** The next number. No other task of the engine has it, nor had it a place in a queue; never 0. */
  next(): number {
    return ++this.#last;
  }

  /** The id of the task with this number, made at `now` (ms since 1970). */
  idOf(serial: number, now: number): string {
    if (now !== this.#prefixMs) {
      const hex = now.toString(16).padStart(12, "0");
      this.#prefix = `${hex.slice(0, 8)}-${hex.slice(8)}-${this.#own}`;
      this.#prefixMs = now;
    }
    return this.#prefix + serial.toString(16).padStart(SERIAL_CHARS, "0");
  }
}

/** The number that `id` ends with; 0 if it ends with none. A task can have another id that ends with the same number. */
export function serialOf(id: string): number {
  if (id.length !== UUID_CHARS) return 0;
  let serial = 0;
  for (let i = UUID_CHARS - SERIAL_CHARS; i < UUID_CHARS; i++) {
    const value = VALUES[id.charCodeAt(i) & 127] as number;
    if (value === HEX_DIGITS) return 0;
    serial = serial * HEX_DIGITS + value;
  }
  return serial;
}
