/**
 * A recurring task: from the submitted line to what is kept of it, and from there to the task of one
 * of its times. Pure; called by the API, which makes them, and the scheduler, which runs them.
 *
 * What is kept (`CronRecord`) outlives releases: members may be added, none may change its meaning.
 */

import { isDeepStrictEqual } from "node:util";
import { quote, SdError } from "../../protocol/errors.ts";
import { MAX_CRON_ID_CHARS, MAX_CRON_LINE_CHARS } from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { formatSecond } from "../../protocol/text_forms.ts";
import { type CronRule, readCronRule } from "./cron_rule.ts";
import { type Creation, type NewTask, newTask, type TaskDefaults } from "./new_task.ts";

/** As it is kept, in JSON. Times are ms since 1970. */
export interface CronRecord {
  /** As it was submitted. */
  readonly line: string;
  readonly createdAt: number;
  readonly paused: boolean;
  /** When it was last resumed; times before it are missed ones. 0: never. */
  readonly resumedAt: number;
}

export interface CronTask {
  readonly id: string;
  readonly op: string;
  readonly rule: CronRule;
  readonly record: CronRecord;
}

const CRON_ID = new RegExp(`^[A-Za-z0-9._:-]{1,${MAX_CRON_ID_CHARS}}$`);

/** Options of a task that a recurring one cannot have, and why. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ["delay", "its times come from task.cron"],
  ["at", "its times come from task.cron"],
  ["after", "all of its tasks would come after the same ones"],
  ["wait", "its tasks come later, and are asked for by their ids"],
]);

/** Whether a submitted line asks for a recurring task. */
export function isCronMessage({ task }: JsonObject): boolean {
  return typeof task === "object" && task !== null && Object.hasOwn(task, "cron");
}

export function isCronId(id: string): boolean {
  return CRON_ID.test(id);
}

/** The recurring task that `message` asks for; `line` is its text. Throws `bad_request`. */
export function newCronTask(message: JsonObject, line: string, creation: Creation): CronTask {
  const { now, serials } = creation;
  if (line.length > MAX_CRON_LINE_CHARS) {
    throw new SdError(
      "bad_request",
      `the line of a recurring task is at most ${MAX_CRON_LINE_CHARS} characters; ` +
        `this is ${line.length}: have the handler fetch what it works on`,
    );
  }
  const options = message.task as JsonObject;
  for (const [name, why] of REFUSED) {
    if (Object.hasOwn(options, name)) {
      throw new SdError("bad_request", `task.${name} does not go with task.cron: ${why}`);
    }
  }
  const id = readCronId(options.id) ?? serials.idOf(serials.next(), now);
  const record = { line, createdAt: now, paused: false, resumedAt: 0 };
  const task = cronTaskOf(id, message, record);
  // Every other option is that of each task: the first wrong one is reported now.
  const first = task.rule.nextAfter(now);
  cronRun(task, first ?? now, creation);
  if (first === undefined) {
    throw new SdError(
      "bad_request",
      `task.cron names a time that never comes; this is ${quote(options.cron)}`,
    );
  }
  return task;
}

/** The one that was kept as `record` under `id`. Throws where this release cannot read it. */
export function readCronTask(id: string, record: CronRecord): CronTask {
  return cronTaskOf(id, JSON.parse(record.line) as JsonObject, record);
}

function cronTaskOf(id: string, message: JsonObject, record: CronRecord): CronTask {
  const rule = readCronRule(message.task as JsonObject);
  return { id, op: message.op as string, rule, record };
}

/** The id of the task for the time `at`: always the same, so that no time is submitted twice. */
export function cronRunId(cronId: string, at: number): string {
  return `${cronId}:${formatSecond(at)}`;
}

/** The task for the time `at`, as it is submitted. */
export function cronRun(
  { id, record }: CronTask,
  at: number,
  creation: Creation,
  defaults?: TaskDefaults,
): NewTask {
  const { ref: _ref, task, ...rest } = JSON.parse(record.line) as JsonObject;
  const { cron: _cron, tz: _tz, catch_up: _catchUp, ...options } = task as JsonObject;
  const message = { ...rest, task: { ...options, id: cronRunId(id, at) } };
  return { ...newTask(message, JSON.stringify(message), creation, defaults), wait: false };
}

/** True when op, arguments and options are equal; `ref` and the order of members do not count. */
export function isSameCron(line: string, other: string): boolean {
  return line === other || isDeepStrictEqual(withoutRef(line), withoutRef(other));
}

function withoutRef(line: string): JsonObject {
  const { ref: _ref, ...rest } = JSON.parse(line) as JsonObject;
  return rest;
}

function readCronId(id: unknown): string | undefined {
  if (id === undefined) return undefined;
  if (typeof id === "string" && CRON_ID.test(id)) return id;
  throw new SdError(
    "bad_request",
    `the task.id of a recurring task is 1 to ${MAX_CRON_ID_CHARS} characters of A-Za-z0-9._:-; ` +
      `this is ${quote(id)}`,
  );
}
