/**
 * The commands of a TCP client. Most are run by `server/api/operations.ts` and have one answer; those here need the
 * connection itself, or send many replies.
 */

import type { JsonObject, Ref } from "../../../protocol/message.ts";
import { COMMANDS } from "../../../protocol/operations.ts";
import { PROTOCOL_VERSION } from "../../../protocol/task.ts";
import { type Caller, checkRole } from "../../api/auth.ts";
import { commandNamed, type DoorCommand, runCommand, type UseCases } from "../../api/operations.ts";
import type { TaskEntry } from "../../api/task_entry.ts";
import { readPingEvery, readRecords, readWatchFilter } from "../../api/requests.ts";
import { streamBackup } from "./backup_stream.ts";
import type { Desk } from "./command_context.ts";

export interface CommandContext {
  readonly cases: UseCases;
  readonly entry: Pick<TaskEntry, "checkOpen">;
  readonly caller: Caller;
  readonly version: string;
  readonly desk: Desk;
  /** Throws `unauthorized` for a token that is not of this server. */
  readonly judge: (token: unknown) => Promise<void>;
  /** The client pings this often, and is gone when it does not. */
  readonly expectPings: (everyMs: number) => void;
  /** Of the message. */
  readonly ref: Ref | undefined;
}

/** `undefined` if the command has sent its replies itself. */
type Answer = object | undefined;
type Command = (context: CommandContext, message: JsonObject) => Promise<Answer> | Answer;

const OWN: Readonly<Record<DoorCommand, Command>> = {
  hello,
  ping,
  watch,
  unwatch,
  import: importRecords,
  backup,
};

/** Runs the command that `message` names. Throws `unknown_cmd`, `bad_request`, or what the use case throws. */
export async function answerCommand(
  context: CommandContext,
  message: JsonObject,
): Promise<Answer> {
  const name = commandNamed(message.cmd);
  checkRole(context.caller.role, COMMANDS[name]);
  if (isOwn(name)) return await OWN[name](context, message);
  return await runCommand(name, context.cases, { message, caller: context.caller });
}

function isOwn(name: string): name is DoorCommand {
  return Object.hasOwn(OWN, name);
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

function watch({ desk, ref }: CommandContext, message: JsonObject): undefined {
  desk.watches.open(readWatchFilter(message), ref);
}

function unwatch({ desk }: CommandContext): object {
  desk.watches.close();
  return { watch: "off" };
}

async function importRecords(
  { cases: { transfer }, entry, desk }: CommandContext,
  message: JsonObject,
): Promise<object> {
  entry.checkOpen();
  const records = readRecords(message);
  if (records) return await transfer.importRecords(records);
  const text = desk.parts.take(message);
  return text === undefined ? { part: "taken" } : await transfer.importText(text);
}

async function backup({ cases, caller, desk, ref }: CommandContext): Promise<undefined> {
  await streamBackup(await cases.transfer.backup(), {
    signal: caller.signal,
    send: (reply) => desk.send(reply, ref),
  });
}
