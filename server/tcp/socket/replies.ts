/**
 * Replies to clients, as lines of text. The two lines of every task are joined from parts that are JSON already: a
 * result is never parsed here.
 */

import { errorBody } from "../../../protocol/errors.ts";
import type { Ref } from "../../../protocol/message.ts";
import { isFinal, type Status } from "../../../protocol/task.ts";
import type { SubmitReplies } from "../../api/submit_flow.ts";
import { type FinishedTask, openEnd } from "../../task/task_events.ts";

/** Marks an acknowledgement with a final status, for a client that does not count lines. */
const ACK_MARK = ',"ack":true';

/** The replies to submits, as lines of the wire. */
export const SUBMIT_REPLIES: SubmitReplies = {
  ack: ackLine,
  endedAck: (task, ref) => endLine(task, ACK_MARK, ref),
  end: (task, ref) => endLine(task, "", ref),
  refusal: errorLine,
};

function ackLine(id: string, status: Status, ref: Ref | undefined): string {
  // Without the mark, a client could mistake an acknowledgement with a final status for the end.
  const mark = isFinal(status) ? ACK_MARK : "";
  return `{"task_id":"${id}","status":"${status}"${mark}${refEnd(ref)}`;
}

function endLine(task: FinishedTask, mark: string, ref: Ref | undefined): string {
  return openEnd(task, mark) + refEnd(ref);
}

/** Any other reply. */
export function objectLine(reply: object, ref: Ref | undefined): string {
  return jsonLine(JSON.stringify(reply), ref);
}

/** A reply that is JSON already: an object with at least one member. */
export function jsonLine(json: string, ref: Ref | undefined): string {
  return ref === undefined ? json + "\n" : json.slice(0, -1) + refEnd(ref);
}

export function errorLine(error: unknown, ref: Ref | undefined): string {
  return objectLine({ error: errorBody(error) }, ref);
}

function refEnd(ref: Ref | undefined): string {
  if (ref === undefined) return "}\n";
  return typeof ref === "number" ? `,"ref":${ref}}\n` : `,"ref":${JSON.stringify(ref)}}\n`;
}
