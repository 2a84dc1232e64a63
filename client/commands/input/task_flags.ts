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
  id: { type: "string", value: "ID", help: "its id; the same submit again is the same task" },
  priority: {
    type: "integer",
    value: "N",
    min: -MAX_PRIORITY,
    max: MAX_PRIORITY,
    help: "higher runs first, 0 where none is given",
  },
  delay: {
    type: "duration",
    value: "TIME",
    max: MAX_DELAY_MS,
    help: "start no sooner than so long from now",
  },
  at: {
    type: "string",
    value: "WHEN",
    help: "start no sooner than this, like 2030-01-31T08:00:00Z",
  },
  runTimeout: {
    type: "duration",
    value: "TIME",
    min: 1,
    max: MAX_TIMEOUT_MS,
    help: "stop an attempt that runs longer; 1m where none is given",
  },
  attempts: {
    type: "integer",
    value: "N",
    min: 1,
    max: MAX_ATTEMPTS,
    help: "try so often at most when it fails or times out; 1 where none is given",
  },
  backoff: {
    type: "duration",
    value: "TIME",
    max: MAX_BACKOFF_MS,
    help: "wait before attempt 2, twice as long before the next; 1s where none is given",
  },
  expires: {
    type: "duration",
    value: "TIME",
    min: 1,
    max: MAX_DELAY_MS,
    help: "do not start it any more after so long",
  },
  keep: {
    type: "duration",
    value: "TIME",
    max: MAX_DELAY_MS,
    help: "keep the record so long after its end; 1d where none is given",
  },
  key: {
    type: "string",
    value: "KEY",
    help: "tasks with one key share the workers with other keys in turn",
  },
  limit: {
    type: "integer",
    value: "N",
    min: 1,
    max: MAX_KEY_LIMIT,
    help: "run at most so many tasks of its --key at a time",
  },
  rate: {
    type: "string",
    value: "N/TIME",
    help: "start at most so many tasks of its --key in a time, like 10/1m",
  },
  after: {
    type: "list",
    value: "ID,ID",
    help: "start once these tasks have completed; may be given again",
  },
  cron: {
    type: "string",
    value: "EXPR",
    help: "make it a recurring task, at the times of this expression, like '0 2 * * *'",
  },
  tz: { type: "string", value: "ZONE", help: "the time zone of --cron; UTC where none is given" },
  catchUp: {
    type: "string",
    value: "HOW",
    choices: CATCH_UPS,
    help: "times of --cron that passed while no server ran; once if not given",
  },
} as const satisfies FlagSpecs;

/**
 * `error` in the words of the command line if it is about an option that was given as a flag: the server speaks of
 * `task.limit`, and what was typed is `--limit`.
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

/** The options that were given, as they travel. */
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
