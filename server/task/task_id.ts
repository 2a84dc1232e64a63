/**
 * Ids of tasks: UUIDv7 (RFC 9562), with the counter that its section 6.2 allows in the last 48 bits. So
 * they sort by the time at which they were made, and a task that this process made is found by a number:
 * a map of strings costs ten times as much, since it interns every key.
 */

import { MAX_TASK_ID_CHARS } from "../../protocol/limits.ts";

const TASK_ID = new RegExp(`^[A-Za-z0-9._:-]{1,${MAX_TASK_ID_CHARS}}$`);
const HEX_DIGITS = 16;
const SERIAL_CHARS = 12;
const UUID_CHARS = 36;

/** The value of each hexadecimal digit, by character code. */
const VALUES = new Uint8Array(128).fill(HEX_DIGITS);
for (let digit = 0; digit < HEX_DIGITS; digit++) VALUES[digit.toString(16).charCodeAt(0)] = digit;

/** 26 bits, drawn once: servers that share an engine make different ids in the same millisecond. */
const OWN = crypto.randomUUID().slice(14, 24).replace(/^./, "7");

let serials = 0;
let prefixMs = -1;
let prefix = "";

/** Whether a task can have the id `id`. */
export function isTaskId(id: unknown): id is string {
  return typeof id === "string" && TASK_ID.test(id);
}

/** A number that no other task of this process, or of its engine's file, has; never 0. */
export function newSerial(): number {
  return ++serials;
}

/** From now on serial numbers are `serial` or higher: the lower ones were given out by another process. */
export function startSerialsAt(serial: number): void {
  serials = Math.max(serials, serial - 1);
}

/** The id of task `serial`, made at `now` (ms since 1970). */
export function newTaskId(now: number, serial: number): string {
  if (now !== prefixMs) {
    const hex = now.toString(16).padStart(12, "0");
    prefix = `${hex.slice(0, 8)}-${hex.slice(8)}-${OWN}`;
    prefixMs = now;
  }
  return prefix + serial.toString(16).padStart(SERIAL_CHARS, "0");
}

/** The number that `id` ends with; 0 where it has none. That a task has this id is not said by it. */
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
