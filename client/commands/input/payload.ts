/**
 * What people give as the payload of a task, made into the line that is sent: JSON, JSON typed with
 * angle brackets, or plain text. The text itself travels, never a new serialisation of it.
 */

import { ClientError } from "../../../net/client_error.ts";
import { quote, SdError } from "../../../protocol/errors.ts";
import { checkDepth, checkNumbers } from "../../../protocol/json_guard.ts";
import type { JsonObject } from "../../../protocol/message.ts";
import { DEFAULT_KEEP_MS, type TaskOptions } from "../../../protocol/task.ts";
import { findJsonFault } from "./json_fault.ts";
import { makeTaskId } from "../../task/task_line.ts";

/** What a text is made into a task with. */
export interface Making {
  /** They go before those in the text. */
  options?: TaskOptions;
  /** Of the task, where nothing else gives it one; default: a new one. */
  id?: string;
}

/** A line to send, without `ref` and newline. */
export interface Payload {
  json: string;
  op: string;
  /** That of the task, as in the text. */
  id: string;
  /** Whether the server is asked to send the end of the task as well. */
  wait: boolean;
  /** How long the server keeps the record once the task is final. */
  keepMs: number;
  /** It asks for a recurring task. */
  cron: boolean;
}

const QUOTING_HINT =
  `a shell takes quotes away: put all of it in single quotes, as in '{"op":"square","n":7}'`;

/** Members of a message that are no arguments. */
const RESERVED = ["op", "cmd", "ref"];

/**
 * The line for `text`: an object with `op`, the same with `<` and `>` for its outer braces, or plain
 * text, which becomes the `data` of an `echo`. An id is made where there is none, so that the line may
 * be sent twice and is one task. Throws `usage` for text that is none of these, `bad_request` for a
 * number that would be rounded or a `task` that cannot be one.
 */
export function readPayload(text: string, making: Making = {}): Payload {
  const trimmed = trim(text);
  if (trimmed.startsWith("{")) return wholeTask(trimmed, making);
  if (trimmed.startsWith("<")) return wholeTask(withBraces(trimmed), making);
  return withOptions(`{"op":"echo","data":${JSON.stringify(text)}}`, { ...making, op: "echo" });
}

/**
 * The line for `text` as the arguments of `op`: an object holds them all (its `task`, the options), and any
 * other text is the argument `arg`, character for character. Throws as `readPayload` does.
 */
export function readArguments(
  text: string,
  { op, arg, ...making }: Making & { op: string; arg: string },
): Payload {
  const json = trim(text);
  const head = `{"op":${JSON.stringify(op)},`;
  if (!json.startsWith("{")) {
    const data = `${head}${JSON.stringify(arg)}:${JSON.stringify(text)}}`;
    return withOptions(data, { ...making, op });
  }
  const object = readObject(json);
  const reserved = RESERVED.find((name) => Object.hasOwn(object, name));
  if (reserved !== undefined) {
    throw new ClientError("usage", `an argument of a task cannot be called ${reserved}`, {
      hint: reserved === "op" ? "a line that names its op goes without --op" : undefined,
    });
  }
  const members = oneLine(json.slice(1)).trimStart();
  const whole = members === "}" ? `${head.slice(0, -1)}}` : head + members;
  return withOptions(whole, { ...making, op, own: object.task });
}

/** The line for `json`, the text of an object with `op` and arguments and nothing else. */
export function withOptions(
  json: string,
  { op, own, options, id }: Making & { op: string; own?: unknown },
): Payload {
  if (own !== undefined && !isObject(own)) {
    throw new SdError(
      "bad_request",
      `task holds the options of the task, like {"timeout":5000}; this is ${quote(own)}`,
    );
  }
  const task: TaskOptions = { id: id ?? makeTaskId(), ...own, ...options };
  if (typeof task.id !== "string") {
    throw new SdError("bad_request", `task.id is a string; this is ${quote(task.id)}`);
  }
  const wait = task.wait ?? true;
  const cron = task.cron !== undefined;
  // Nobody waits for a recurring task anyway, so that --detach asks for nothing.
  if (cron && options?.wait !== undefined) delete task.wait;
  // The last of two members of one name counts, for every reader of JSON that sd has.
  const line = `${json.slice(0, -1)},"task":${JSON.stringify(task)}}`;
  return { json: line, op, id: task.id, wait, cron, keepMs: task.keep ?? DEFAULT_KEEP_MS };
}

function trim(text: string): string {
  const trimmed = text.trim();
  if (trimmed !== "") return trimmed;
  throw new ClientError("usage", "the payload is empty", {
    hint: `give JSON, as in '{"op":"square","n":7}', or text`,
  });
}

function wholeTask(json: string, making: Making): Payload {
  const object = readObject(json);
  if (object.op === undefined) {
    throw new ClientError("usage", `the payload has no "op", the name of what to run`, {
      hint: `give one, as in '{"op":"square","n":7}'; see which there are with: sd ops`,
    });
  }
  if (object.cmd !== undefined) {
    throw new ClientError("usage", `a task cannot have an argument "cmd"`);
  }
  const op = typeof object.op === "string" ? object.op : quote(object.op);
  return withOptions(oneLine(json), { ...making, op, own: object.task });
}

function readObject(json: string): JsonObject {
  checkDepth(json);
  const object = parse(json);
  checkNumbers(json);
  return object;
}

/** Line breaks stand between tokens only, where a space does as well: a message is one line. */
function oneLine(json: string): string {
  return json.replace(/[\r\n]+/g, " ");
}

function parse(json: string): JsonObject {
  try {
    return JSON.parse(json) as JsonObject;
  } catch (error) {
    const { offset, expected } = findJsonFault(json) ?? { offset: 0, expected: "JSON" };
    const rest = json.slice(offset, offset + 20);
    throw new ClientError(
      "usage",
      `the payload is not JSON: at character ${offset + 1}, ${expected} should stand; ` +
        (rest === "" ? "it ends there" : `there is ${quote(rest)}`),
      { cause: error, hint: QUOTING_HINT },
    );
  }
}

/** `<"op":"square">` → `{"op":"square"}`: for shells and people to whom braces mean something else. */
function withBraces(text: string): string {
  if (text.endsWith(">")) return `{${text.slice(1, -1)}}`;
  throw new ClientError("usage", `the payload begins with "<" and does not end with ">"`, {
    hint: `to send it as text: '{"op":"echo","data":"<…"}'`,
  });
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
