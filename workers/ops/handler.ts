/**
 * The handler of an op, and the outcome of a run. Any returned value is turned into JSON or refused, anything that is
 * thrown becomes a message. Nothing here throws, whatever a handler returns or throws.
 */

import type { ErrorBody, FailureCode } from "../../protocol/errors.ts";
import { MAX_ERROR_MESSAGE_CHARS, MAX_RESULT_BYTES } from "../../protocol/limits.ts";
import { clipText } from "../bridge/log_text.ts";
import {
  encode,
  isFinite,
  lengthOf,
  NativeError,
  slice,
  stringify,
  toText,
} from "../primordials.ts";
import type { TaskContext } from "./context.ts";

/** The function of an op. `args` are the members that the client sent; a returned promise is awaited. */
export type Handler = (args: Record<string, unknown>, ctx: TaskContext) => unknown;

/** Why a task has no result. */
interface Failure {
  readonly error: ErrorBody<FailureCode>;
  /** No further attempt, whatever the task's options say. */
  readonly retry?: false;
}

/** The end of a run: the result in JSON, or why there is none. */
export type RunOutcome = string | Failure;

interface TaskErrorOptions extends ErrorOptions {
  /** `false`: the task fails now, whatever attempts it has left. Default: true. */
  retry?: boolean;
}

/**
 * An error that says whether another attempt makes sense. Task files have it as the global `TaskError`; `sd init`
 * writes its type.
 */
export class TaskError extends Error {
  override readonly name = "TaskError";
  readonly retry: boolean;

  constructor(message: string, { retry = true, ...options }: TaskErrorOptions = {}) {
    super(message, options);
    this.retry = retry;
  }
}

/** A failure as a line of the work link. Built as text, because task code can change how objects become JSON. */
export function failureLine(lease: number, { error, retry }: Failure): string {
  const { code, message } = error;
  return `{"lease":${lease},"error":{"code":"${code}","message":${stringify(message)}}` +
    `${retry === false ? ',"retry":false' : ""}}`;
}

/** JSON of up to this length is within the limit in any case: a character is at most three bytes in UTF-8. */
const SURELY_SHORT_CHARS = Math.floor(MAX_RESULT_BYTES / 3);

/** The outcome of a run whose handler returned `value`. */
export function outcomeOf(value: unknown): RunOutcome {
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
    // The object's own toJSON returned something that JSON leaves out.
    if (json === undefined) return badResult("an object that turns into nothing in JSON");
    if (json.length > SURELY_SHORT_CHARS) return boundedResult(json);
    return json;
  } catch (error) {
    return badResult(`something that JSON cannot hold: ${firstLine(messageOf(error))}`);
  }
}

function boundedResult(json: string): RunOutcome {
  // A character is at least one byte. A text that is too long in any case is not encoded: it can be half a gigabyte.
  const bytes = json.length > MAX_RESULT_BYTES ? json.length : lengthOf(encode(json));
  if (bytes <= MAX_RESULT_BYTES) return json;
  return badResult(
    `${bytes} bytes of JSON or more, the limit is ${MAX_RESULT_BYTES}; return where it is kept instead`,
  );
}

function badResult(what: string): Failure {
  return { error: { code: "bad_result", message: `the handler returned ${what}` } };
}

/** The outcome of a run whose handler threw `thrown`. */
export function errorOf(thrown: unknown): Failure {
  const error = { code: "task_error", message: messageOf(thrown) } as const;
  return isFinal(thrown) ? { error, retry: false } : { error };
}

/** Reads the member `retry`, so a `TaskError` from another copy of the module counts as well. */
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
    return clipText(textOf(thrown), MAX_ERROR_MESSAGE_CHARS);
  } catch {
    // A getter or the toString of the thrown value threw as well.
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

function firstLine(text: string): string {
  let end = 0;
  while (end < text.length && text[end] !== "\n") end++;
  return slice(text, 0, end);
}
