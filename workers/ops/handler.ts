/**
 * What runs a task and what becomes of its outcome: any value that a handler returns is turned into
 * JSON or refused, anything that it throws into a message. Whatever it is, this does not throw.
 */

import { cutText } from "../bridge/log_text.ts";
import type { ErrorBody, FailureCode } from "../../protocol/errors.ts";
import { MAX_ERROR_MESSAGE_CHARS, MAX_RESULT_BYTES } from "../../protocol/limits.ts";
import type { TaskContext } from "./context.ts";
import {
  encode,
  isFinite,
  lengthOf,
  NativeError,
  slice,
  stringify,
  toText,
} from "../primordials.ts";

/** Does what an op asks for. `args` are the members that the client sent; a promise is awaited. */
export type Handler = (args: Record<string, unknown>, ctx: TaskContext) => unknown;

/** Why a task has no result. */
export interface Failure {
  readonly error: ErrorBody<FailureCode>;
  /** No further attempt, whatever the task's options say. */
  readonly retry?: false;
}

/** How a task ended: its result in JSON, or why there is none. */
export type Outcome = string | Failure;

/** A failure as a line of the work link; put together as text, since code of others may say how objects become JSON. */
export function failureLine(lease: number, { error, retry }: Failure): string {
  const { code, message } = error;
  return `{"lease":${lease},"error":{"code":"${code}","message":${stringify(message)}}` +
    `${retry === false ? ',"retry":false' : ""}}`;
}

/** A character is at most three bytes in UTF-8. */
const SURELY_SHORT_CHARS = Math.floor(MAX_RESULT_BYTES / 3);

/** The outcome of a task whose handler returned `value`. */
export function outcomeOf(value: unknown): Outcome {
  try {
    switch (typeof value) {
      case "number":
        return isFinite(value) ? toText(value) : badResult(`${value}, which JSON cannot hold`);
      case "undefined":
        return "null";
      case "bigint":
        return badResult("a BigInt; return it as a string");
      case "function":
      case "symbol":
        return badResult(`a ${typeof value}, which JSON cannot hold`);
    }
    const json = stringify(value);
    // Where an object's own toJSON returned something that JSON leaves out.
    if (json === undefined) return badResult("an object that turns into nothing in JSON");
    if (json.length > SURELY_SHORT_CHARS) return boundedResult(json);
    return json;
  } catch (error) {
    return badResult(`something that JSON cannot hold: ${firstLine(messageOf(error))}`);
  }
}

function boundedResult(json: string): Outcome {
  // A character is at least a byte: what is surely too long is not copied, it may be half a gigabyte.
  const bytes = json.length > MAX_RESULT_BYTES ? json.length : lengthOf(encode(json));
  if (bytes <= MAX_RESULT_BYTES) return json;
  return badResult(
    `${bytes} bytes of JSON or more, the limit is ${MAX_RESULT_BYTES}; return where it is kept instead`,
  );
}

function badResult(what: string): Failure {
  return { error: { code: "bad_result", message: `the handler returned ${what}` } };
}

/** The outcome of a task whose handler threw `thrown`. */
export function errorOf(thrown: unknown): Failure {
  const error = { code: "task_error", message: messageOf(thrown) } as const;
  return isFinal(thrown) ? { error, retry: false } : { error };
}

/** By what it says of itself: a `TaskError` of another copy of a module is as good. */
function isFinal(thrown: unknown): boolean {
  try {
    return typeof thrown === "object" && thrown !== null &&
      (thrown as { retry?: unknown }).retry === false;
  } catch {
    return false;
  }
}

/** `TypeError: x` for errors with a name of their own, `x` for a plain `Error`; never a stack. */
function messageOf(thrown: unknown): string {
  try {
    return cut(textOf(thrown));
  } catch {
    // A getter or a toString of the thrown value threw in its turn.
    return "the handler threw a value that cannot be read";
  }
}

function textOf(thrown: unknown): string {
  if (thrown instanceof NativeError) {
    const name = toText(thrown.name);
    const message = toText(thrown.message);
    if (message === "") return name;
    return name === "Error" || name === "TaskError" ? message : `${name}: ${message}`;
  }
  if (typeof thrown === "string" && thrown !== "") return thrown;
  if (typeof thrown === "object" && thrown !== null) {
    const { message } = thrown as { message?: unknown };
    if (typeof message === "string" && message !== "") return message;
    return `the handler threw ${stringify(thrown)}`;
  }
  // A symbol cannot be put into a template; String() takes anything.
  return `the handler threw ${typeof thrown === "string" ? '""' : toText(thrown)}`;
}

function cut(text: string): string {
  return cutText(text, MAX_ERROR_MESSAGE_CHARS);
}

function firstLine(text: string): string {
  let end = 0;
  while (end < text.length && text[end] !== "\n") end++;
  return slice(text, 0, end);
}
