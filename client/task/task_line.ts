/**
 * The line that submits a task, and the id in it: UUIDv7 (RFC 9562), so that ids sort by time. The id is in the line
 * from the start, so that the same line can be sent again after a lost connection and is the same task.
 */

import { ClientError } from "../../net/client_error.ts";
import type { TaskOptions } from "../../protocol/task.ts";
import type { Abortable } from "../connection/call_options.ts";

/** Members of a line that are not arguments of the handler. */
const RESERVED = ["op", "cmd", "ref", "task"];

/** A new id. */
export function makeTaskId(now = Date.now()): string {
  const time = now.toString(16).padStart(12, "0");
  // The rest is of a version 4: random, except for the variant.
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`;
}

/** The line for a task. Throws `usage` for an argument with a reserved name and for a recurring task. */
export function taskLine(
  op: string,
  args: object | undefined,
  { signal: _, ...options }: TaskOptions & Abortable,
): { json: string; id: string; wait: boolean } {
  checkArgumentNames(args);
  if (options.cron !== undefined) {
    throw new ClientError("usage", "a recurring task has no result to wait for", {
      hint: "make it with schedule(op, args, options)",
    });
  }
  const { id = makeTaskId(), wait = true } = options;
  return { json: JSON.stringify({ op, ...args, task: { ...options, id } }), id, wait };
}

/** Throws `usage` for arguments of which one has the name of another member of the line. */
export function checkArgumentNames(args: object = {}): void {
  for (const name of RESERVED) {
    if (Object.hasOwn(args, name)) {
      throw new ClientError("usage", `an argument of a task cannot be called ${name}`);
    }
  }
}
