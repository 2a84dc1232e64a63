/** The commands a client may give (`cmd`): what each takes, checked, and the use case it calls. */

import { closestString } from "@std/text/closest-string";
import { quote, SdError } from "../../../protocol/errors.ts";
import { MAX_OP_CHARS } from "../../../protocol/limits.ts";
import type { JsonObject, Ref } from "../../../protocol/message.ts";
import { PROTOCOL_VERSION } from "../../../protocol/task.ts";
import type { CronApi } from "../../api/cron_api.ts";
import type { Caller, TaskApi } from "../../api/task_api.ts";
import { streamBackup } from "./backup_stream.ts";
import {
  readExportRequest,
  readListRequest,
  readPauseRequest,
  readPingEvery,
  readTaskId,
  readTaskIds,
  readText,
} from "./command_args.ts";
import { CRON_COMMANDS } from "./cron_commands.ts";
import type { Desk } from "./command_context.ts";

export interface CommandContext {
  readonly api: TaskApi;
  readonly crons: CronApi;
  readonly caller: Caller;
  readonly version: string;
  readonly desk: Desk;
  /** Throws `unauthorized` for a token that is not of this server. */
  readonly judge: (token: unknown) => Promise<void>;
  /** The client pings so often, and is gone when it does not. */
  readonly expectPings: (everyMs: number) => void;
  /** Of the message. */
  readonly ref: Ref | undefined;
}

/** Answers its one reply; nothing where it has sent its replies itself. */
type Command = (context: CommandContext, message: JsonObject) => Promise<Answer> | Answer;
type Answer = object | undefined;

const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ["hello", hello],
  ["ping", ping],
  ["get", ({ api, caller }, message) => api.get(readTaskId(message), caller)],
  ["wait", ({ api, caller }, message) => api.wait(readTaskId(message), caller)],
  ["why", ({ api, caller }, message) => api.why(readTaskId(message), caller)],
  ["logs", ({ api, caller }, message) => api.logs(readTaskId(message), caller)],
  ["list", list],
  ["cancel", cancel],
  ["retry", retry],
  ["stats", ({ api }) => api.stats()],
  ["ops", ({ api }) => api.ops()],
  ["pause", pause],
  ["resume", resume],
  ["watch", watch],
  ["unwatch", unwatch],
  ["export", exportPage],
  ["import", importRecords],
  ["backup", backup],
  ...CRON_COMMANDS,
]);

/** Commands that read or write many tasks: a connection has one of them under way. */
const SCANS: ReadonlySet<unknown> = new Set(["list", "export", "import", "why"]);

/** Whether others of one connection must wait until this one is answered. */
export function isScan({ cmd, task_ids }: JsonObject): boolean {
  return SCANS.has(cmd) || ((cmd === "cancel" || cmd === "retry") && task_ids !== undefined);
}

/** Throws `unknown_cmd`, `bad_request`, or what the use case throws. */
export async function runCommand(context: CommandContext, message: JsonObject): Promise<Answer> {
  const { cmd } = message;
  const command = typeof cmd === "string" ? COMMANDS.get(cmd) : undefined;
  if (command) return await command(context, message);
  const names = [...COMMANDS.keys()];
  // Looking for the nearest name takes time with the length of the text.
  const isShort = typeof cmd === "string" && cmd.length <= MAX_OP_CHARS;
  const hint = isShort ? `; did you mean ${quote(closestString(cmd, names))}?` : ".";
  throw new SdError(
    "unknown_cmd",
    `no command is called ${quote(cmd)}${hint} The commands are ${names.join(", ")}`,
  );
}

/** The first of a connection was judged before it came here; that may be so again. */
async function hello({ version, judge }: CommandContext, { token }: JsonObject): Promise<object> {
  if (token !== undefined) await judge(token);
  return { hello: "sd", version, protocol: PROTOCOL_VERSION };
}

function ping({ expectPings }: CommandContext, message: JsonObject): object {
  const everyMs = readPingEvery(message);
  if (everyMs !== undefined) expectPings(everyMs);
  return { pong: true };
}

function list({ api, caller }: CommandContext, message: JsonObject): Promise<object> {
  return api.list({ ...readListRequest(message, api), asker: caller });
}

function exportPage({ api, caller }: CommandContext, message: JsonObject): Promise<object> {
  return api.transfer.exportPage(readExportRequest(message), caller);
}

function cancel({ api, caller }: CommandContext, message: JsonObject): Promise<object> {
  const named = readTaskIds(message);
  return "id" in named ? api.cancel(named.id, caller) : api.many.cancel(named.ids, caller);
}

function retry({ api, caller }: CommandContext, message: JsonObject): Promise<object> {
  const named = readTaskIds(message);
  return "id" in named ? api.retry(named.id, caller) : api.many.retry(named.ids, caller);
}

function pause({ api, crons }: CommandContext, message: JsonObject): Promise<object> {
  const { op, cronId } = readPauseRequest(message);
  return cronId === undefined ? api.pausing.pause(op) : crons.pause(cronId);
}

function resume({ api, crons }: CommandContext, message: JsonObject): Promise<object> {
  const { op, cronId } = readPauseRequest(message);
  return cronId === undefined ? api.pausing.resume(op) : crons.resume(cronId);
}

function watch({ desk, ref }: CommandContext, { task_id, op }: JsonObject): undefined {
  desk.watches.open({
    ...(task_id === undefined ? {} : { taskId: readText("task_id", task_id) }),
    ...(op === undefined ? {} : { op: readText("op", op) }),
  }, ref);
}

function unwatch({ desk }: CommandContext): object {
  desk.watches.close();
  return { watch: "off" };
}

async function importRecords({ api, desk }: CommandContext, message: JsonObject): Promise<object> {
  api.checkOpen();
  const { records } = message;
  if (records === undefined) {
    const text = desk.parts.take(message);
    return text === undefined ? { part: "taken" } : await api.transfer.importText(text);
  }
  if (Array.isArray(records)) return await api.transfer.importRecords(records);
  throw new SdError("bad_request", `records is an array; this is ${quote(records)}`);
}

async function backup({ api, caller, desk, ref }: CommandContext): Promise<undefined> {
  await streamBackup(await api.transfer.backup(), {
    get closed() {
      return caller.closed;
    },
    send: (reply) => desk.send(reply, ref),
  });
}
