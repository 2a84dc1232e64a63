/** Reads the arguments of commands: each is what it must be, or `bad_request` says what would be right. */

import { quote, SdError } from "../../protocol/errors.ts";
import { MAX_LIST, MAX_OP_CHARS } from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { type Status, STATUSES } from "../../protocol/task.ts";
import type { ExportRequest } from "../api/transfer.ts";
import type { ListRequest } from "../engine/engine.ts";

/** Tasks in an answer of `list` that names no limit. */
const DEFAULT_LIST = 100;

export function readTaskId(message: JsonObject): string {
  const id = message.task_id;
  if (typeof id === "string") return id;
  throw new SdError(
    "bad_request",
    `${message.cmd} needs task_id, a string, like {"cmd":"${message.cmd}","task_id":"…"}; this is ${
      quote(id)
    }`,
  );
}

/** What is to be paused or resumed: neither is all ops. */
export interface PauseRequest {
  readonly op?: string;
  readonly cronId?: string;
}

export function readListRequest(message: JsonObject): ListRequest {
  const { limit = DEFAULT_LIST } = message;
  if (!Number.isInteger(limit) || (limit as number) < 1 || (limit as number) > MAX_LIST) {
    throw new SdError(
      "bad_request",
      `limit is an integer from 1 to ${MAX_LIST}; this is ${quote(limit)}`,
    );
  }
  return { limit: limit as number, ...readExportRequest(message) };
}

export function readExportRequest({ status, op, cursor }: JsonObject): ExportRequest {
  if (status !== undefined && !STATUSES.includes(status as Status)) {
    throw new SdError(
      "bad_request",
      `status is one of ${STATUSES.join(", ")}; this is ${quote(status)}`,
    );
  }
  return {
    ...(status === undefined ? {} : { status: status as Status }),
    ...(op === undefined ? {} : { op: readText("op", op) }),
    ...(cursor === undefined || cursor === null ? {} : { cursor: readText("cursor", cursor) }),
  };
}

export function readPauseRequest({ cmd, op, cron_id }: JsonObject): PauseRequest {
  if (op !== undefined && cron_id !== undefined) {
    throw new SdError("bad_request", `${cmd} takes op or cron_id, not both; neither is all ops`);
  }
  if (cron_id !== undefined) return { cronId: readText("cron_id", cron_id) };
  if (op === undefined) return {};
  if (typeof op === "string" && op !== "" && op.length <= MAX_OP_CHARS) return { op };
  throw new SdError(
    "bad_request",
    `op is the name of an op, a string of 1 to ${MAX_OP_CHARS} characters; without it, ${cmd} ` +
      `is for all of them; this is ${quote(op)}`,
  );
}

export function readText(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw new SdError("bad_request", `${name} is a string; this is ${quote(value)}`);
}
