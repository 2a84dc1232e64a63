/** Reads the arguments of commands: each is what it must be, or `bad_request` says what would be right. */

import { quote, SdError } from "../../../protocol/errors.ts";
import {
  MAX_LIST,
  MAX_OP_CHARS,
  MAX_PING_EVERY_MS,
  MAX_TASK_IDS,
  MIN_PING_EVERY_MS,
} from "../../../protocol/limits.ts";
import type { JsonObject } from "../../../protocol/message.ts";
import { parseRfc3339 } from "../../../protocol/text_forms.ts";
import { type Status, STATUSES } from "../../../protocol/task.ts";
import type { ExportRequest } from "../../api/export_import.ts";
import type { ListRequest } from "../../engine/engine.ts";

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

/** What a command that takes several tasks is to act on. */
export type Named = { readonly id: string } | { readonly ids: readonly string[] };

/** `task_id`, or `task_ids`: several at once, each once. */
export function readTaskIds(message: JsonObject): Named {
  const { cmd, task_id, task_ids } = message;
  if (task_ids === undefined) return { id: readTaskId(message) };
  if (task_id !== undefined) {
    throw new SdError("bad_request", `${cmd} takes task_id or task_ids, not both`);
  }
  const isList = Array.isArray(task_ids) && task_ids.length > 0 &&
    task_ids.length <= MAX_TASK_IDS && task_ids.every((id) => typeof id === "string");
  if (isList) return { ids: [...new Set(task_ids as string[])] };
  throw new SdError(
    "bad_request",
    `task_ids is an array of 1 to ${MAX_TASK_IDS} strings; this is ${quote(task_ids)}`,
  );
}

/** What is to be paused or resumed: neither is all ops. */
export interface PauseRequest {
  readonly op?: string;
  readonly cronId?: string;
}

/** A `since` in ms counts back from `now`, which is `aheadMs` ahead of the wall clock. */
export function readListRequest(
  message: JsonObject,
  { now, aheadMs }: { readonly now: number; readonly aheadMs: number },
): ListRequest {
  const { limit = DEFAULT_LIST, key, since, order } = message;
  if (!Number.isInteger(limit) || (limit as number) < 1 || (limit as number) > MAX_LIST) {
    throw new SdError(
      "bad_request",
      `limit is an integer from 1 to ${MAX_LIST}; this is ${quote(limit)}`,
    );
  }
  if (order !== undefined && order !== "newest" && order !== "oldest") {
    throw new SdError("bad_request", `order is newest or oldest; this is ${quote(order)}`);
  }
  return {
    limit: limit as number,
    ...readExportRequest(message),
    ...(order === "oldest" ? { oldestFirst: true } : {}),
    ...(key === undefined ? {} : { key: readText("key", key) }),
    ...(since === undefined ? {} : { createdSince: readSince(since, now, aheadMs) }),
  };
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

function readSince(since: unknown, now: number, aheadMs: number): number {
  const isSpan = Number.isSafeInteger(since) && (since as number) >= 0;
  const time = isSpan ? now - (since as number) : parseRfc3339(since) + aheadMs;
  if (!Number.isNaN(time)) return time;
  throw new SdError(
    "bad_request",
    'since is milliseconds before now, or a time of RFC 3339, like "2030-01-31T08:00:00Z"; this ' +
      `is ${quote(since)}`,
  );
}

export function readText(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw new SdError("bad_request", `${name} is a string; this is ${quote(value)}`);
}

/** How often a client means to ping, in ms; nothing where it does not say. */
export function readPingEvery({ every }: JsonObject): number | undefined {
  const isSpan = Number.isInteger(every) && (every as number) >= MIN_PING_EVERY_MS &&
    (every as number) <= MAX_PING_EVERY_MS;
  if (every === undefined || isSpan) return every as number | undefined;
  throw new SdError(
    "bad_request",
    `every is the time between two pings, ${MIN_PING_EVERY_MS} to ${MAX_PING_EVERY_MS} ms; this is ${
      quote(every)
    }`,
  );
}
