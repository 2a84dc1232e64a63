/**
 * One TCP connection to a server: NDJSON lines out, replies in. What gathers while a write is under
 * way goes out as the next one. It is never mended: when it is lost, its user is told why, once.
 */

import { ClientError } from "../../net/client_error.ts";
import { dial, type Wire } from "../../net/dial.ts";
import { formatTarget, type Target } from "../../net/target.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import { quote, SdError } from "../../protocol/errors.ts";
import { MAX_LINE_BYTES } from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { type Line, LineSplitter } from "../../protocol/ndjson.ts";
import { AwakeClock } from "../../net/awake_clock.ts";
import { refusalOf } from "./connection_errors.ts";
import { cannotReach, connectionLost, speaksTls } from "./connection_errors.ts";

const CONNECT_MS = 10_000;
const READ_BYTES = 64 * 1024;
/** A server's line is short, but an answer to `list` holds many tasks, each with its result. */
const MAX_REPLY_BYTES = 64 * MAX_LINE_BYTES;
/** What is written at a time is encoded in place up to this: a buffer for each would be garbage at once. */
const WRITE_BYTES = 256 * 1024;
/** Text that waits to be written; who has more to send waits until there is room. */
const MAX_OUTGOING_CHARS = 4 * 1024 * 1024;

/** The first byte of what a TLS server says to who speaks plainly; no line can hold it. */
const TLS_ALERT = 0x15;
/** Codes with which a server refuses a connection, where they belong to no message. */
const REFUSES_CONNECTION: ReadonlySet<string> = new Set(["unauthorized", "queue_full"]);

/** Codes with which a server refuses a line that it cannot read. Its `ref` may be lost with it. */
const REFUSES_LINE: ReadonlySet<string> = new Set(["bad_json", "internal"]);

/** Whom a connection tells what comes in and that it has ended. */
export interface ConnectionUser {
  take(reply: JsonObject): void;
  /** A message was refused, and the server does not say which; the connection goes on. */
  refusedOne(error: SdError): void;
  /** Not called where this side closed it. `isFinal`: another connection would fare no better. */
  lost(error: Error, isFinal: boolean): void;
}

export interface OpenOptions {
  /** Gives it up. */
  signal?: AbortSignal;
  /** So long may it take; default ten seconds. */
  ms?: number;
}

/** How a quiet connection is watched. */
export interface KeepAlive {
  /** How long it may be quiet before it is pinged, in ms. */
  readonly pingMs: number;
  /** What is sent as a ping, with its newline. */
  readonly ping: string;
}

export class ServerConnection {
  readonly #conn: Wire;
  readonly #target: string;
  readonly #encoder = new TextEncoder();
  #buffer: Uint8Array | undefined;
  #user: ConnectionUser | undefined;
  #reading: Promise<void> | undefined;
  #outgoing: string[] = [];
  #outgoingChars = 0;
  #writing: Promise<void> | undefined;
  #pulse: Pulse | undefined;
  #isOver = false;
  /** Why the connection is about to end: an error that belonged to no message, or a failed write. */
  #lastWords: unknown;

  private constructor(conn: Wire, target: string) {
    this.#conn = conn;
    this.#target = target;
  }

  /** Connects; `start` begins to read. Throws `unreachable` when that does not succeed in time. */
  static async open(
    target: Target,
    { signal, ms = CONNECT_MS }: OpenOptions = {},
  ): Promise<ServerConnection> {
    const name = formatTarget(target);
    const aborter = new AbortController();
    const abort = () => aborter.abort();
    const timer = setTimeout(abort, ms);
    signal?.addEventListener("abort", abort);
    try {
      return new ServerConnection(await dial(target, aborter.signal), name);
    } catch (error) {
      const late = new Error(`no answer for ${formatDuration(ms)}`);
      throw cannotReach(name, aborter.signal.aborted ? late : error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** From now on `user` is told. Once only. */
  start(user: ConnectionUser, { pingMs, ping }: KeepAlive): void {
    this.#user = user;
    this.#pulse = new Pulse({
      pingMs,
      ping: () => this.write(ping),
      lost: (ms) => this.#giveUp(new Error(`nothing has come for ${formatDuration(ms)}`)),
    });
    this.#reading = this.#read();
  }

  /** Sends `line`, which ends with its newline. */
  write(line: string): void {
    if (this.#isOver) return;
    this.#outgoing.push(line);
    this.#outgoingChars += line.length;
    this.#writing ??= this.#write();
  }

  /** Await it before sending many: it resolves when there is room. `undefined` where there is. */
  get room(): Promise<void> | undefined {
    return this.#outgoingChars > MAX_OUTGOING_CHARS ? this.#writing : undefined;
  }

  /** Closes it. May be called twice. */
  async close(): Promise<void> {
    if (!this.#isOver) {
      this.#end();
      this.#conn.close();
    }
    await this.#reading;
    await this.#writing;
  }

  async #write(): Promise<void> {
    // All that the caller sends before it next waits leaves in one write.
    await Promise.resolve();
    try {
      while (this.#outgoing.length > 0 && !this.#isOver) {
        let bytes = this.#encode(this.#outgoing.join(""));
        this.#outgoing = [];
        this.#outgoingChars = 0;
        while (bytes.length > 0) bytes = bytes.subarray(await this.#conn.write(bytes));
      }
    } catch (error) {
      // Not the end yet: the reader, for whom this socket ends too, first takes what still came in.
      this.#lastWords ??= error;
    } finally {
      this.#writing = undefined;
    }
  }

  /** Valid until the next one: writes come one after the other. */
  #encode(text: string): Uint8Array {
    if (text.length * 3 > WRITE_BYTES) return this.#encoder.encode(text);
    this.#buffer ??= new Uint8Array(WRITE_BYTES);
    return this.#buffer.subarray(0, this.#encoder.encodeInto(text, this.#buffer).written);
  }

  async #read(): Promise<void> {
    const splitter = new LineSplitter(MAX_REPLY_BYTES);
    const buffer = new Uint8Array(READ_BYTES);
    try {
      for (;;) {
        const count = await this.#conn.read(buffer);
        if (count === null) throw new Error("the server closed it");
        this.#pulse?.heard();
        if (buffer[0] === TLS_ALERT) throw speaksTls(this.#target);
        for (const line of splitter.push(buffer.subarray(0, count))) this.#take(line);
        if (splitter.overflowed) throw tooLong(this.#target);
      }
    } catch (error) {
      this.#giveUp(error);
    }
  }

  #giveUp(error: unknown): void {
    if (this.#isOver) return;
    this.#end();
    this.#tell(error);
    this.#conn.close();
  }

  #tell(error: unknown): void {
    const last = this.#lastWords;
    if (error instanceof ClientError) {
      this.#user?.lost(error, true);
    } else if (last instanceof SdError && REFUSES_CONNECTION.has(last.code)) {
      // The server would not have this connection at all: that is its answer to everything on it.
      this.#user?.lost(last, true);
    } else {
      this.#user?.lost(connectionLost(this.#target, last ?? error), false);
    }
  }

  #take(line: Line): void {
    // Its user may have closed it in the middle of a chunk.
    if (this.#isOver) return;
    const reply = this.#parse(line);
    if (reply.ref !== undefined || !isObject(reply.error)) {
      this.#user?.take(reply);
      return;
    }
    const refusal = refusalOf(reply);
    this.#lastWords = refusal;
    if (REFUSES_LINE.has(refusal.code)) this.#user?.refusedOne(refusal);
  }

  #parse(line: Line): JsonObject {
    let reply: unknown;
    try {
      reply = JSON.parse(line ?? "");
    } catch (error) {
      throw this.#stranger(line, error);
    }
    if (!isObject(reply)) throw this.#stranger(line, undefined);
    return reply;
  }

  #stranger(line: Line, cause: unknown): ClientError {
    return new ClientError(
      "unreachable",
      `what answers at ${this.#target} is no sd server: it said ${quote(line)}`,
      { cause, hint: "name the server with: --server HOST:PORT" },
    );
  }

  #end(): void {
    this.#isOver = true;
    this.#pulse?.stop();
    this.#outgoing = [];
    this.#outgoingChars = 0;
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function tooLong(target: string): ClientError {
  const message = `a line from ${target} is longer than ${MAX_REPLY_BYTES} bytes`;
  return new ClientError("unreachable", message);
}

export interface PulseOptions {
  /** How long the connection may be quiet before it is pinged, in ms. */
  readonly pingMs: number;
  /** Sends a ping. */
  readonly ping: () => void;
  /** Nothing has come for `ms`. */
  readonly lost: (ms: number) => void;
}

/** Looks in each `pingMs`; a ping is late by one at most. */
const LOOKS = 3;
/** A server is given up after this many `pingMs` of silence: an answer would have come. */
const PATIENCE = 3;

export class Pulse {
  readonly #options: PulseOptions;
  readonly #awake: AwakeClock;
  readonly #timer: ReturnType<typeof setInterval>;
  /** How long nothing has come. */
  #silentMs = 0;
  /** How long ago the last ping was. */
  #pingedMs = Infinity;

  /** The first ping is sent at the first look, and tells the server that others will come. */
  constructor(options: PulseOptions) {
    this.#options = options;
    const lookMs = options.pingMs / LOOKS;
    this.#awake = new AwakeClock({ stepMs: 2 * lookMs });
    this.#timer = setInterval(() => this.#look(), lookMs);
  }

  /** Something has come. */
  heard(): void {
    this.#silentMs = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { pingMs, ping, lost } = this.#options;
    const awakeMs = this.#awake.passed();
    this.#silentMs += awakeMs;
    this.#pingedMs += awakeMs;
    if (this.#silentMs >= PATIENCE * pingMs) return lost(this.#silentMs);
    // Also while much comes in: the server counts what it hears.
    if (this.#pingedMs < pingMs) return;
    this.#pingedMs = 0;
    ping();
  }
}
