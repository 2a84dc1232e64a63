/** Every option of a task as a flag of `sd submit`. */

import type { FlagSpecs, FlagValues } from "../../../cli/flag_spec.ts";
import {
  MAX_ATTEMPTS,
  MAX_BACKOFF_MS,
  MAX_DELAY_MS,
  MAX_KEY_LIMIT,
  MAX_PRIORITY,
  MAX_TIMEOUT_MS,
} from "../../../protocol/limits.ts";
import { SdError } from "../../../protocol/errors.ts";
import { CATCH_UPS, type TaskOptions } from "../../../protocol/task.ts";

export const TASK_FLAGS = {
  id: { type: "string", value: "ID", help: "id of the task; a repeated submit is the same task" },
  priority: {
    type: "integer",
    value: "N",
    min: -MAX_PRIORITY,
    max: MAX_PRIORITY,
    help: "higher runs first",
    fallback: "0",
  },
  delay: {
    type: "duration",
    value: "TIME",
    max: MAX_DELAY_MS,
    help: "start after this time at the earliest",
  },
  at: {
    type: "string",
    value: "WHEN",
    help: "start at this time at the earliest, like 2030-01-31T08:00:00Z",
  },
  runTimeout: {
    type: "duration",
    value: "TIME",
    min: 1,
    max: MAX_TIMEOUT_MS,
    help: "time limit of an attempt",
    fallback: "1m",
  },
  attempts: {
    type: "integer",
    value: "N",
    min: 1,
    max: MAX_ATTEMPTS,
    help: "most attempts if the task fails or times out",
    fallback: "1",
  },
  backoff: {
    type: "duration",
    value: "TIME",
    max: MAX_BACKOFF_MS,
    help: "delay before the second attempt; doubles each time",
    fallback: "1s",
  },
  expires: {
    type: "duration",
    value: "TIME",
    min: 1,
    max: MAX_DELAY_MS,
    help: "expire if not started within this time",
  },
  keep: {
    type: "duration",
    value: "TIME",
    max: MAX_DELAY_MS,
    help: "keep the record for this time after its end",
    fallback: "1d",
  },
  key: {
    type: "string",
    value: "KEY",
    help: "group of the task; groups take turns on the workers",
  },
  limit: {
    type: "integer",
    value: "N",
    min: 1,
    max: MAX_KEY_LIMIT,
    help: "most tasks of its --key that run at a time",
  },
  rate: {
    type: "string",
    value: "N/TIME",
    help: "most starts of tasks of its --key in a time, like 10/1m",
  },
  after: {
    type: "list",
    value: "ID,ID",
    help: "start once these tasks have completed; repeatable",
  },
  cron: {
    type: "string",
    value: "EXPR",
    help: "make a recurring task with this schedule, like '0 2 * * *'",
  },
  tz: { type: "string", value: "ZONE", help: "time zone of --cron", fallback: "UTC" },
  catchUp: {
    type: "string",
    value: "HOW",
    choices: CATCH_UPS,
    help: "runs of --cron that were missed while no server ran",
    fallback: "once",
  },
} as const satisfies FlagSpecs;

/**
 * `error` in the words of the command line, if it is about an option that was given as a flag: `--limit` instead of the
 * server's `task.limit`.
 */
export function inFlagWords(error: unknown, options: TaskOptions): unknown {
  if (!(error instanceof SdError) || error.code !== "bad_request") return error;
  const [, first = ""] = /\btask\.([a-z_]+)/.exec(error.message) ?? [];
  if (!Object.hasOwn(options, first)) return error;
  const message = error.message.replace(/\btask\.([a-z_]+)/g, (_all, name: string) => flagOf(name));
  return new SdError(error.code, message, { cause: error });
}

function flagOf(option: string): string {
  return option === "timeout" ? "--run-timeout" : `--${option.replaceAll("_", "-")}`;
}

/** The options that were given, in the form of the protocol. */
export function taskOptions(
  flags: FlagValues<typeof TASK_FLAGS> & { detach: boolean },
): TaskOptions {
  const { runTimeout: timeout, id, priority, delay, at, attempts, backoff, expires, keep } = flags;
  const { key, limit, rate, after, cron, tz, catchUp: catch_up } = flags;
  const options: Record<string, unknown> = {
    id,
    priority,
    delay,
    at,
    timeout,
    attempts,
    backoff,
    expires,
    keep,
    key,
    limit,
    rate,
    after,
    cron,
    tz,
    catch_up,
    wait: flags.detach ? false : undefined,
  };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as TaskOptions;
}
