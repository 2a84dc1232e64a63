/**
 * What each operation of `protocol/operations.ts` runs, for every door. A door reads lines or
 * requests of its own form, and answers in its own form; between the two it comes here.
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
} from "../../protocol/operations.ts";
import type { Caller } from "./auth.ts";
import type { CronApi } from "./cron_api.ts";
import {
  readCronId,
  readExportRequest,
  readListRequest,
  readPauseRequest,
  readTaskId,
  readTaskIds,
} from "./requests.ts";
import type { TaskApi } from "./task_api.ts";

/** What operations run: the use cases of the server, the same for every door. */
export interface UseCases {
  readonly api: TaskApi;
  readonly crons: CronApi;
}

/** Operations that need the connection, or answer in many pieces: each door runs them in its own way. */
export type DoorCommand = "hello" | "ping" | "watch" | "unwatch" | "import" | "backup";

type Run = (cases: UseCases, message: JsonObject, caller: Caller) => Promise<object> | object;

const RUNS: Readonly<Record<Exclude<CommandName, DoorCommand>, Run>> = {
  get: ({ api }, message, caller) => api.get(readTaskId(message), caller),
  wait: ({ api }, message, caller) => api.wait(readTaskId(message), caller),
  why: ({ api }, message, caller) => api.why(readTaskId(message), caller),
  logs: ({ api }, message, caller) => api.logs(readTaskId(message), caller),
  list: ({ api }, message, caller) => api.list({ ...readListRequest(message, api), asker: caller }),
  stats: ({ api }) => api.stats(),
  ops: ({ api }) => api.ops(),
  cancel: ({ api }, message, caller) => {
    const named = readTaskIds(message);
    return "id" in named ? api.cancel(named.id, caller) : api.many.cancel(named.ids, caller);
  },
  retry: ({ api }, message, caller) => {
    const named = readTaskIds(message);
    return "id" in named ? api.retry(named.id, caller) : api.many.retry(named.ids, caller);
  },
  pause: ({ api, crons }, message) => {
    const { op, cronId } = readPauseRequest(message);
    return cronId === undefined ? api.pausing.pause(op) : crons.pause(cronId);
  },
  resume: ({ api, crons }, message) => {
    const { op, cronId } = readPauseRequest(message);
    return cronId === undefined ? api.pausing.resume(op) : crons.resume(cronId);
  },
  export: ({ api }, message, caller) => api.transfer.exportPage(readExportRequest(message), caller),
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
