/**
 * One TCP connection to a server: NDJSON lines out, replies in. Lines that gather during a write leave together in the
 * next one. A lost connection is not made again here: it reports the reason to its user, once.
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
import { cannotReach, connectionLost, refusalOf, speaksTls } from "./connection_errors.ts";

const CONNECT_MS = 10_000;
const READ_BYTES = 64 * 1024;
/** Longest reply: most are short, but a reply to `list` holds many tasks, each with its result. */
const MAX_REPLY_BYTES = 64 * MAX_LINE_BYTES;
/** Size of the buffer that writes are encoded into; a new buffer for each write would be garbage at once. */
const WRITE_BYTES = 256 * 1024;
/** Most text that waits to be written; then callers wait for `room`. */
const MAX_OUTGOING_CHARS = 4 * 1024 * 1024;

/** First byte of a TLS server's reply to a client without TLS; no line can contain it. */
const TLS_ALERT = 0x15;
/** Codes without a `ref` with which a server refuses the whole connection. */
const REFUSES_CONNECTION: ReadonlySet<string> = new Set(["unauthorized", "queue_full"]);

/** Codes with which a server refuses a line that it cannot read, possibly without the line's `ref`. */
const REFUSES_LINE: ReadonlySet<string> = new Set(["bad_json", "internal"]);

/** The user of a connection, which gets its replies and its end. */
interface ConnectionUser {
  take(reply: JsonObject): void;
  /** A message was refused, and the server does not say which; the connection goes on. */
  refusedOne(error: SdError): void;
  /** Not called if this side closed it. `isFinal`: another connection would end the same way. */
  lost(error: Error, isFinal: boolean): void;
}

interface OpenOptions {
  /** Ends the try. */
  signal?: AbortSignal;
  /** Longest time that it takes, in ms; default 10,000. */
  ms?: number;
}

/** How a quiet connection is checked. */
interface KeepAlive {
  /** Time without a ping, in ms. */
  readonly pingMs: number;
  /** The line of a ping, with its newline. */
  readonly ping: string;
}

/** A connection that is open. */
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
  /** The reason why the connection ends soon: an error without a message, or a failed write. */
  #lastWords: unknown;

  private constructor(conn: Wire, target: string) {
    this.#conn = conn;
    this.#target = target;
  }

  /** Connects; `start` begins to read. Throws `unreachable` if that does not succeed in time. */
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

  /** Begins to read: replies and the end go to `user`. Call it once. */
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

  /** Await it before many lines: it resolves once the waiting text is written. `undefined` if little waits. */
  get room(): Promise<void> | undefined {
    return this.#outgoingChars > MAX_OUTGOING_CHARS ? this.#writing : undefined;
  }

  /** Closes it. A second call does nothing. */
  async close(): Promise<void> {
    if (!this.#isOver) {
      this.#end();
      this.#conn.close();
    }
    await this.#reading;
    await this.#writing;
  }

  async #write(): Promise<void> {
    // Everything that the caller sends before its next `await` leaves in one write.
    await Promise.resolve();
    try {
      while (this.#outgoing.length > 0 && !this.#isOver) {
        let bytes = this.#encode(this.#outgoing.join(""));
        this.#outgoing = [];
        this.#outgoingChars = 0;
        while (bytes.length > 0) bytes = bytes.subarray(await this.#conn.write(bytes));
      }
    } catch (error) {
      // Not the end yet: the reader first takes the replies that came before, then finds the socket closed.
      this.#lastWords ??= error;
    } finally {
      this.#writing = undefined;
    }
  }

  /** The bytes are valid until the next call: there is one write at a time. */
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
    this.#report(error);
    this.#conn.close();
  }

  #report(error: unknown): void {
    const last = this.#lastWords;
    if (error instanceof ClientError) {
      this.#user?.lost(error, true);
    } else if (last instanceof SdError && REFUSES_CONNECTION.has(last.code)) {
      // The server refused the connection, and so every message on it.
      this.#user?.lost(last, true);
    } else {
      this.#user?.lost(connectionLost(this.#target, last ?? error), false);
    }
  }

  #take(line: Line): void {
    // Its user can close it in the middle of a chunk.
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
      `there is no sd server at ${this.#target}: the reply was ${quote(line)}`,
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

interface PulseOptions {
  /** Time between pings, in ms. */
  readonly pingMs: number;
  /** Sends a ping. */
  readonly ping: () => void;
  /** Called when nothing has come for `ms`. */
  readonly lost: (ms: number) => void;
}

/** Checks in each `pingMs`; a ping is late by one check at most. */
const LOOKS = 3;
/** Number of `pingMs` without a byte after which a connection is lost. */
const PATIENCE = 3;

/**
 * Detects a server that is gone without a word: behind a proxy or a NAT that drops everything, a dead connection looks
 * like one on which a task runs. Only time in which this process ran counts, so that a process that was stopped does
 * not blame the server.
 */
class Pulse {
  readonly #options: PulseOptions;
  readonly #awake: AwakeClock;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Time since something came. */
  #silentMs = 0;
  /** Time since the last ping. */
  #pingedMs = Infinity;

  /** The first ping leaves at the first check, and announces the others to the server. */
  constructor(options: PulseOptions) {
    this.#options = options;
    const lookMs = options.pingMs / LOOKS;
    this.#awake = new AwakeClock({ stepMs: 2 * lookMs });
    this.#timer = setInterval(() => this.#look(), lookMs);
  }

  /** Call it whenever something has come. */
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
    // Also while replies come: the server judges this client by what the client sends.
    if (this.#pingedMs < pingMs) return;
    this.#pingedMs = 0;
    ping();
  }
}
