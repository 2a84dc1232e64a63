/**
 * Runs the operations of the table in `protocol/operations.ts`, the same for every door. A door reads lines or requests
 * of its own form, calls `runCommand` or `runSchedule`, and writes the reply in its own form.
 */

import { nearest } from "../../cli/nearest.ts";
import { quote, SdError } from "../../protocol/errors.ts";
import { MAX_OP_CHARS } from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import {
  type CommandName,
  COMMANDS,
  isCommandName,
  type Operation,
  SUBMITS,
} from "../../protocol/operations.ts";
import { type Caller, checkRole } from "./auth.ts";
import type { CronApi } from "./cron_api.ts";
import type { Transfer } from "./export_import.ts";
import {
  readCronId,
  readExportRequest,
  readListRequest,
  readPauseRequest,
  readTaskId,
  readTaskIds,
} from "./requests.ts";
import type { TaskApi } from "./task_api.ts";
import type { TaskReads } from "./task_reads.ts";

/** The use cases of the server, which operations call; the same for every door. */
export interface UseCases {
  readonly reads: TaskReads;
  readonly tasks: TaskApi;
  readonly crons: CronApi;
  readonly transfer: Transfer;
  readonly pauses: {
    /** The paused ops; `["*"]` if all ops are paused. */
    readonly list: string[];
    pause(op?: string): Promise<void>;
    resume(op?: string): Promise<void>;
  };
}

/** Operations that need the connection, or answer in many pieces: each door runs them in its own way. */
export type DoorCommand =
  | "hello"
  | "ping"
  | "health"
  | "watch"
  | "unwatch"
  | "import"
  | "backup";

type Run = (cases: UseCases, message: JsonObject, caller: Caller) => Promise<object> | object;

const RUNS: Readonly<Record<Exclude<CommandName, DoorCommand>, Run>> = {
  get: ({ reads }, message, caller) => reads.get(readTaskId(message), caller),
  wait: ({ tasks }, message, caller) => tasks.wait(readTaskId(message), caller),
  why: ({ reads }, message, caller) => reads.why(readTaskId(message), caller),
  logs: ({ reads }, message, caller) => reads.logs(readTaskId(message), caller),
  list: ({ reads }, message, caller) =>
    reads.list({ ...readListRequest(message, reads), asker: caller }),
  stats: ({ reads }) => reads.stats(),
  ops: ({ reads }) => reads.ops(),
  cancel: ({ tasks }, message, caller) => {
    const named = readTaskIds(message);
    return "id" in named ? tasks.cancel(named.id, caller) : tasks.cancelAll(named.ids, caller);
  },
  retry: ({ tasks }, message, caller) => {
    const named = readTaskIds(message);
    return "id" in named ? tasks.retry(named.id, caller) : tasks.retryAll(named.ids, caller);
  },
  pause: async ({ pauses, crons }, message) => {
    const { op, cronId } = readPauseRequest(message);
    if (cronId !== undefined) return await crons.pause(cronId);
    await pauses.pause(op);
    return { paused: pauses.list };
  },
  resume: async ({ pauses, crons }, message) => {
    const { op, cronId } = readPauseRequest(message);
    if (cronId !== undefined) return await crons.resume(cronId);
    await pauses.resume(op);
    return { paused: pauses.list };
  },
  export: ({ transfer }, message, caller) =>
    transfer.exportPage(readExportRequest(message), caller),
  crons: ({ crons }) => crons.list(),
  uncron: ({ crons }, message) => crons.remove(readCronId(message)),
};

/** Runs the command `name`; its one answer. Throws `bad_request`, or what the use case throws. */
export function runCommand(
  name: Exclude<CommandName, DoorCommand>,
  cases: UseCases,
  { message, caller }: { readonly message: JsonObject; readonly caller: Caller },
): Promise<object> | object {
  return RUNS[name](cases, message, caller);
}

/** Makes the recurring task that a line without `cmd` asks for. */
export async function runSchedule(
  { crons }: UseCases,
  { message, line, caller }: {
    readonly message: JsonObject;
    readonly line: string;
    readonly caller: Caller;
  },
): Promise<object> {
  checkRole(caller.role, SUBMITS.schedule);
  return await crons.create(message, line);
}

/** The command that `cmd` names. Throws `unknown_cmd`. */
export function commandNamed(cmd: unknown): CommandName {
  if (isCommandName(cmd)) return cmd;
  const names = Object.keys(COMMANDS);
  // The search for the nearest name takes time with the length of the text.
  const meant = typeof cmd === "string" && cmd.length <= MAX_OP_CHARS
    ? nearest(cmd, names)
    : undefined;
  const hint = meant === undefined ? "." : `; did you mean ${quote(meant)}?`;
  throw new SdError(
    "unknown_cmd",
    `no command is called ${quote(cmd)}${hint} The commands are ${names.join(", ")}`,
  );
}

/** Whether a message asks for an operation that may read or write many tasks. */
export function isScan({ cmd, task_ids }: JsonObject): boolean {
  if (!isCommandName(cmd)) return false;
  const { isScan, takes }: Operation = COMMANDS[cmd];
  return isScan === true || (task_ids !== undefined && "task_ids" in takes);
}
