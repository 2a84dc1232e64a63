/**
 * What a client may say: one JSON object a line, either a task to submit (`op`) or a command (`cmd`).
 * Reads and checks the outside of a message; the options of a task are checked in `server/task`.
 */

import { quote, SdError } from "./errors.ts";
import { checkDepth, checkNumbers, endOfString } from "./json_guard.ts";
import { MAX_REF_CHARS } from "./limits.ts";
import type { Line } from "./ndjson.ts";
import { takesArgument } from "./operations.ts";

/** A client's own mark on a message; every reply to it carries the same. */
export type Ref = string | number;

/** A JSON object as it came in. Own members only: `JSON.parse` makes even `__proto__` one. */
export type JsonObject = Record<string, unknown>;

/** The object in `line`. Throws `bad_json` or, for numbers that cannot be held, `bad_request`. */
export function parseObject(line: Line): JsonObject {
  if (line === null) throw new SdError("bad_json", "the line is not valid UTF-8");
  checkDepth(line);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new SdError("bad_json", `the line is not JSON: ${reasonOf(error)}`, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new SdError(
      "bad_json",
      `a message is a JSON object, like {"op":"square","n":4}; this is ${quote(value)}`,
    );
  }
  return value as JsonObject;
}

/** The `ref` of a message. Throws `bad_request` when it is not one. */
export function readRef(message: JsonObject): Ref | undefined {
  const ref = message.ref;
  if (ref === undefined || Number.isSafeInteger(ref)) return ref as Ref | undefined;
  if (typeof ref === "string" && ref.length <= MAX_REF_CHARS) return ref;
  throw new SdError(
    "bad_request",
    `ref is a string of at most ${MAX_REF_CHARS} characters or a safe integer; this is ${
      quote(ref)
    }`,
  );
}

/**
 * The `ref` in a line that is no message, whatever is wrong with it: nested too deep, cut off, no JSON. It is
 * found by its name among the members of the outermost object, the last one of several.
 */
export function findRef(line: string): Ref | undefined {
  let ref: Ref | undefined;
  for (const at of membersOf(line)) {
    REF_MEMBER.lastIndex = at;
    const literal = REF_MEMBER.exec(line)?.[1];
    if (literal === undefined) continue;
    const value = valueOf(literal);
    const isRef = typeof value === "string"
      ? value.length <= MAX_REF_CHARS
      : Number.isSafeInteger(value);
    if (isRef) ref = value as Ref;
  }
  return ref;
}

/** A member `ref` with a string or an integer, and what may come after it. */
const REF_MEMBER = /"ref"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)\s*(?:[,}]|$)/y;

/** Where the strings begin that stand directly in the outermost object of `line`. */
function* membersOf(line: string): Generator<number> {
  let depth = 0;
  for (let i = 0; i < line.length; i++) {
    const char = line[i];
    if (char === "{" || char === "[") depth++;
    else if (char === "}" || char === "]") {
      // What comes after the object is no part of it.
      if (--depth <= 0) return;
    } else if (char === '"') {
      if (depth === 1) yield i;
      i = endOfString(line, i);
    }
  }
}

function valueOf(literal: string): unknown {
  try {
    return JSON.parse(literal);
  } catch {
    // No string of JSON, or no number of it, as 007.
    return undefined;
  }
}

/** Checks what `parseObject` leaves unchecked, so that a `ref` can be read first. Throws `bad_request`. */
export function checkMessage(line: string, message: JsonObject): void {
  if (mayRound(message)) checkNumbers(line);
  if (message.op !== undefined && message.cmd !== undefined && !takesArgument(message.cmd, "op")) {
    throw new SdError(
      "bad_request",
      'a message has "op" (a task) or "cmd" (a command), not both; no task may have an argument cmd',
    );
  }
  if (message.op === undefined && message.cmd === undefined) {
    throw new SdError(
      "bad_request",
      'a message needs "op" (a task, like {"op":"square","n":4}) or "cmd" (a command, like {"cmd":"ping"})',
    );
  }
}

/** False when no number of `message` can have been rounded: most messages hold a few small ones. */
function mayRound(message: JsonObject): boolean {
  for (const name in message) {
    const value = message[name];
    if (typeof value === "number") {
      if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER)) return true;
    } else if (typeof value === "object" && value !== null) {
      return true;
    }
  }
  return false;
}

/** The parser's reason without its quotation of the input, which may be a megabyte. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/, (?:\.\.\.)?".*$/s, "");
}
