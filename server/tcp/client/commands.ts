/**
 * The commands of a TCP client. Most are run by `server/api/operations.ts` and have one answer. The commands here need
 * the connection itself, or send many replies: `hello`, `ping`, watches, imports in parts, backups.
 */

import { Buffer } from "node:buffer";
import { quote, SdError } from "../../../protocol/errors.ts";
import { BACKUP_PIECE_BYTES, MAX_IMPORT_CHARS, MAX_WATCHES } from "../../../protocol/limits.ts";
import type { JsonObject, Ref } from "../../../protocol/message.ts";
import { COMMANDS } from "../../../protocol/operations.ts";
import { PROTOCOL_VERSION, type ServerHealth } from "../../../protocol/task.ts";
import type { BackupBegin } from "../../../protocol/transfer.ts";
import { type Caller, checkRole } from "../../api/auth.ts";
import { commandNamed, type DoorCommand, runCommand, type UseCases } from "../../api/operations.ts";
import { readPingEvery, readRecords, readWatchScope } from "../../api/requests.ts";
import type { TaskEntry } from "../../api/task_entry.ts";
import {
  type PublishedEvent,
  Watch,
  WatchBuffer,
  type Watchers,
  type WatchScope,
} from "../../task/watchers.ts";
import type { Outbox } from "../socket/outbox.ts";
import { errorLine, jsonLine, objectLine } from "../socket/replies.ts";

/** Characters that a client may leave unread before its watches buffer their events. */
const MAX_UNREAD_CHARS = 64 * 1024;

interface CommandContext {
  readonly cases: UseCases;
  readonly entry: Pick<TaskEntry, "checkOpen">;
  readonly caller: Caller;
  readonly version: string;
  /** The answer to `health`. */
  readonly health: () => ServerHealth;
  readonly state: CommandState;
  /** Throws `unauthorized` for a wrong token. */
  readonly judge: (token: unknown) => Promise<void>;
  /** The client will ping this often; its connection is cut if pings do not come. */
  readonly expectPings: (everyMs: number) => void;
  /** The `ref` of the message. */
  readonly ref: Ref | undefined;
}

/** `undefined` if the command has sent its replies itself. */
type Answer = object | undefined;
type Command = (context: CommandContext, message: JsonObject) => Promise<Answer> | Answer;

const OWN: Readonly<Record<DoorCommand, Command>> = {
  hello,
  ping,
  health,
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
  const { caller, cases } = context;
  checkRole(caller.role, COMMANDS[name]);
  if (isOwn(name)) return await OWN[name](context, message);
  return await runCommand(name, cases, { message, caller });
}

function isOwn(name: string): name is DoorCommand {
  return Object.hasOwn(OWN, name);
}

/** The door has judged the token in the first line of the connection. A later `hello` is judged here. */
async function hello({ version, judge }: CommandContext, { token }: JsonObject): Promise<object> {
  if (token !== undefined) await judge(token);
  return { hello: "sd", version, protocol: PROTOCOL_VERSION };
}

function ping({ expectPings }: CommandContext, message: JsonObject): object {
  const everyMs = readPingEvery(message);
  if (everyMs !== undefined) expectPings(everyMs);
  return { pong: true };
}

function health({ health }: CommandContext): object {
  return health();
}

function watch({ state, ref }: CommandContext, message: JsonObject): undefined {
  state.openWatch(readWatchScope(message), ref);
}

function unwatch({ state }: CommandContext): object {
  state.endWatches();
  return { watch: "off" };
}

async function importRecords(
  { cases: { transfer }, entry, state }: CommandContext,
  message: JsonObject,
): Promise<object> {
  entry.checkOpen();
  const records = readRecords(message);
  if (records) return await transfer.importRecords(records);
  const text = state.parts.take(message);
  return text === undefined ? { part: "taken" } : await transfer.importText(text);
}

/** A line that begins the backup, pieces in base64 as fast as the client reads, and a line that ends it. */
async function backup({ cases, caller, state, ref }: CommandContext): Promise<undefined> {
  const backup = await cases.transfer.backup();
  const { signal } = caller;
  try {
    const { bytes, files } = backup;
    await state.send({ backup: "begin", bytes, files } satisfies BackupBegin, ref);
    for await (const chunk of backup.chunks()) {
      for (let at = 0; at < chunk.length; at += BACKUP_PIECE_BYTES) {
        if (signal.aborted) return;
        const piece = chunk.subarray(at, at + BACKUP_PIECE_BYTES);
        const base64 = Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString("base64");
        await state.send({ backup: "data", base64 }, ref);
      }
      if (signal.aborted) return;
    }
    await state.send({ backup: "end" }, ref);
  } finally {
    await backup.end();
  }
}

type WatchOutbox = Pick<Outbox, "push" | "unread" | "flushed" | "room">;

/** The state that the commands of one connection share: its watches, and the parts of an import. */
export class CommandState {
  readonly parts = new ImportParts();
  readonly #watchers: Watchers;
  readonly #outbox: WatchOutbox;
  readonly #maxDropped: number | undefined;
  readonly #watches = new Set<Watch>();
  readonly #buffer = new WatchBuffer();

  constructor(watchers: Watchers, outbox: WatchOutbox, maxDropped?: number) {
    this.#watchers = watchers;
    this.#outbox = outbox;
    this.#maxDropped = maxDropped;
  }

  /** Characters of events that wait until the client has read on. */
  get buffered(): number {
    return this.#buffer.chars;
  }

  get isWatching(): boolean {
    return this.#watches.size > 0;
  }

  /** Sends one of many replies; resolves when the client has read enough for the next one. */
  async send(reply: object, ref: Ref | undefined): Promise<void> {
    this.#outbox.push(objectLine(reply, ref));
    await this.#outbox.room();
  }

  /** Replies, and sends every event from now on. Throws `conflict` if there are too many watches. */
  openWatch(scope: WatchScope, ref: Ref | undefined): void {
    if (this.#watches.size >= MAX_WATCHES) {
      throw new SdError(
        "conflict",
        `this connection has ${MAX_WATCHES} watches, the most; end them with {"cmd":"unwatch"}`,
      );
    }
    this.#outbox.push(objectLine({ watch: "on" }, ref));
    const watch = new Watch({
      watchers: this.#watchers,
      scope,
      buffer: this.#buffer,
      ...(this.#maxDropped === undefined ? {} : { maxDropped: this.#maxDropped }),
    });
    this.#watches.add(watch);
    void this.#drain(watch, ref);
  }

  endWatches(): void {
    for (const watch of this.#watches) void watch.return();
    this.#watches.clear();
  }

  /** The connection has ended. */
  close(): void {
    this.endWatches();
    this.parts.drop();
  }

  /** Sends the events of a watch until it ends. */
  async #drain(watch: Watch, ref: Ref | undefined): Promise<void> {
    const outbox = this.#outbox;
    const lineOf = ({ json }: PublishedEvent) => jsonLine(json, ref);
    try {
      for await (const events of watch) {
        outbox.push(events.map(lineOf).join(""));
        if (outbox.unread > MAX_UNREAD_CHARS) await outbox.flushed();
      }
    } catch (error) {
      outbox.push(errorLine(error, ref));
    }
    this.#watches.delete(watch);
  }
}

/** The text of an import that comes in several messages, joined again. */
export class ImportParts {
  #parts: string[] = [];
  #chars = 0;

  /** Takes a part; returns the whole text with the last one. Throws `bad_request`, and then drops the earlier parts. */
  take({ part, at = 0, last }: JsonObject): string | undefined {
    if (typeof part !== "string" || typeof last !== "boolean") {
      this.drop();
      throw new SdError(
        "bad_request",
        "import takes records, an array, or part, a text, with last, true or false; this is " +
          `part ${quote(part)} with last ${quote(last)}`,
      );
    }
    // A first part begins a new text, and drops an unfinished one.
    if (at === 0) this.drop();
    if (at !== this.#chars) {
      const chars = this.#chars;
      this.drop();
      throw new SdError(
        "conflict",
        `a part at ${quote(at)} came where the text before it has ${chars} characters on this ` +
          "connection; send it again from its beginning",
      );
    }
    this.#parts.push(part);
    this.#chars += part.length;
    if (this.#chars > MAX_IMPORT_CHARS) {
      this.drop();
      throw new SdError(
        "bad_request",
        `the parts of one import have at most ${MAX_IMPORT_CHARS} characters together; send ` +
          "whole lines, and say last more often",
      );
    }
    if (!last) return undefined;
    const text = this.#parts.join("");
    this.drop();
    return text;
  }

  drop(): void {
    this.#parts = [];
    this.#chars = 0;
  }
}
