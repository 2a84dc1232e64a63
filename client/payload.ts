/**
 * What people give as the payload of a task, made into the line that is sent: JSON, JSON typed with
 * angle brackets, or plain text. The text itself travels, never a new serialisation of it.
 */

import { ClientError } from "../cli/client_error.ts";
import { quote, SdError } from "../protocol/errors.ts";
import { checkDepth, checkNumbers } from "../protocol/json_guard.ts";
import type { JsonObject } from "../protocol/message.ts";
import type { TaskOptions } from "../protocol/task.ts";
import { findJsonFault } from "./json_fault.ts";
import { newTaskId } from "./task_id.ts";

/** A line to send, without `ref` and newline. */
export interface Payload {
  json: string;
  /** That of the task, as in the text. */
  id: string;
  /** Whether the server is asked to send the end of the task as well. */
  wait: boolean;
  /** It asks for a recurring task. */
  cron: boolean;
}

const QUOTING_HINT =
  `a shell takes quotes away: put all of it in single quotes, as in '{"op":"square","n":7}'`;

/**
 * The line for `text`: an object with `op`, the same with `<` and `>` for its outer braces, or plain
 * text, which becomes the `data` of an `echo`. `options` go before those in the text, and an id is
 * made where there is none, so that the line may be sent twice and is one task. Throws `usage`
 * for text that is none of these, `bad_request` for a number that would be rounded or a `task` that
 * cannot be one.
 */
export function readPayload(text: string, options: TaskOptions = {}): Payload {
  const trimmed = text.trim();
  if (trimmed === "") {
    throw new ClientError("usage", "the payload is empty", {
      hint: `give JSON, as in '{"op":"square","n":7}', or text`,
    });
  }
  if (trimmed.startsWith("{")) return jsonPayload(trimmed, options);
  if (trimmed.startsWith("<")) return jsonPayload(withBraces(trimmed), options);
  return withOptions(`{"op":"echo","data":${JSON.stringify(text)}}`, { own: {}, options });
}

function jsonPayload(json: string, options: TaskOptions): Payload {
  checkDepth(json);
  const object = parse(json);
  checkNumbers(json);
  if (object.op === undefined) {
    throw new ClientError("usage", `the payload has no "op", the name of what to run`, {
      hint: `give one, as in '{"op":"square","n":7}'; see which there are with: sd ops`,
    });
  }
  if (object.cmd !== undefined) {
    throw new ClientError("usage", `a task cannot have an argument "cmd"`);
  }
  // Line breaks stand between tokens only, where a space does as well: a message is one line.
  return withOptions(json.replace(/[\r\n]+/g, " "), { own: object.task as TaskOptions, options });
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

/** `own` are the options that the text brought along, if they are any. */
function withOptions(
  json: string,
  { own, options }: { own: TaskOptions | undefined; options: TaskOptions },
): Payload {
  if (own !== undefined && !isObject(own)) {
    throw new SdError(
      "bad_request",
      `task holds the options of the task, like {"timeout":5000}; this is ${quote(own)}`,
    );
  }
  const task: TaskOptions = { id: newTaskId(), ...own, ...options };
  if (typeof task.id !== "string") {
    throw new SdError("bad_request", `task.id is a string; this is ${quote(task.id)}`);
  }
  const wait = task.wait ?? true;
  const cron = task.cron !== undefined;
  // Nobody waits for a recurring task anyway, so that --detach asks for nothing.
  if (cron && options.wait !== undefined) delete task.wait;
  // The last of two members of one name counts, for every reader of JSON that sd has.
  const line = `${json.slice(0, -1)},"task":${JSON.stringify(task)}}`;
  return { json: line, id: task.id, wait, cron };
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
