/**
 * Turns a typed payload into the line that is sent: JSON, JSON with angle brackets for braces, or plain text. The text
 * itself is sent, and is never serialised again.
 */

import { ClientError } from "../../../net/client_error.ts";
import { quote, SdError } from "../../../protocol/errors.ts";
import { checkDepth, checkNumbers } from "../../../protocol/json_guard.ts";
import type { JsonObject } from "../../../protocol/message.ts";
import { DEFAULT_KEEP_MS, type TaskOptions } from "../../../protocol/task.ts";
import { findJsonFault } from "./json_fault.ts";
import { makeTaskId } from "../../task/task_line.ts";

/** Options for making a task of a text. */
export interface Making {
  /** Task options that override the options in the text. */
  options?: TaskOptions;
  /** The id of a task without one; default: a new id. */
  id?: string;
}

/** A line to send, without `ref` and newline. */
export interface Payload {
  json: string;
  op: string;
  /** The id of the task. */
  id: string;
  /** Whether the server must send the end of the task as well. */
  wait: boolean;
  /** How long the server keeps the record after the end of the task, in ms. */
  keepMs: number;
  /** Whether the payload makes a recurring task. */
  cron: boolean;
}

const QUOTING_HINT =
  `the shell removes quotes; put the payload in single quotes: '{"op":"square","n":7}'`;

/** Members of a message that are not arguments. */
const RESERVED = ["op", "cmd", "ref"];

/**
 * The line for `text`: an object with `op`, the same with `<` and `>` for its outer braces, or plain text, which
 * becomes the `data` of an `echo`. A task without an id gets one, so that a line that is sent twice is one task.
 * Throws `usage` for any other text, `bad_request` for a number that would be rounded and for an invalid `task`.
 */
export function readPayload(text: string, making: Making = {}): Payload {
  const trimmed = trim(text);
  if (trimmed.startsWith("{")) return wholeTask(trimmed, making);
  if (trimmed.startsWith("<")) return wholeTask(withBraces(trimmed), making);
  return withOptions(`{"op":"echo","data":${JSON.stringify(text)}}`, { ...making, op: "echo" });
}

/**
 * The line for `text` as the arguments of `op`: an object holds all arguments and, as `task`, the options. Any other
 * text becomes the argument `arg`, unchanged. Throws as `readPayload` does.
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
      hint: reserved === "op" ? "without --op each line names its own op" : undefined,
    });
  }
  const members = oneLine(json.slice(1)).trimStart();
  const whole = members === "}" ? `${head.slice(0, -1)}}` : head + members;
  return withOptions(whole, { ...making, op, own: object.task });
}

/** The line for `json`, the text of an object with `op` and arguments only. */
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
  // A recurring task has no end to wait for, so --detach changes nothing.
  if (cron && options?.wait !== undefined) delete task.wait;
  // Every JSON reader of sd takes the last of two members with one name.
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
    throw new ClientError("usage", `the payload has no "op"`, {
      hint: `name an op, as in '{"op":"square","n":7}'; list the ops with: sd ops`,
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

/** `json` on one line, as the protocol wants it. Line breaks are between tokens only and can be spaces. */
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
      `the payload is not JSON: at character ${offset + 1}, ${expected} is expected; ` +
        (rest === "" ? "the text ends there" : `there is ${quote(rest)}`),
      { cause: error, hint: QUOTING_HINT },
    );
  }
}

/** `<"op":"square">` → `{"op":"square"}`: for shells in which braces have another meaning. */
function withBraces(text: string): string {
  if (text.endsWith(">")) return `{${text.slice(1, -1)}}`;
  throw new ClientError("usage", `the payload begins with "<" and does not end with ">"`, {
    hint: `send text with: '{"op":"echo","data":"<…"}'`,
  });
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
