/**
 * From a client's message to a task that an engine can keep: every option checked, every default
 * filled in. Pure; called by the TCP session for each submitted line.
 */

import { type ErrorBody, type FailureCode, quote, SdError } from "../../protocol/errors.ts";
import {
  MAX_AFTER,
  MAX_ATTEMPTS,
  MAX_BACKOFF_MS,
  MAX_DELAY_MS,
  MAX_KEY_CHARS,
  MAX_KEY_LIMIT,
  MAX_OP_CHARS,
  MAX_PRIORITY,
  MAX_TASK_ID_CHARS,
  MAX_TIMEOUT_MS,
} from "../../protocol/limits.ts";
import { type Range, readInteger } from "../../protocol/fields.ts";
import type { JsonObject } from "../../protocol/message.ts";
import type { OpSpec } from "../../protocol/op_spec.ts";
import { parseRfc3339, type Rate, readRate } from "../../protocol/text_forms.ts";
import { DEFAULT_KEEP_MS, type Status } from "../../protocol/task.ts";
import { isTaskId, type Serials } from "./task_id.ts";
import type { TaskLog } from "./task_log.ts";
import type { RunHistory } from "./run_log.ts";
import { isDeepStrictEqual } from "node:util";

/** How a task is run and kept. Tasks with the same options may share one object. */
export interface TaskRules {
  readonly priority: number;
  readonly timeoutMs: number;
  readonly attempts: number;
  readonly backoffMs: number;
  readonly keepMs: number;
}

/** Ties a task to others with the same key. */
export interface KeyLimit {
  readonly key: string;
  /** Tasks of the key that may run at a time; `Infinity`: any number. */
  readonly limit: number;
  readonly rate: Rate | undefined;
}

/** The history of an imported task on its former server. Times are ms since 1970. */
export interface Past {
  /** Never `running`: it is queued here. */
  readonly status: Status;
  readonly attempt: number;
  readonly deaths: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  /** In JSON. */
  readonly result: string | undefined;
  readonly error: ErrorBody<FailureCode> | undefined;
  readonly cancelledFor: string | undefined;
  readonly history: RunHistory | undefined;
  readonly log: TaskLog | undefined;
}

/** A task as it enters an engine. Times are server time, in ms since 1970. */
export interface NewTask {
  readonly id: string;
  /** From the `Serials` of its engine: no other task there has it. */
  readonly serial: number;
  /** The client chose the id: the same submit again is no new task. */
  readonly idGiven: boolean;
  readonly op: string;
  /** The submitted line as it came, with its `op`, `ref` and `task`; never serialised again. */
  readonly payload: string;
  readonly rules: TaskRules;
  readonly createdAt: number;
  /** When it becomes due; `createdAt` when it is due at once. */
  readonly runAt: number;
  /** `runAt` is a time that the client named, of the wall clock: it is due when that says so. */
  readonly isCalendar: boolean;
  /** Not started after this; `Infinity` when it may always be. */
  readonly expiresAt: number;
  /** The submitting connection wants the final line. */
  readonly wait: boolean;
  readonly keyLimit: KeyLimit | undefined;
  /** Ids of the tasks that must complete first, each once. */
  readonly after: readonly string[];
  /** Of an imported task. */
  readonly past?: Past;
  /** Address of the end, in JSON, for a task from a message: its engine puts the end into its outbox with it. */
  readonly route?: string;
}

export const DEFAULT_RULES: TaskRules = {
  priority: 0,
  timeoutMs: 60_000,
  attempts: 1,
  backoffMs: 1000,
  keepMs: DEFAULT_KEEP_MS,
};

/** The options of a task that names none. */
export interface TaskDefaults {
  /** One object, shared by all tasks that name no option. */
  readonly rules: TaskRules;
  readonly expiresMs: number;
}

/** An op, as a submit must know it. */
export interface KnownOp {
  readonly defaults: TaskDefaults;
  readonly hasSchema: boolean;
}

/** Of ops whose workers ask for nothing. */
export const DEFAULTS: TaskDefaults = { rules: DEFAULT_RULES, expiresMs: Infinity };

const NO_TASKS: readonly string[] = [];

const TIMEOUT_RANGE = { min: 1, max: MAX_TIMEOUT_MS };
const ATTEMPTS_RANGE = { min: 1, max: MAX_ATTEMPTS };
const BACKOFF_RANGE = { min: 0, max: MAX_BACKOFF_MS };

const OPTION_NAMES = [
  "id",
  "priority",
  "delay",
  "at",
  "timeout",
  "attempts",
  "backoff",
  "expires",
  "keep",
  "wait",
  "key",
  "limit",
  "rate",
  "after",
];

/** Options of a recurring task, which a task refuses; `cron_task.ts` reads them. */
const CRON_OPTION_NAMES = ["cron", "tz", "catch_up"];

/** The options of tasks of this op that name none. */
export function defaultsOf({ timeout, attempts, backoff, expires }: OpSpec): TaskDefaults {
  if (timeout === undefined && attempts === undefined && backoff === undefined) {
    return expires === undefined ? DEFAULTS : { ...DEFAULTS, expiresMs: expires };
  }
  const { priority, timeoutMs, attempts: most, backoffMs, keepMs } = DEFAULT_RULES;
  return {
    rules: {
      priority,
      timeoutMs: timeout ?? timeoutMs,
      attempts: attempts ?? most,
      backoffMs: backoff ?? backoffMs,
      keepMs,
    },
    expiresMs: expires ?? Infinity,
  };
}

/** When a new task is made, and with which numbers. Tasks of one read share one object. */
export interface Creation {
  readonly now: number;
  /** How far `now` is ahead of the wall clock, in ms; default: 0. */
  readonly aheadMs?: number;
  /** The numbers of the engine that the task will enter. */
  readonly serials: Serials;
}

/** The task that `message` asks for; `line` is its text. Throws `bad_request`. */
export function newTask(
  message: JsonObject,
  line: string,
  creation: Creation,
  { rules, expiresMs }: TaskDefaults = DEFAULTS,
): NewTask {
  const op = message.op;
  if (typeof op !== "string" || op === "" || op.length > MAX_OP_CHARS) {
    throw new SdError(
      "bad_request",
      `op is the name of what to run, a string of 1 to ${MAX_OP_CHARS} characters; this is ${
        quote(op)
      }`,
    );
  }
  const options = message.task;
  if (options === undefined) {
    const { now, serials } = creation;
    const serial = serials.next();
    return {
      id: serials.idOf(serial, now),
      serial,
      idGiven: false,
      op,
      payload: line,
      rules,
      createdAt: now,
      runAt: now,
      isCalendar: false,
      expiresAt: now + expiresMs,
      wait: true,
      keyLimit: undefined,
      after: NO_TASKS,
    };
  }
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new SdError(
      "bad_request",
      `task holds the options of the task, like {"timeout":5000}; this is ${quote(options)}`,
    );
  }
  const submit = { op, line, options: options as JsonObject, creation };
  return withOptions(submit, { rules, expiresMs });
}

function withOptions(
  { op, line, options, creation }: {
    op: string;
    line: string;
    options: JsonObject;
    creation: Creation;
  },
  { rules, expiresMs }: TaskDefaults,
): NewTask {
  const { now, aheadMs = 0, serials } = creation;
  for (const name of Object.keys(options)) {
    if (!OPTION_NAMES.includes(name)) throw unknownOption(name);
  }
  const id = readId(options.id);
  const expires = readOption(options, "expires", { min: 1, max: MAX_DELAY_MS }, expiresMs);
  const serial = serials.next();
  return {
    id: id ?? serials.idOf(serial, now),
    serial,
    idGiven: id !== undefined,
    op,
    payload: line,
    rules: {
      priority: readOption(options, "priority", { min: -MAX_PRIORITY, max: MAX_PRIORITY }, 0),
      timeoutMs: readOption(options, "timeout", TIMEOUT_RANGE, rules.timeoutMs),
      attempts: readOption(options, "attempts", ATTEMPTS_RANGE, rules.attempts),
      backoffMs: readOption(options, "backoff", BACKOFF_RANGE, rules.backoffMs),
      keepMs: readOption(options, "keep", { min: 0, max: MAX_DELAY_MS }, rules.keepMs),
    },
    createdAt: now,
    ...readRunAt(options, now, now - aheadMs),
    expiresAt: now + expires,
    wait: readWait(options.wait),
    keyLimit: readKeyLimit(options),
    after: readAfter(options.after, id),
  };
}

function unknownOption(name: string): SdError {
  if (CRON_OPTION_NAMES.includes(name)) {
    return new SdError(
      "bad_request",
      `task.${name} is for recurring tasks: give task.cron as well, like "0 2 * * *"`,
    );
  }
  const names = [...OPTION_NAMES, ...CRON_OPTION_NAMES];
  return new SdError(
    "bad_request",
    `task has no option ${quote(name)}; the options are ${names.join(", ")}`,
  );
}

function readKeyLimit(options: JsonObject): KeyLimit | undefined {
  const { key } = options;
  const limit = readOption(options, "limit", { min: 1, max: MAX_KEY_LIMIT }, Infinity);
  if (key === undefined) {
    const alone = options.limit === undefined ? "rate" : "limit";
    if (options[alone] === undefined) return undefined;
    throw new SdError(
      "bad_request",
      `task.${alone} is for the tasks of one key: give task.key as well, like "customer-7"`,
    );
  }
  if (typeof key !== "string" || key === "" || key.length > MAX_KEY_CHARS) {
    throw new SdError(
      "bad_request",
      `task.key is a string of 1 to ${MAX_KEY_CHARS} characters; this is ${quote(key)}`,
    );
  }
  return { key, limit, rate: readRate(options.rate) };
}

function readAfter(after: unknown, id: string | undefined): readonly string[] {
  if (after === undefined) return NO_TASKS;
  if (!Array.isArray(after) || after.length > MAX_AFTER) {
    throw new SdError(
      "bad_request",
      `task.after is an array of at most ${MAX_AFTER} task ids; this is ${quote(after)}`,
    );
  }
  for (const parent of after) {
    if (!isTaskId(parent)) {
      throw new SdError("bad_request", `task.after holds task ids; this is ${quote(parent)}`);
    }
    if (parent === id) {
      throw new SdError("bad_request", `task ${quote(id)} cannot come after itself`);
    }
  }
  return [...new Set(after as string[])];
}

function readId(id: unknown): string | undefined {
  if (id === undefined) return undefined;
  if (isTaskId(id)) return id;
  throw new SdError(
    "bad_request",
    `task.id is 1 to ${MAX_TASK_ID_CHARS} characters of A-Za-z0-9._:-; this is ${quote(id)}`,
  );
}

function readOption(
  options: JsonObject,
  name: string,
  range: Range,
  fallback: number,
): number {
  return readInteger(`task.${name}`, options[name], range, fallback);
}

function readRunAt(
  options: JsonObject,
  now: number,
  wall: number,
): Pick<NewTask, "runAt" | "isCalendar"> {
  const delay = readOption(options, "delay", { min: 0, max: MAX_DELAY_MS }, 0);
  const at = options.at;
  if (at === undefined) return { runAt: now + delay, isCalendar: false };
  if (options.delay !== undefined) {
    throw new SdError("bad_request", "a task has task.delay or task.at, not both");
  }
  const time = parseRfc3339(at);
  if (Number.isNaN(time)) {
    throw new SdError(
      "bad_request",
      `task.at is a time of RFC 3339, like "2030-01-31T08:00:00Z"; this is ${quote(at)}`,
    );
  }
  if (time > wall + MAX_DELAY_MS) {
    throw new SdError("bad_request", `task.at is at most ten years from now; this is ${quote(at)}`);
  }
  return time > wall ? { runAt: time, isCalendar: true } : { runAt: now, isCalendar: false };
}

function readWait(wait: unknown): boolean {
  if (wait === undefined || typeof wait === "boolean") return wait ?? true;
  throw new SdError("bad_request", `task.wait is true or false; this is ${quote(wait)}`);
}

/** True when op and arguments are equal; `ref`, the options and the order of members do not count. */
export function asksTheSame(payload: string, other: string): boolean {
  return payload === other || isDeepStrictEqual(request(payload), request(other));
}

function request(payload: string): JsonObject {
  const { ref: _ref, task: _task, ...rest } = JSON.parse(payload) as JsonObject;
  return rest;
}
