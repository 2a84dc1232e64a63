/**
 * Tasks as `export` writes and `import` reads them: one JSON object a line, with all data of a task. Pure. Every member
 * of an imported line is checked, since it comes from outside.
 *
 * The payload and the result are members in JSON if JSON gives back exactly their text. Otherwise they are strings
 * (`submit_text`, `result_text`). A running task is written as queued. To change the format, add an optional member; any
 * other change needs a new `RECORD_VERSION`, and a reader of the old one.
 */

import { FAILURE_CODES, quote, SdError } from "../../protocol/errors.ts";
import { checkDepth, checkNumbers } from "../../protocol/json_guard.ts";
import {
  MAX_AFTER,
  MAX_ATTEMPTS,
  MAX_BACKOFF_MS,
  MAX_DEATHS,
  MAX_DELAY_MS,
  MAX_ERROR_MESSAGE_CHARS,
  MAX_KEY_CHARS,
  MAX_KEY_LIMIT,
  MAX_LINE_BYTES,
  MAX_LOG_CHARS,
  MAX_LOG_ENTRIES,
  MAX_LOG_ENTRY_CHARS,
  MAX_OP_CHARS,
  MAX_PRIORITY,
  MAX_RESULT_BYTES,
  MAX_ROUTE_CHARS,
  MAX_TASK_ID_CHARS,
  MAX_TIMEOUT_MS,
} from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { isFinal, LOG_LEVELS, type Status, STATUSES } from "../../protocol/task.ts";
import type { TaskRecord } from "../engine/engine.ts";
import {
  type Creation,
  DEFAULT_RULES,
  type KeyLimit,
  type NewTask,
  type Past,
} from "../task/new_task.ts";
import { formatRate, formatTime, readRate } from "../../protocol/text_forms.ts";
import { isTaskId } from "../task/task_id.ts";
import { readOpVersion } from "../../protocol/op_spec.ts";
import { Fields, wrong } from "../../protocol/fields.ts";
import { countOf, type LoggedEntry, logLine, type TaskLog } from "../task/task_log.ts";
import type { RunHistory } from "../task/run_log.ts";

export const RECORD_VERSION = 1;

/** Levels that a payload or a result may have to stand in a record as JSON; a message adds its own. */
const PLAIN_LEVELS = 32;
/** Levels of a result: what a worker can put into JSON, and the server take apart. */
const MAX_RESULT_LEVELS = 2000;
const STORED_STATUSES = STATUSES.filter((status) => status !== "running");
const encoder = new TextEncoder();

/** `record` as a JSON object of one line. */
export function recordToJson(record: TaskRecord): JsonObject {
  const { rules, keyLimit } = record;
  const isRunning = record.status === "running";
  return {
    sd: RECORD_VERSION,
    id: record.id,
    op: record.op,
    status: isRunning ? "queued" : record.status,
    ...embedded("submit", record.payload),
    rules: {
      priority: rules.priority,
      timeout: rules.timeoutMs,
      attempts: rules.attempts,
      backoff: rules.backoffMs,
      keep: rules.keepMs,
    },
    ...(keyLimit && { key: keyLimit.key }),
    ...(keyLimit && keyLimit.limit !== Infinity && { limit: keyLimit.limit }),
    ...(keyLimit?.rate && { rate: formatRate(keyLimit.rate) }),
    ...(record.after.length > 0 && { after: record.after }),
    ...(record.route !== undefined && { route: record.route }),
    // The attempt that runs does not count: it begins again.
    attempt: isRunning ? record.attempt - 1 : record.attempt,
    ...(record.deaths > 0 && { deaths: record.deaths }),
    created_at: formatTime(record.createdAt),
    run_at: formatTime(record.runAt),
    ...(record.isCalendar && { calendar: true }),
    ...(record.expiresAt !== Infinity && { expires_at: formatTime(record.expiresAt) }),
    ...(record.startedAt > 0 && { started_at: formatTime(record.startedAt) }),
    ...(record.finishedAt > 0 && { finished_at: formatTime(record.finishedAt) }),
    ...(record.result !== undefined && embedded("result", record.result)),
    ...(record.error && { error: { code: record.error.code, message: record.error.message } }),
    ...(record.cancelledFor !== undefined && { cancelled_for: record.cancelledFor }),
    ...historyMembers(record),
  };
}

/** The task of a record. Its times are wall times; server time is `aheadMs` ahead of them. Throws `bad_request`. */
export function recordFromJson(
  record: JsonObject,
  { serials, aheadMs = 0 }: Pick<Creation, "serials" | "aheadMs">,
): NewTask {
  const fields = new Fields(record);
  checkVersion(fields.raw("sd"));
  const id = readId(fields.raw("id"), "id");
  const op = fields.text("op", MAX_OP_CHARS);
  if (op === undefined || op === "") throw wrong("op", "the name of what is run", op);
  const createdAt = fields.time("created_at", 0);
  if (createdAt === 0) throw wrong("created_at", "a time", undefined);
  const isCalendar = readCalendar(fields.raw("calendar"));
  const task: NewTask = {
    id,
    serial: serials.next(),
    // Even if the client did not choose the id: the same record again is no new task.
    idGiven: true,
    op,
    payload: readPayload(fields, op),
    rules: readRules(fields),
    createdAt: createdAt + aheadMs,
    runAt: fields.time("run_at", createdAt) + (isCalendar ? 0 : aheadMs),
    isCalendar,
    expiresAt: fields.time("expires_at", Infinity) + aheadMs,
    // No client of this server waits for it.
    wait: false,
    keyLimit: readKeyLimit(fields),
    after: readAfter(fields.raw("after")),
    ...readRoute(fields),
    past: readPast(fields, aheadMs),
  };
  fields.checkAll();
  return task;
}

/** Whether `run_at` is a time that the client named, by the wall clock. */
function readCalendar(value: unknown): boolean {
  if (value === undefined || value === true) return value === true;
  throw wrong("calendar", "true, or not there", value);
}

/** Throws unless `version` is one that can be read here. */
export function checkVersion(version: unknown): void {
  if (version === RECORD_VERSION) return;
  throw new SdError(
    "bad_request",
    `a record begins with "sd":${RECORD_VERSION}, the version of its format; this is ${
      quote(version)
    }`,
  );
}

function readRules(fields: Fields): NewTask["rules"] {
  const rules = fields.object("rules");
  if (!rules) return DEFAULT_RULES;
  const read = {
    priority: rules.integer("priority", { min: -MAX_PRIORITY, max: MAX_PRIORITY }, 0),
    timeoutMs: rules.integer("timeout", { min: 1, max: MAX_TIMEOUT_MS }, DEFAULT_RULES.timeoutMs),
    attempts: rules.integer("attempts", { min: 1, max: MAX_ATTEMPTS }, 1),
    backoffMs: rules.integer("backoff", { min: 0, max: MAX_BACKOFF_MS }, DEFAULT_RULES.backoffMs),
    keepMs: rules.integer("keep", { min: 0, max: MAX_DELAY_MS }, DEFAULT_RULES.keepMs),
  };
  rules.checkAll();
  return read;
}

function readKeyLimit(fields: Fields): KeyLimit | undefined {
  const key = fields.text("key", MAX_KEY_CHARS);
  const limit = fields.integer("limit", { min: 1, max: MAX_KEY_LIMIT }, Infinity);
  const rate = readRate(fields.raw("rate"));
  if (key !== undefined && key !== "") return { key, limit, rate };
  if (key === undefined && limit === Infinity && rate === undefined) return undefined;
  throw wrong("key", "a name, if there is a limit or a rate", key);
}

function readAfter(after: unknown): readonly string[] {
  if (after === undefined) return [];
  if (!Array.isArray(after) || after.length > MAX_AFTER) {
    throw wrong("after", `an array of at most ${MAX_AFTER} task ids`, after);
  }
  return [...new Set(after.map((id) => readId(id, "after")))];
}

function readRoute(fields: Fields): { readonly route?: string } {
  const route = fields.text("route", MAX_ROUTE_CHARS);
  return route === undefined ? {} : { route };
}

function readPast(fields: Fields, aheadMs: number): Past {
  const status: Status = fields.oneOf("status", STORED_STATUSES);
  const finishedAt = fields.time("finished_at", 0);
  const result = readResult(fields);
  const error = readError(fields.object("error"));
  const cancelledFor = fields.raw("cancelled_for");
  if (isFinal(status) !== finishedAt > 0) {
    throw wrong("finished_at", `there exactly when it is final, and it is ${status}`, finishedAt);
  }
  if ((status === "completed") !== (result !== undefined)) {
    throw wrong("result", `there exactly when it is completed, and it is ${status}`, result);
  }
  if (status === "failed" && !error) throw wrong("error", "there when it is failed", undefined);
  return {
    status,
    attempt: fields.integer("attempt", { min: 0, max: MAX_ATTEMPTS }, 0),
    deaths: fields.integer("deaths", { min: 0, max: MAX_DEATHS - (isFinal(status) ? 0 : 1) }, 0),
    startedAt: serverTime(fields.time("started_at", 0), aheadMs),
    finishedAt: serverTime(finishedAt, aheadMs),
    result,
    error,
    cancelledFor: cancelledFor === undefined ? undefined : readId(cancelledFor, "cancelled_for"),
    ...readHistory(fields),
  };
}

/** 0 stands for an event that has not happened. */
function serverTime(wall: number, aheadMs: number): number {
  return wall > 0 ? wall + aheadMs : wall;
}

function readError(error: Fields | undefined): Past["error"] {
  if (!error) return undefined;
  const code = error.oneOf("code", FAILURE_CODES);
  const message = error.text("message", MAX_ERROR_MESSAGE_CHARS) ?? "";
  error.checkAll();
  return { code, message };
}

function readPayload(fields: Fields, op: string): string {
  const payload = readEmbedded(fields, "submit", { maxBytes: MAX_LINE_BYTES });
  if (payload === undefined) throw wrong("submit", "the submitted object", undefined);
  const message = JSON.parse(payload) as { op?: unknown } | null;
  if (typeof message === "object" && message !== null && message.op === op) return payload;
  throw wrong("submit", `the submitted object, with "op":${quote(op)}`, message);
}

function readResult(fields: Fields): string | undefined {
  return readEmbedded(fields, "result", { maxBytes: MAX_RESULT_BYTES, levels: MAX_RESULT_LEVELS });
}

/** The text of a JSON value that stands in the record under `name`, or as text under `name_text`. */
function readEmbedded(
  fields: Fields,
  name: string,
  { maxBytes, levels }: { maxBytes: number; levels?: number },
): string | undefined {
  const value = fields.raw(name);
  const text = fields.text(`${name}_text`, maxBytes);
  if (value !== undefined && text !== undefined) {
    throw wrong(name, `given once, not as ${name}_text too`, value);
  }
  const json = text ?? (value === undefined ? undefined : JSON.stringify(value));
  if (json === undefined) return undefined;
  if (encoder.encode(json).length > maxBytes) {
    throw new SdError("bad_request", `${name} has more than ${maxBytes} bytes of JSON`);
  }
  checkDepth(json, levels);
  if (text !== undefined) checkText(name, text, levels === undefined);
  return json;
}

/** Throws unless `text` is JSON on one line. */
function checkText(name: string, text: string, isMessage: boolean): void {
  if (isMessage) checkNumbers(text);
  try {
    JSON.parse(text);
  } catch (error) {
    throw new SdError("bad_request", `${name}_text is not JSON: ${quote(text)}`, { cause: error });
  }
  if (/[\r\n]/.test(text)) throw wrong(`${name}_text`, "JSON on one line", text);
}

/** `text`, which is JSON, as a member of a record. */
function embedded(name: string, text: string): JsonObject {
  try {
    checkDepth(text, PLAIN_LEVELS);
    checkNumbers(text);
    const value = JSON.parse(text) as unknown;
    if (JSON.stringify(value) === text) return { [name]: value };
  } catch (error) {
    // Too deep, or with numbers that not every reader can hold.
    if (!(error instanceof SdError)) throw error;
  }
  return { [`${name}_text`]: text };
}

function readId(id: unknown, name: string): string {
  if (isTaskId(id)) return id;
  throw wrong(name, `1 to ${MAX_TASK_ID_CHARS} characters of A-Za-z0-9._:-`, id);
}

const COUNT = { min: 1, max: Number.MAX_SAFE_INTEGER };

/** The members of a record for version and log; none for most tasks. */
function historyMembers({ history, log }: TaskRecord): JsonObject {
  return {
    ...(history?.version !== undefined && { version: history.version }),
    ...(log && { log: log.map(logLine) }),
  };
}

function readHistory(
  fields: Fields,
): { readonly history: RunHistory | undefined; readonly log: TaskLog | undefined } {
  const given = fields.raw("version");
  const version = given === undefined ? undefined : readOpVersion(given);
  const log = readLog(fields.raw("log"));
  if (version === undefined && !log) return { history: undefined, log };
  const logged = log ? countOf(log) : 0;
  return { history: { version, logged, retries: log?.at(-1)?.retries ?? 0 }, log };
}

function readLog(log: unknown): TaskLog | undefined {
  if (log === undefined) return undefined;
  if (!Array.isArray(log) || log.length === 0 || log.length > MAX_LOG_ENTRIES) {
    throw wrong("log", `an array of 1 to ${MAX_LOG_ENTRIES} entries`, log);
  }
  const entries = log.map(readEntry);
  const chars = entries.reduce((sum, { text }) => sum + text.length, 0);
  if (chars > MAX_LOG_CHARS) {
    throw wrong("log", `entries of at most ${MAX_LOG_CHARS} characters together`, chars);
  }
  entries.reduce((before, { n }) => {
    if (n <= before) throw wrong("n", `more than that of the entry before, ${before}`, n);
    return n;
  }, 0);
  return entries;
}

function readEntry(value: unknown): LoggedEntry {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong("log", "made of objects, as sd export writes them", value);
  }
  const fields = new Fields(value as JsonObject);
  const entry: LoggedEntry = {
    n: fields.integer("n", COUNT, 0),
    at: fields.time("at", 0),
    attempt: fields.integer("attempt", { min: 1, max: MAX_ATTEMPTS }, 1),
    retries: fields.integer("retry", COUNT, 0),
    level: fields.oneOf("level", LOG_LEVELS),
    text: fields.text("text", MAX_LOG_ENTRY_CHARS) ?? "",
  };
  fields.checkAll();
  return entry;
}
