/**
 * What a task file can use without importing it, for your editor and for
 * `deno check`. Written by `sd init`; a task file names it in a line of its own:
 *
 *     /// <reference path="./sd.d.ts" />
 */

/** What a handler is handed beside its arguments: `export function op(args, ctx) {…}`. */
interface TaskContext {
  /** The task's id. */
  readonly id: string;
  /** Counted from 1. */
  readonly attempt: number;
  /** The results of the tasks that this one came after, by their ids. */
  readonly after: Record<string, unknown>;
  /** Whether the task shall stop; true at once, also in a loop that never awaits. */
  readonly cancelled: boolean;
  /** Aborts when the task shall stop: it was cancelled, or it reached its time limit. */
  readonly signal: AbortSignal;
  /** Says how far the task is, from 0 to 1. As often as is convenient. */
  readonly progress: (fraction: number, note?: string) => void;
  /** Keeps a line with the task: `sd logs ID` shows it. `console.log` does the same. */
  readonly log: (...values: unknown[]) => void;
}

/** An error that can say that another attempt is of no use. */
declare class TaskError extends Error {
  readonly name: "TaskError";
  /** `false`: the task fails now, whatever attempts it has left. */
  readonly retry: boolean;
  constructor(message: string, options?: { retry?: boolean; cause?: unknown });
}

type TaskTimeUnit = "ms" | "s" | "m" | "h" | "d";

/** Like `"500ms"`, `"30s"`, `"5m"`; a number counts milliseconds. */
type TaskDuration = number | `${number}${TaskTimeUnit}`;

/** What an op asks for: `op.options = {…} satisfies TaskOptions`. */
interface TaskOptions {
  /** So long may one attempt run, then it is stopped. Default: a minute. */
  timeout?: TaskDuration;
  /** Most attempts when the handler throws or times out, 1 to 100. Default: 1. */
  attempts?: number;
  /** Before attempt 2, doubling after each, at most an hour. Default: a second. */
  backoff?: TaskDuration;
  /** From submit; not started any more after it. Default: never. */
  expires?: TaskDuration;
  /** Tasks of the op that run at a time, on all workers together. Default: any number. */
  limit?: number;
  /** Tasks of the op that start in a time, like `"10/1m"`. Default: any number. */
  rate?: `${number}/${number | ""}${TaskTimeUnit}`;
  /** Checks the arguments on submit: of zod, valibot, arktype, or your own. */
  schema?: TaskSchema;
  /** What its runs may do. Default: all that `sd serve --allow-…` allows. */
  permissions?: "none" | TaskPermissions;
  /** Each run has a fresh worker, where nothing is left of another one, or a process of its own. */
  isolate?: boolean | "process";
}

/** `true`: all of it; a list: only those; absent: nothing. */
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
    /** Who made it. */
    readonly vendor: string;
    /** What the handler gets, or what is wrong with what was submitted. */
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
