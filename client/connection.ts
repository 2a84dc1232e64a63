/**
 * One TCP connection to a server: NDJSON lines out, replies in, matched by `ref`. What gathers while
 * a write is under way goes out as the next one. When the connection is lost, everyone who still
 * waits on it is told so: no promise of a client hangs on a dead socket.
 */

import { ClientError } from "../cli/client_error.ts";
import { dial, type Wire } from "../cli/dial.ts";
import { formatTarget, type Target } from "../cli/target.ts";
import { formatDuration } from "../protocol/duration.ts";
import { quote, SdError } from "../protocol/errors.ts";
import { MAX_LINE_BYTES } from "../protocol/limits.ts";
import type { JsonObject } from "../protocol/message.ts";
import { type Line, LineSplitter } from "../protocol/ndjson.ts";
import { refusalOf } from "./refusal.ts";
import { cannotReach, connectionLost, speaksTls } from "./unreachable.ts";

const CONNECT_MS = 10_000;
const READ_BYTES = 64 * 1024;
/** A server's line is short, but an answer to `list` holds many tasks, each with its result. */
const MAX_REPLY_BYTES = 64 * MAX_LINE_BYTES;
/** Text that waits to be written; who has more to send waits until there is room. */
const MAX_OUTGOING_CHARS = 4 * 1024 * 1024;

/** The first byte of what a TLS server says to who speaks plainly; no line can hold it. */
const TLS_ALERT = 0x15;
/** Codes with which a server refuses a connection, where they belong to no message. */
const REFUSES_CONNECTION: ReadonlySet<string> = new Set(["unauthorized", "queue_full"]);

/** One message that was sent, from the side of whoever waits for its replies. */
export interface Exchange {
  /** Takes a reply; true when it was the last one. */
  take(reply: JsonObject): boolean;
  fail(error: Error): void;
}

export class Connection {
  readonly #conn: Wire;
  readonly #target: string;
  readonly #encoder = new TextEncoder();
  readonly #exchanges = new Map<number, Exchange>();
  readonly #reading: Promise<void>;
  #lastRef = 0;
  #outgoing: string[] = [];
  #outgoingChars = 0;
  #writing: Promise<void> | undefined;
  #lost: Error | undefined;
  /** Why the connection is about to end: an error that belonged to no message, or a failed write. */
  #lastWords: unknown;

  private constructor(conn: Wire, target: string) {
    this.#conn = conn;
    this.#target = target;
    this.#reading = this.#read();
  }

  /** Connects. Throws `unreachable` when that does not succeed within ten seconds. */
  static async open(target: Target): Promise<Connection> {
    const name = formatTarget(target);
    const aborter = new AbortController();
    const timer = setTimeout(() => aborter.abort(), CONNECT_MS);
    try {
      return new Connection(await dial(target, aborter.signal), name);
    } catch (error) {
      const late = new Error(`no answer for ${formatDuration(CONNECT_MS)}`);
      throw cannotReach(name, aborter.signal.aborted ? late : error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Where it leads, as `host:port`. */
  get target(): string {
    return this.#target;
  }

  /** Sends `json`, the text of an object with at least one member, on one line. */
  send(json: string, exchange: Exchange): void {
    if (this.#lost) return exchange.fail(this.#lost);
    const ref = ++this.#lastRef;
    // The last `ref` of an object counts: one that the text brought along gives way to ours.
    const line = `${json.slice(0, -1)},"ref":${ref}}\n`;
    if (line.length * 3 > MAX_LINE_BYTES) {
      const bytes = this.#encoder.encode(line).length - 1;
      // The server would close the connection, and with it end what else goes on there.
      if (bytes > MAX_LINE_BYTES) return exchange.fail(tooLong(bytes));
    }
    this.#exchanges.set(ref, exchange);
    this.#outgoing.push(line);
    this.#outgoingChars += line.length;
    this.#writing ??= this.#write();
  }

  /** Await it before sending many: it resolves when there is room. `undefined` where there is. */
  get room(): Promise<void> | undefined {
    return this.#outgoingChars > MAX_OUTGOING_CHARS ? this.#writing : undefined;
  }

  /** Closes it; everyone who still waits is told. May be called twice. */
  async close(): Promise<void> {
    if (!this.#lost) {
      this.#lose(new ClientError("unreachable", `the connection to ${this.#target} was closed`));
      this.#conn.close();
    }
    await this.#reading;
    await this.#writing;
  }

  async #write(): Promise<void> {
    // All that the caller sends before it next waits leaves in one write.
    await Promise.resolve();
    try {
      while (this.#outgoing.length > 0 && !this.#lost) {
        let bytes = this.#encoder.encode(this.#outgoing.join(""));
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

  async #read(): Promise<void> {
    const splitter = new LineSplitter(MAX_REPLY_BYTES);
    const buffer = new Uint8Array(READ_BYTES);
    try {
      for (;;) {
        const count = await this.#conn.read(buffer);
        if (count === null) throw new Error("the server closed it");
        if (buffer[0] === TLS_ALERT) throw speaksTls(this.#target);
        for (const line of splitter.push(buffer.subarray(0, count))) this.#take(line);
        if (splitter.overflowed) throw new Error(`a line is longer than ${MAX_REPLY_BYTES} bytes`);
      }
    } catch (error) {
      if (this.#lost) return;
      this.#lose(this.#reasonOf(error));
      this.#conn.close();
    }
  }

  #reasonOf(error: unknown): Error {
    if (error instanceof ClientError) return error;
    const last = this.#lastWords;
    // The server would not have this connection at all: that is its answer to everything on it.
    if (last instanceof SdError && REFUSES_CONNECTION.has(last.code)) return last;
    return connectionLost(this.#target, last ?? error);
  }

  #take(line: Line): void {
    const reply = this.#parse(line);
    const ref = reply.ref as number;
    const exchange = this.#exchanges.get(ref);
    if (exchange) {
      if (exchange.take(reply)) this.#exchanges.delete(ref);
    } else if (reply.ref === undefined && isObject(reply.error)) {
      this.#lastWords = refusalOf(reply);
    }
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

  #lose(error: Error): void {
    this.#lost = error;
    const exchanges = [...this.#exchanges.values()];
    this.#exchanges.clear();
    this.#outgoing = [];
    this.#outgoingChars = 0;
    for (const exchange of exchanges) exchange.fail(error);
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function tooLong(bytes: number): SdError {
  return new SdError(
    "line_too_long",
    `the message takes ${bytes} bytes, a line holds at most ${MAX_LINE_BYTES}`,
  );
}
