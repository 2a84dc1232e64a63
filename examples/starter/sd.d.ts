/**
 * The types of what a task file can use without an import, for your editor and
 * for `deno check`. `sd init` writes this file. A task file names it in a line
 * of its own:
 *
 *     /// <reference path="./sd.d.ts" />
 */

/** The second argument of a handler: `export function op(args, ctx) {…}`. */
interface TaskContext {
  /** The id of the task. */
  readonly id: string;
  /** The number of this attempt, from 1. */
  readonly attempt: number;
  /** The results of the tasks in `after`, by their ids. */
  readonly after: Record<string, unknown>;
  /** Whether the task must stop. It becomes true at once, also in a loop that never awaits. */
  readonly cancelled: boolean;
  /** Aborts when the task must stop: it was cancelled, or is at its time limit. */
  readonly signal: AbortSignal;
  /** Reports how far the task is, from 0 to 1. Frequent calls are cheap. */
  readonly progress: (fraction: number, note?: string) => void;
  /** Adds a line to the log of the task: `sd logs ID` shows it. `console.log` does the same. */
  readonly log: (...values: unknown[]) => void;
}

/** An error that can prevent further attempts. */
declare class TaskError extends Error {
  readonly name: "TaskError";
  /** `false`: the task fails now, also if attempts are left. */
  readonly retry: boolean;
  constructor(message: string, options?: { retry?: boolean; cause?: unknown });
}

type TaskTimeUnit = "ms" | "s" | "m" | "h" | "d";

/** Like `"500ms"`, `"30s"`, `"5m"`; a number counts milliseconds. */
type TaskDuration = number | `${number}${TaskTimeUnit}`;

/** The options of an op: `op.options = {…} satisfies TaskOptions`. */
interface TaskOptions {
  /** Longest run of one attempt; then it is stopped. Default: a minute. */
  timeout?: TaskDuration;
  /** Most attempts if the handler throws or times out, 1 to 100. Default: 1. */
  attempts?: number;
  /** Delay before attempt 2; doubles for each further one, up to an hour. Default: a second. */
  backoff?: TaskDuration;
  /** Time from the submit after which the task does not start any more. Default: never. */
  expires?: TaskDuration;
  /** Most tasks of the op that run at a time, on all workers together. Default: no limit. */
  limit?: number;
  /** Most tasks of the op that start in a time, like `"10/1m"`. Default: no limit. */
  rate?: `${number}/${number | ""}${TaskTimeUnit}`;
  /** Checks the arguments on submit: from zod, valibot or arktype, or your own. */
  schema?: TaskSchema;
  /** Permissions of its runs. Default: all that `sd serve --allow-…` allows. */
  permissions?: "none" | TaskPermissions;
  /** `true`: a fresh worker for each run; `"process"`: a process of its own. Default: false. */
  isolate?: boolean | "process";
}

/** `true` allows everything, a list only its items; an absent member allows nothing. */
interface TaskPermissions {
  /** Hosts, like `"example.com"` or `"127.0.0.1:8080"`. */
  net?: boolean | string[];
  /** Files and folders. */
  read?: boolean | string[];
  write?: boolean | string[];
  /** Names of environment variables. */
  env?: boolean | string[];
  sys?: boolean | string[];
  /** Programs. */
  run?: boolean | string[];
  ffi?: boolean;
}

/** A Standard Schema, version 1: https://standardschema.dev. */
interface TaskSchema<Args = unknown> {
  readonly "~standard": {
    readonly version: 1;
    /** The name of the library. */
    readonly vendor: string;
    /** Returns the arguments for the handler, or the issues of the submitted ones. */
    readonly validate: (
      args: unknown,
    ) => TaskSchemaResult<Args> | Promise<TaskSchemaResult<Args>>;
    readonly types?: unknown;
  };
}

type TaskSchemaResult<Args> =
  | { readonly value: Args; readonly issues?: undefined }
  | { readonly issues: readonly TaskSchemaIssue[] };

interface TaskSchemaIssue {
  readonly message: string;
  readonly path?: readonly TaskSchemaKey[] | undefined;
}

type TaskSchemaKey = PropertyKey | { readonly key: PropertyKey };
