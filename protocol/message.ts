/**
 * A message of a client: one JSON object a line, either a task to submit (`op`) or a command (`cmd`). This file reads and
 * checks the envelope; `server/task` checks the options of a task.
 */

import { quote, SdError } from "./errors.ts";
import { checkDepth, checkNumbers, endOfString } from "./json_guard.ts";
import { MAX_REF_CHARS } from "./limits.ts";
import type { Line } from "./ndjson.ts";
import { takesArgument } from "./operations.ts";

/** A client's reference on a message; every reply to it carries the same one. */
export type Ref = string | number;

/** A JSON object as it was received. All members are own ones: `JSON.parse` makes even `__proto__` one. */
export type JsonObject = Record<string, unknown>;

/** The object in `line`. Throws `bad_json`. */
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

/** The `ref` of a message. Throws `bad_request` if it is malformed. */
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
 * The `ref` in a line that is no valid message: nested too deep, cut off, or no JSON. It is found by its name among the
 * members of the outermost object; of several, the last one counts.
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

/** A member `ref` with a string or an integer, and a valid next character. */
const REF_MEMBER = /"ref"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)\s*(?:[,}]|$)/y;

/** The start of each string that is directly in the outermost object of `line`. */
function* membersOf(line: string): Generator<number> {
  let depth = 0;
  for (let i = 0; i < line.length; i++) {
    const char = line[i];
    if (char === "{" || char === "[") depth++;
    else if (char === "}" || char === "]") {
      // The object ends here.
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
    // No string or number in JSON, like 007.
    return undefined;
  }
}

/** Makes the checks that `parseObject` does not, so that the `ref` can be read before. Throws `bad_request`. */
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

/** Whether a number of `message` can have been rounded. Most messages hold only a few small numbers. */
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

/** The parser's reason without its quotation of the input, which can be a megabyte. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/, (?:\.\.\.)?".*$/s, "");
}
