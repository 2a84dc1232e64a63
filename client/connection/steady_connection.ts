/**
 * A connection that is made again when it is lost. It holds every message whose last reply has not come, and sends each
 * again on the next connection, in the order in which they were first sent.
 *
 *     ready ──lost──▶ away ──hello answered──▶ resuming ──all sent again──▶ ready
 *                      ▲ │                        │
 *                      │ └─▶ idle                 │      idle: no more tries; every message fails,
 *                      └───────────lost───────────┘      and the next one starts the tries again
 *     any ──closed, unauthorized, no sd server──▶ over
 */

import { delay } from "@std/async/delay";
import { ClientError } from "../../net/client_error.ts";
import { ServerRing } from "../../net/server_ring.ts";
import { formatTarget, type Target } from "../../net/target.ts";
import { SdError } from "../../protocol/errors.ts";
import { checkDepth, checkNumbers } from "../../protocol/json_guard.ts";
import { MAX_LINE_BYTES } from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { abortable, deferred } from "./promises.ts";
import { ServerConnection } from "./connection.ts";
import type { Exchange } from "./exchange.ts";
import { reconnectPauseMs } from "../../net/reconnect_pause.ts";
import { cannotReach, refusalOf, stayedAway } from "./connection_errors.ts";
import { LATE_MS } from "../../net/awake_clock.ts";

/** Longest wait for the reply to `hello`, in ms. */
export const HELLO_MS = 10_000;
/** A connection that lasted this long, in ms, was good: after it the pauses start from the shortest again. */
const GOOD_MS = 5_000;
/** The `ref` of this client's `hello`; messages count from 1. */
const HELLO_REF = 0;
/** The `ref` of pings, whose replies are dropped. */
const PING_REF = -1;
/** Most text that waits for a connection; then callers wait for `room`. */
const MAX_WAITING_CHARS = 4 * 1024 * 1024;

interface SteadyOptions {
  readonly target: Target;
  /** Ends the first try. */
  readonly signal?: AbortSignal | undefined;
  /** Time to try after a loss, in ms; 0: the first loss is the end. */
  readonly reconnectMs: number;
  /** Time between pings, in ms. */
  readonly pingMs: number;
  /** Called at each loss, before the first try. */
  readonly onLost?: ((error: Error) => void) | undefined;
  /** Called when every message is sent again. */
  readonly onBack?: (() => void) | undefined;
}

interface Entry {
  readonly exchange: Exchange;
  /** The text to send on the next connection; `undefined`: ask the exchange. */
  json: string | undefined;
  /** A reply has come, so the server has read it. */
  isRead: boolean;
}

export class SteadyConnection {
  readonly #options: SteadyOptions;
  readonly #servers: ServerRing<Target>;
  readonly #entries = new Map<number, Entry>();
  readonly #closing = new AbortController();
  #token: string | undefined;
  #lastRef = 0;
  #connection: ServerConnection | undefined;
  /** Every held message was sent on this connection, so new ones can be sent. */
  #isReady = false;
  #readyAt = 0;
  #lostBy: Error | undefined;
  #over: Error | undefined;
  #isReconnecting = false;
  #reconnecting: Promise<void> | undefined;
  /** Tries to connect since the last good connection. */
  #tries = 0;
  #waitingChars = 0;

  private constructor(options: SteadyOptions) {
    this.#options = options;
    this.#servers = new ServerRing(options.target);
    this.#token = options.target.token;
  }

  /** Connects for the first time: one try of each server. Throws `unreachable`, or `unauthorized`. */
  static async open(options: SteadyOptions): Promise<SteadyConnection> {
    const steady = new SteadyConnection(options);
    await abortable(steady.#openFirst(), options.signal, () => void steady.close());
    steady.#markReady();
    return steady;
  }

  /** The server's address, as `host:port`; of several, the one in use. */
  get target(): string {
    return this.#name;
  }

  /** The reason why there is no connection now; `undefined` while there is one. */
  get lostBy(): Error | undefined {
    return this.#over ?? (this.#isReady ? undefined : this.#lostBy);
  }

  /** The token to say hello with on later connections. */
  set token(token: string) {
    this.#token = token;
  }

  /** Sends `json`, the text of an object with at least one member, on one line. Returns its `ref`. */
  send(json: string, exchange: Exchange): number {
    const ref = ++this.#lastRef;
    const refused = this.#over ?? checkLine(json, ref);
    if (refused) {
      exchange.fail(refused);
      return ref;
    }
    const entry: Entry = { exchange, json, isRead: false };
    this.#entries.set(ref, entry);
    if (this.#isReady && this.#connection) write(this.#connection, { ref, entry, json });
    else {
      this.#waitingChars += json.length;
      this.#startReconnecting();
    }
    return ref;
  }

  /** Takes back a message that has not left yet. Returns false if it has left. */
  withdraw(ref: number): boolean {
    const hasLeft = this.#entries.get(ref)?.json === undefined;
    return !hasLeft && this.#entries.delete(ref);
  }

  /** Drops the replies to a message from now on. */
  forget(ref: number): void {
    this.#entries.delete(ref);
  }

  /** Await it before many messages: it resolves when there is room. `undefined` while there is. */
  get room(): Promise<void> | undefined {
    if (this.#isReady) return this.#connection?.room;
    return this.#waitingChars > MAX_WAITING_CHARS ? this.#reconnecting : undefined;
  }

  /** Closes it; every message that waits fails. A second call does nothing. */
  async close(): Promise<void> {
    const connection = this.#connection;
    this.#end(new ClientError("unreachable", `the connection to ${this.#name} was closed`));
    this.#closing.abort();
    await connection?.close();
    await this.#reconnecting;
  }

  get #name(): string {
    return formatTarget(this.#servers.current);
  }

  async #openFirst(): Promise<void> {
    const greet = this.#options.target.token !== undefined;
    const { size } = this.#servers;
    for (let tries = 1;; tries++) {
      try {
        // A server of a cluster that accepts and does not answer must not use up the time of the others.
        return await this.#open({ greet: greet || size > 1, ms: HELLO_MS / size });
      } catch (error) {
        const isOver = !(error instanceof ClientError) || this.#closing.signal.aborted;
        if (isOver || tries === size) throw error;
        this.#servers.next();
      }
    }
  }

  /** Opens a new connection; with `greet`, it says hello and waits for the reply. */
  async #open({ greet, ms }: { greet: boolean; ms: number }): Promise<void> {
    const { signal } = this.#closing;
    const connection = await ServerConnection.open(this.#servers.current, { signal, ms });
    const greeted = deferred<void>();
    // The loss can come when this function has ended already.
    greeted.promise.catch(() => undefined);
    let isGreeted = false;
    const enter = () => {
      isGreeted = true;
      this.#connection = connection;
      greeted.resolve();
    };
    if (!greet) enter();
    connection.start({
      take: (reply) => {
        if (this.#connection === connection) this.#take(reply);
        else if (reply.ref !== HELLO_REF || this.#over) return;
        else if (reply.error === undefined) enter();
        else greeted.reject(refusalOf(reply));
      },
      refusedOne: (error) => {
        if (this.#connection === connection) this.#refuseOne(error);
      },
      lost: (error, isFinal) => {
        if (isGreeted) this.#lose(connection, { error, isFinal });
        else greeted.reject(error);
      },
    }, { pingMs: this.#options.pingMs, ping: this.#ping() });
    if (greet) connection.write(`${withRef(helloText(this.#token), HELLO_REF)}\n`);
    const late = cannotReach(this.#name, new Error("it does not answer"));
    const timer = setTimeout(() => greeted.reject(late), ms);
    const giveUp = () => greeted.reject(signal.reason);
    signal.addEventListener("abort", giveUp);
    try {
      signal.throwIfAborted();
      await greeted.promise;
    } catch (error) {
      await connection.close();
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", giveUp);
    }
  }

  /** A client that connects again asks the server to end its connection if pings stop; others can be paused for hours. */
  #ping(): string {
    const { pingMs, reconnectMs } = this.#options;
    const every = reconnectMs > 0 ? { every: Math.round(pingMs) } : {};
    return `${JSON.stringify({ cmd: "ping", ...every, ref: PING_REF })}\n`;
  }

  #take(reply: JsonObject): void {
    const ref = reply.ref as number;
    const entry = this.#entries.get(ref);
    // A server that is stopping has not taken the message; it is sent again on the next connection.
    if (!entry || (this.#options.reconnectMs > 0 && isFarewell(reply))) return;
    this.#tries = 0;
    entry.isRead = true;
    if (entry.exchange.take(reply)) this.#entries.delete(ref);
  }

  /** The server refused one message without a reply, and did not say which: if there are several, all of them fail. */
  #refuseOne(error: SdError): void {
    const unread = [...this.#entries].filter(([, entry]) => !entry.isRead);
    const [one] = unread;
    if (!one || unread.length > 1) {
      const connection = this.#connection;
      this.#end(error);
      void connection?.close();
      return;
    }
    const [ref, entry] = one;
    this.#entries.delete(ref);
    entry.exchange.fail(error);
  }

  #lose(
    connection: ServerConnection,
    { error, isFinal }: { error: Error; isFinal: boolean },
  ): void {
    if (this.#connection !== connection || this.#over) return;
    this.#connection = undefined;
    if (isFinal || this.#options.reconnectMs === 0) return this.#end(error);
    if (this.#isReady && performance.now() - this.#readyAt > GOOD_MS) this.#tries = 0;
    this.#isReady = false;
    this.#lostBy = error;
    this.#options.onLost?.(error);
    this.#startReconnecting();
  }

  #startReconnecting(): void {
    if (this.#isReconnecting || this.#over) return;
    this.#isReconnecting = true;
    this.#reconnecting = this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    let awaySince = performance.now();
    while (!this.#isReady && !this.#over) {
      const leftMs = awaySince + this.#options.reconnectMs - performance.now();
      if (leftMs <= 0) {
        this.#giveUp();
        break;
      }
      try {
        const round = Math.floor(this.#tries++ / this.#servers.size);
        const pauseMs = Math.min(reconnectPauseMs(round), leftMs);
        const pausedAt = performance.now();
        await delay(pauseMs, { signal: this.#closing.signal });
        // While the process was stopped it could not try, so that time does not count.
        const lateMs = performance.now() - pausedAt - pauseMs;
        if (lateMs > LATE_MS) awaySince += lateMs;
        const ms = HELLO_MS / this.#servers.size;
        await this.#open({ greet: true, ms: Math.min(ms, Math.max(leftMs - pauseMs, 1)) });
      } catch (error) {
        this.#lostBy = error as Error;
        this.#servers.next();
        if (error instanceof SdError && error.code === "unauthorized") this.#end(error);
        continue;
      }
      await this.#resume();
      awaySince = performance.now();
    }
    // Without an `await` after the loop's check, so that no loss comes between the two.
    this.#isReconnecting = false;
  }

  /** Sends every held message again; messages that are added meanwhile follow in the same loop. */
  async #resume(): Promise<void> {
    const connection = this.#connection;
    for (const [ref, entry] of this.#entries) {
      if (!connection || this.#connection !== connection) return;
      const json = entry.json ?? entry.exchange.again?.();
      if (json === undefined) {
        this.#entries.delete(ref);
        entry.exchange.fail(this.#lostBy ?? stayedAway(this.#name, { cause: undefined }));
        continue;
      }
      write(connection, { ref, entry, json });
      while (connection.room) await connection.room;
    }
    if (!connection || this.#connection !== connection) return;
    this.#markReady();
    this.#options.onBack?.();
  }

  #markReady(): void {
    // The first connection can be lost before its user has it.
    if (!this.#connection) return;
    this.#isReady = true;
    this.#readyAt = performance.now();
    this.#waitingChars = 0;
  }

  #giveUp(): void {
    const { reconnectMs: ms } = this.#options;
    this.#tries = 0;
    this.#failAll(stayedAway(this.#name, { ms, cause: this.#lostBy }));
  }

  #end(error: Error): void {
    if (this.#over) return;
    this.#over = error;
    this.#connection = undefined;
    this.#isReady = false;
    this.#failAll(error);
  }

  #failAll(error: Error): void {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    this.#waitingChars = 0;
    for (const { exchange } of entries) exchange.fail(error);
  }
}

function write(
  connection: ServerConnection,
  { ref, entry, json }: { ref: number; entry: Entry; json: string },
): void {
  connection.write(`${withRef(json, ref)}\n`);
  // An exchange with `again` keeps its own text from here on.
  entry.json = entry.exchange.again ? undefined : json;
}

/** Adds our `ref`. The last `ref` of an object counts, so it replaces one that the text has. */
function withRef(json: string, ref: number): string {
  return `${json.slice(0, -1)},"ref":${ref}}`;
}

function helloText(token: string | undefined): string {
  return JSON.stringify(token === undefined ? { cmd: "hello" } : { cmd: "hello", token });
}

/** The server refused because it is stopping. */
function isFarewell({ task_id, error }: JsonObject): boolean {
  return task_id === undefined && (error as JsonObject | undefined)?.code === "shutting_down";
}

/** The refusal of `json` that the server would send without its `ref`, or by closing the connection. */
function checkLine(json: string, ref: number): SdError | undefined {
  try {
    checkDepth(json);
    checkNumbers(json);
  } catch (error) {
    if (error instanceof SdError) return error;
    throw error;
  }
  if (json.length * 3 + 32 <= MAX_LINE_BYTES) return undefined;
  const bytes = new TextEncoder().encode(withRef(json, ref)).length;
  if (bytes <= MAX_LINE_BYTES) return undefined;
  const message = `the message takes ${bytes} bytes, a line holds at most ${MAX_LINE_BYTES}`;
  return new SdError("line_too_long", message);
}
