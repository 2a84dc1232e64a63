/**
 * The operations that a client can ask of a server: each with its arguments, its role and a description. They are not
 * ops: an op is what a task runs. The TCP door, help, completion and the tests of `docs/protocol.md` read this one
 * table; `server/api/operations.ts` says what each of them runs, and a test holds the two together.
 *
 * To add one: add it here, to `server/api/operations.ts` with a reader in `server/api/requests.ts`, and to the table of
 * commands in `docs/protocol.md`.
 */

import {
  MAX_IMPORT_CHARS,
  MAX_LIST,
  MAX_OP_CHARS,
  MAX_PING_EVERY_MS,
  MAX_TASK_IDS,
  MIN_PING_EVERY_MS,
} from "./limits.ts";
import { STATUSES } from "./task.ts";

/** The permissions of a client. Each role includes the roles before it. */
export const ROLES = ["read", "submit", "admin"] as const;
export type Role = typeof ROLES[number];

/** One argument of an operation. It may be left out unless it is `required`. */
export type Argument =
  & {
    /** A noun phrase for help and documentation. */
    readonly about: string;
    readonly required?: true;
  }
  & (
    | { readonly type: "text"; readonly maxChars?: number }
    | { readonly type: "integer"; readonly min: number; readonly max: number }
    | { readonly type: "boolean" }
    | { readonly type: "choice"; readonly of: readonly string[] }
    /** Milliseconds before now, or a time of RFC 3339. */
    | { readonly type: "time" }
    | { readonly type: "texts"; readonly max: number }
    | { readonly type: "object" | "objects" }
  );

export interface Operation {
  readonly role: Role;
  /** The effect of the operation, for help and documentation. */
  readonly about: string;
  readonly takes: Readonly<Record<string, Argument>>;
  /** It may read or write many tasks: a connection runs one such operation at a time. */
  readonly isScan?: true;
}

const TASK_ID = { type: "text", about: "the id of a task" } as const;
const TASK_IDS = {
  type: "texts",
  max: MAX_TASK_IDS,
  about: "the ids of several tasks, instead of task_id",
} as const;
const CRON_ID = { type: "text", about: "the id of a recurring task" } as const;
const OP = { type: "text", maxChars: MAX_OP_CHARS, about: "the name of an op" } as const;
const STATUS = { type: "choice", of: STATUSES, about: "only tasks in this status" } as const;
const ONLY_OP = { type: "text", about: "only tasks of this op" } as const;
const CURSOR = { type: "text", about: "the cursor of the page before" } as const;

/** The operations that a line names by `cmd`, with the arguments as further members of the line. */
export const COMMANDS = {
  hello: {
    role: "read",
    about: "show a token, and ask for the server's version",
    takes: { token: { type: "text", about: "a token of the server" } },
  },
  ping: {
    role: "read",
    about: "show that both sides are there",
    takes: {
      every: {
        type: "integer",
        min: MIN_PING_EVERY_MS,
        max: MAX_PING_EVERY_MS,
        about: "time until the client's next ping, in ms",
      },
    },
  },
  health: {
    role: "read",
    about: "say whether the server takes new clients; answered before hello, also without a token",
    takes: {},
  },
  get: {
    role: "read",
    about: "show a task",
    takes: { task_id: { ...TASK_ID, required: true } },
  },
  wait: {
    role: "read",
    about: "show a task once it is final",
    takes: { task_id: { ...TASK_ID, required: true } },
  },
  why: {
    role: "read",
    about: "say why a task does not run",
    takes: { task_id: { ...TASK_ID, required: true } },
    isScan: true,
  },
  logs: {
    role: "read",
    about: "show the log of a task",
    takes: { task_id: { ...TASK_ID, required: true } },
  },
  list: {
    role: "read",
    about: "list tasks, a page at a time",
    takes: {
      status: STATUS,
      op: ONLY_OP,
      key: { type: "text", about: "only tasks with this key" },
      since: { type: "time", about: "only tasks submitted then or later" },
      order: { type: "choice", of: ["newest", "oldest"], about: "the order by time of submit" },
      limit: { type: "integer", min: 1, max: MAX_LIST, about: "most tasks of a page" },
      cursor: CURSOR,
    },
    isScan: true,
  },
  cancel: {
    role: "submit",
    about: "cancel tasks that are not final",
    takes: { task_id: TASK_ID, task_ids: TASK_IDS },
  },
  retry: {
    role: "submit",
    about: "run failed, cancelled or expired tasks again",
    takes: { task_id: TASK_ID, task_ids: TASK_IDS },
  },
  stats: { role: "read", about: "show the counts of the server", takes: {} },
  ops: { role: "read", about: "list the ops that workers have", takes: {} },
  pause: {
    role: "admin",
    about: "hand out no more tasks of an op or of all ops, or pause a recurring task",
    takes: { op: OP, cron_id: CRON_ID },
  },
  resume: {
    role: "admin",
    about: "end the pause of an op, of all ops or of a recurring task",
    takes: { op: OP, cron_id: CRON_ID },
  },
  watch: {
    role: "read",
    about: "report the events of tasks as they happen",
    takes: { task_id: { ...TASK_ID, about: "only events of this task" }, op: ONLY_OP },
  },
  unwatch: { role: "read", about: "end all watches of this connection", takes: {} },
  export: {
    role: "read",
    about: "read tasks as records, a page at a time",
    takes: { status: STATUS, op: ONLY_OP, cursor: CURSOR },
    isScan: true,
  },
  import: {
    role: "admin",
    about: "take in records that export wrote",
    takes: {
      records: { type: "objects", about: "the records" },
      part: {
        type: "text",
        maxChars: MAX_IMPORT_CHARS,
        about: "lines of records, or a part of them, instead of records",
      },
      at: {
        type: "integer",
        min: 0,
        max: MAX_IMPORT_CHARS,
        about: "characters of the parts before this one",
      },
      last: { type: "boolean", about: "true with the last part" },
    },
    isScan: true,
  },
  backup: { role: "admin", about: "copy the file of the engine while it is in use", takes: {} },
  crons: { role: "read", about: "list the recurring tasks", takes: {} },
  uncron: {
    role: "admin",
    about: "remove a recurring task",
    takes: { cron_id: { ...CRON_ID, required: true } },
  },
} as const satisfies Record<string, Operation>;

/** The operations that a line with `op` asks for. The other members of the line are the arguments of the task. */
export const SUBMITS = {
  submit: {
    role: "submit",
    about: "submit a task",
    takes: {
      op: { ...OP, required: true },
      task: { type: "object", about: "the options of the task" },
    },
  },
  schedule: {
    role: "admin",
    about: "make a recurring task: a line whose task has cron",
    takes: {
      op: { ...OP, required: true },
      task: { type: "object", required: true, about: "its options; cron is one of them" },
    },
  },
} as const satisfies Record<string, Operation>;

export type CommandName = keyof typeof COMMANDS;
type SubmitName = keyof typeof SUBMITS;

/** Whether `cmd` names a command. */
export function isCommandName(cmd: unknown): cmd is CommandName {
  return typeof cmd === "string" && Object.hasOwn(COMMANDS, cmd);
}

/** Whether `name` is an argument of the command `cmd`. */
export function takesArgument(cmd: unknown, name: string): boolean {
  return isCommandName(cmd) && Object.hasOwn(COMMANDS[cmd].takes, name);
}
