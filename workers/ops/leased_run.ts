/**
 * Reads a leased task from its line, in the worker that runs it. The server writes the envelope, always in the same
 * order, so it is read by position; only the part that the client sent is parsed as JSON.
 */

import { charCodeAt, indexOf, NativeError, parse, slice } from "../primordials.ts";

/** One run of a task, read from its lease. */
export interface LeasedRun {
  readonly lease: number;
  readonly attempt: number;
  /** The time limit of the run, in ms. */
  readonly timeout: number;
  readonly id: string;
  readonly op: string;
  /** Results of the tasks that it came after, by their ids, in JSON; `undefined` if there are none. */
  readonly after: string | undefined;
  /** The members that the client sent, without `op`, `ref` and `task`. */
  readonly args: Record<string, unknown>;
}

const AFTER_LEASE = '{"lease":'.length;
const AFTER_ATTEMPT = ',"attempt":'.length;
const AFTER_TIMEOUT = ',"timeout":'.length;
const AFTER_ID = ',"id":"'.length;
const AFTER_SUBMIT = '","submit":'.length;
const AFTER_AFTER_CHARS = '","after_chars":'.length;
const AFTER_AFTER = ',"after":'.length;
/** Position of the first letter of `submit` or `after_chars`, counted from the end of the id. */
const NAME_AT = '","'.length;
// Codes below ZERO end a number: the comma, and NaN at the end of the line (a comparison with it is false).
const ZERO = 48, COLON = 58, LETTER_A = 97;

/** The run in `line`, which `leasedTaskLine` of protocol/work_message.ts wrote. */
export function readLeasedRun(line: string): LeasedRun {
  let at = AFTER_LEASE;
  let lease = 0;
  for (let code = charCodeAt(line, at); code >= ZERO; code = charCodeAt(line, ++at)) {
    lease = lease * 10 + (code - ZERO);
  }
  at += AFTER_ATTEMPT;
  let attempt = 0;
  for (let code = charCodeAt(line, at); code >= ZERO; code = charCodeAt(line, ++at)) {
    attempt = attempt * 10 + (code - ZERO);
  }
  at += AFTER_TIMEOUT;
  let timeout = 0;
  for (let code = charCodeAt(line, at); code >= ZERO; code = charCodeAt(line, ++at)) {
    timeout = timeout * 10 + (code - ZERO);
  }
  at += AFTER_ID;
  // An id has no character that JSON escapes.
  const idEnd = indexOf(line, '"', at);
  const id = slice(line, at, idEnd);
  let submitAt = idEnd + AFTER_SUBMIT;
  let after: string | undefined;
  if (charCodeAt(line, idEnd + NAME_AT) === LETTER_A) {
    at = idEnd + AFTER_AFTER_CHARS;
    let chars = 0;
    for (let code = charCodeAt(line, at); code >= ZERO; code = charCodeAt(line, ++at)) {
      chars = chars * 10 + (code - ZERO);
    }
    at += AFTER_AFTER;
    after = slice(line, at, at + chars);
    // Unlike an id, an object is not followed by a quote.
    submitAt = at + chars + AFTER_SUBMIT - 1;
  }
  if (charCodeAt(line, submitAt - 1) !== COLON) throw new NativeError("not a leased task");
  const { op, ref: _ref, task: _task, ...args } = parse(slice(line, submitAt, -1));
  return { lease, attempt, timeout, id, op, after, args };
}
