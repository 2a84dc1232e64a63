/** The commands a client may give (`cmd`): what each takes, checked, and the use case it calls. */

import { closestString } from "@std/text/closest-string";
import { quote, SdError } from "../../protocol/errors.ts";
import { MAX_LIST, MAX_OP_CHARS } from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { PROTOCOL_VERSION, type Status, STATUSES } from "../../protocol/task.ts";
import type { CronApi } from "../api/cron_api.ts";
import type { Caller, TaskApi } from "../api/task_api.ts";
import type { ListRequest } from "../engine/engine.ts";
import { CRON_COMMANDS } from "./cron_commands.ts";

export interface CommandContext {
  readonly api: TaskApi;
  readonly crons: CronApi;
  readonly caller: Caller;
  readonly version: string;
}

type Command = (context: CommandContext, message: JsonObject) => Promise<object> | object;

/** Tasks in an answer of `list` that names no limit. */
const DEFAULT_LIST = 100;

const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ["hello", ({ version }) => ({ hello: "sd", version, protocol: PROTOCOL_VERSION })],
  ["ping", () => ({ pong: true })],
  ["get", ({ api }, message) => api.get(readTaskId(message))],
  ["wait", ({ api, caller }, message) => api.wait(readTaskId(message), caller)],
  ["list", ({ api }, message) => api.list(readListRequest(message))],
  ["cancel", ({ api, caller }, message) => api.cancel(readTaskId(message), caller)],
  ["retry", ({ api }, message) => api.retry(readTaskId(message))],
  ["stats", ({ api }) => api.stats()],
  ["ops", ({ api }) => api.ops()],
  ...CRON_COMMANDS,
]);

/** Throws `unknown_cmd`, `bad_request`, or what the use case throws. */
export async function runCommand(context: CommandContext, message: JsonObject): Promise<object> {
  const { cmd } = message;
  const command = typeof cmd === "string" ? COMMANDS.get(cmd) : undefined;
  if (command) return await command(context, message);
  const names = [...COMMANDS.keys()];
  // Looking for the nearest name takes time with the length of the text.
  const isShort = typeof cmd === "string" && cmd.length <= MAX_OP_CHARS;
  const hint = isShort ? `; did you mean ${quote(closestString(cmd, names))}?` : "";
  throw new SdError(
    "unknown_cmd",
    `no command is called ${quote(cmd)}${hint} The commands are ${names.join(", ")}`,
  );
}

function readTaskId(message: JsonObject): string {
  const id = message.task_id;
  if (typeof id === "string") return id;
  throw new SdError(
    "bad_request",
    `${message.cmd} needs task_id, a string, like {"cmd":"${message.cmd}","task_id":"…"}; this is ${
      quote(id)
    }`,
  );
}

function readListRequest(message: JsonObject): ListRequest {
  const { status, op, cursor, limit = DEFAULT_LIST } = message;
  if (status !== undefined && !STATUSES.includes(status as Status)) {
    throw new SdError(
      "bad_request",
      `status is one of ${STATUSES.join(", ")}; this is ${quote(status)}`,
    );
  }
  if (!Number.isInteger(limit) || (limit as number) < 1 || (limit as number) > MAX_LIST) {
    throw new SdError(
      "bad_request",
      `limit is an integer from 1 to ${MAX_LIST}; this is ${quote(limit)}`,
    );
  }
  return {
    limit: limit as number,
    ...(status === undefined ? {} : { status: status as Status }),
    ...(op === undefined ? {} : { op: readText("op", op) }),
    ...(cursor === undefined || cursor === null ? {} : { cursor: readText("cursor", cursor) }),
  };
}

function readText(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw new SdError("bad_request", `${name} is a string; this is ${quote(value)}`);
}
