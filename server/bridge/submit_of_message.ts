/**
 * The submit in a message: the same checks as for a line of a client, and the rules for ids. The body is one JSON object, as a
 * client would send it in a line. It may be spread over several lines. Pure.
 */

import { SdError } from "../../protocol/errors.ts";
import { MAX_LINE_BYTES, MAX_ROUTE_CHARS } from "../../protocol/limits.ts";
import { checkMessage, type JsonObject, parseObject, readRef } from "../../protocol/message.ts";
import { isCronMessage } from "../task/cron_task.ts";
import type { Delivery } from "./message.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The submit of a message, under the id of the message. Throws its refusal. */
export function readSubmit(
  { id, body, route }: Pick<Delivery, "id" | "body" | "route">,
): { message: JsonObject; line: string } {
  const text = textOf(body);
  const message = parseObject(text);
  readRef(message);
  checkMessage(text as string, message);
  if (message.cmd !== undefined) {
    throw new SdError("bad_request", "a message holds a task; send commands to the server's port");
  }
  if (isCronMessage(message)) {
    throw new SdError(
      "bad_request",
      "a message holds one task; create recurring tasks with: sd cron",
    );
  }
  if (route !== undefined && route.length > MAX_ROUTE_CHARS) {
    throw new SdError("bad_request", "the reply address and the correlation id are too long");
  }
  // In JSON a line break can only stand between tokens; the payload of a task is one line.
  const line = (text as string).replace(/[\r\n]/g, " ");
  return { message: withId(message, id), line };
}

/** The text of a body; `null` if it is not UTF-8. */
function textOf(body: Uint8Array | string): string | null {
  if (typeof body === "string") return body;
  if (body.length > MAX_LINE_BYTES) {
    throw new SdError("line_too_long", `a task has at most ${MAX_LINE_BYTES} bytes of JSON`);
  }
  try {
    return decoder.decode(body);
  } catch {
    return null;
  }
}

/** The message with `id` among its options. Throws if it names another, or none at all. */
function withId(message: JsonObject, id: string | undefined): JsonObject {
  const { task = {} } = message;
  if (typeof task !== "object" || task === null || Array.isArray(task)) return message;
  const named = (task as JsonObject).id;
  if (id === undefined && named === undefined) {
    throw new SdError(
      "bad_request",
      "the message has no id: set its message_id, which becomes the id of the task, or task.id in its body; " +
        "without one a message that is delivered twice would run twice",
    );
  }
  if (id === undefined || named === id) return message;
  if (named !== undefined) {
    throw new SdError("bad_request", "task.id in the body differs from the id of the message");
  }
  return { ...message, task: { ...task, id } };
}
