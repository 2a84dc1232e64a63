/**
 * The arguments of each operation: a JSON object in, a typed request out, or `bad_request` with the right form. Every
 * door reads its requests here; `protocol/operations.ts` describes the same arguments for people and programs.
 */

import { quote, SdError } from "../../protocol/errors.ts";
import { isIntegerIn, readOneOf, readText, wrong } from "../../protocol/fields.ts";
import {
  MAX_LIST,
  MAX_OP_CHARS,
  MAX_PING_EVERY_MS,
  MAX_TASK_IDS,
  MIN_PING_EVERY_MS,
} from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { parseRfc3339 } from "../../protocol/text_forms.ts";
import { STATUSES } from "../../protocol/task.ts";
import type { ListRequest } from "../engine/engine.ts";
import type { WatchScope } from "../task/watchers.ts";
import type { ExportRequest } from "./export_import.ts";

/** Tasks on a page of `list` if the request names no limit. */
const DEFAULT_LIST = 100;
const PING_RANGE = { min: MIN_PING_EVERY_MS, max: MAX_PING_EVERY_MS };
const LIST_RANGE = { min: 1, max: MAX_LIST };

export function readTaskId(message: JsonObject): string {
  return readNeededId(message, "task_id", "…");
}

export function readCronId(message: JsonObject): string {
  return readNeededId(message, "cron_id", "nightly");
}

function readNeededId(message: JsonObject, name: string, example: string): string {
  const { cmd, [name]: id } = message;
  if (typeof id === "string") return id;
  throw new SdError(
    "bad_request",
    `${cmd} needs ${name}, a string, like {"cmd":"${cmd}","${name}":"${example}"}; this is ${
      quote(id)
    }`,
  );
}

/** The task or the tasks that an operation acts on. */
type NamedTasks = { readonly id: string } | { readonly ids: readonly string[] };

/** `task_id`, or `task_ids` without its repetitions. */
export function readTaskIds(message: JsonObject): NamedTasks {
  const { cmd, task_id, task_ids } = message;
  if (task_ids === undefined) return { id: readTaskId(message) };
  if (task_id !== undefined) {
    throw new SdError("bad_request", `${cmd} takes task_id or task_ids, not both`);
  }
  const isList = Array.isArray(task_ids) && task_ids.length > 0 &&
    task_ids.length <= MAX_TASK_IDS && task_ids.every((id) => typeof id === "string");
  if (isList) return { ids: [...new Set(task_ids as string[])] };
  throw wrong("task_ids", `an array of 1 to ${MAX_TASK_IDS} strings`, task_ids);
}

/** A `since` in ms counts back from `now`, which is `aheadMs` ahead of the wall clock. */
export function readListRequest(
  message: JsonObject,
  { now, aheadMs }: { readonly now: number; readonly aheadMs: number },
): ListRequest {
  const { limit = DEFAULT_LIST, key, since, order } = message;
  if (!isIntegerIn(limit, LIST_RANGE)) {
    throw wrong("limit", `an integer from 1 to ${MAX_LIST}`, limit);
  }
  if (order !== undefined && order !== "newest" && order !== "oldest") {
    throw wrong("order", "newest or oldest", order);
  }
  return {
    limit,
    ...readExportRequest(message),
    ...(order === "oldest" ? { oldestFirst: true } : {}),
    ...(key === undefined ? {} : { key: readText("key", key) }),
    ...(since === undefined ? {} : { createdSince: readSince(since, now, aheadMs) }),
  };
}

function readSince(since: unknown, now: number, aheadMs: number): number {
  const isSpan = Number.isSafeInteger(since) && (since as number) >= 0;
  const time = isSpan ? now - (since as number) : parseRfc3339(since) + aheadMs;
  if (!Number.isNaN(time)) return time;
  throw wrong(
    "since",
    'milliseconds before now, or a time of RFC 3339, like "2030-01-31T08:00:00Z"',
    since,
  );
}

export function readExportRequest({ status, op, cursor }: JsonObject): ExportRequest {
  return {
    ...(status === undefined ? {} : { status: readOneOf("status", status, STATUSES) }),
    ...(op === undefined ? {} : { op: readText("op", op) }),
    ...(cursor === undefined || cursor === null ? {} : { cursor: readText("cursor", cursor) }),
  };
}

/** The op or the recurring task to pause or resume; neither means all ops. */
interface PauseRequest {
  readonly op?: string;
  readonly cronId?: string;
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

export function readWatchScope({ task_id, op }: JsonObject): WatchScope {
  return {
    ...(task_id === undefined ? {} : { taskId: readText("task_id", task_id) }),
    ...(op === undefined ? {} : { op: readText("op", op) }),
  };
}

/** How often the client will ping, in ms; `undefined` if it does not say. */
export function readPingEvery({ every }: JsonObject): number | undefined {
  if (every === undefined || isIntegerIn(every, PING_RANGE)) return every;
  throw wrong(
    "every",
    `the time between two pings, ${MIN_PING_EVERY_MS} to ${MAX_PING_EVERY_MS} ms`,
    every,
  );
}

/** The records of an `import`, as the door gives them if they came whole. Throws `bad_request`. */
export function readRecords({ records }: JsonObject): readonly unknown[] | undefined {
  if (records === undefined || Array.isArray(records)) return records;
  throw wrong("records", "an array", records);
}
