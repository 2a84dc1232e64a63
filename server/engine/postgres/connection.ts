/**
 * A session with the database: one connection at a time, made again when it is lost. Queries are sent at once, one behind
 * the other, and answered in that order. The session never sends a query twice: a query whose connection is lost rejects
 * with `AnswerLost`, and its owner decides what became of it.
 *
 * Nothing waits for a silent connection: the oldest query has its deadline, and an idle session asks the server for a sign
 * of life. When either is late, the socket is destroyed. So a dead peer is noticed within 6 s.
 */

import { delay } from "@std/async/delay";
import { StoreError, type StoreFault } from "../journaled/task_store.ts";
import { type Dialed, dialHost, type DialOptions, type Identity } from "./dial.ts";
import { AnswerLost, forgetsNames, needsReconnect, pgFaultOf } from "./faults.ts";
import { hostText, type PostgresTarget } from "./url.ts";

/** Longest time for the answer to a query, in ms, counted from its sending or from the answer before it. */
export const QUERY_DEADLINE_MS = 5000;
/** Time without any answer after which the session asks for a sign of life, in ms. */
const IDLE_MS = 1500;
/** Longest time for that answer, in ms. */
const HEARTBEAT_DEADLINE_MS = 3500;
/** Time between two looks at the deadlines, in ms. */
const LOOK_MS = 250;
/** Shortest and longest pause between two rounds through the hosts, in ms. */
const MIN_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1000;

/** A query. Values are sent as text. */
export interface Query {
  /** Names its statement, which is then planned once a connection. The same name always means the same text. */
  readonly name?: string;
  readonly text: string;
  readonly values?: readonly (string | number | boolean | null)[];
  /** Rows as arrays of cells. */
  readonly array?: boolean;
  /** Default: `QUERY_DEADLINE_MS`. */
  readonly deadlineMs?: number;
}

/** A row by the names of its columns. Numbers and booleans are what they are, anything else is text. */
// deno-lint-ignore no-explicit-any
export type Row = Record<string, any>;

export interface PgSessionOptions
  extends Pick<DialOptions, "target" | "password" | "applicationName" | "settings"> {
  /**
   * Whether the session ends for good if it finds another database, or another history of the same one. The session of a
   * leader has this: what it committed may not be there.
   */
  readonly isPinned?: boolean;
  /** Called with each failed attempt to connect, and with the reason of each loss. */
  readonly onTrouble?: (error: StoreError) => void;
}

interface Asked {
  readonly deadlineMs: number;
  readonly reject: (error: Error) => void;
}

export class PgSession {
  readonly #options: PgSessionOptions;
  #dialed: Dialed | undefined;
  /** Sent and not yet answered, in their order. */
  readonly #asked: Asked[] = [];
  /** When the last answer came, or the oldest query was sent, in ms of `performance.now`. */
  #lastSign = 0;
  #lastLook = 0;
  #look: ReturnType<typeof setInterval> | undefined;
  #host = 0;
  #generation = 0;
  #ready = Promise.withResolvers<number>();
  #identity: Identity | undefined;
  #trouble: StoreError | undefined;
  #pauseMs = MIN_PAUSE_MS;
  #takenAt = 0;
  /** Behind a pooler, the next statement can meet a server that has not heard the name. */
  #keepsNames = true;
  readonly #ending = new AbortController();
  /** Why the session has ended for good. */
  #end: StoreError | undefined;
  readonly #lost = Promise.withResolvers<string>();
  #connecting: Promise<void>;

  /** Begins to connect. */
  constructor(options: PgSessionOptions) {
    this.#options = options;
    this.#ready.promise.catch(() => {});
    this.#connecting = this.#connect();
  }

  /** How many connections there have been: an answer that is lost belongs to an earlier one. */
  get generation(): number {
    return this.#generation;
  }

  /** The connection, while there is one. */
  get current(): Omit<Dialed, "client" | "socket"> | undefined {
    return this.#dialed;
  }

  /** The last thing that went wrong. */
  get trouble(): StoreError | undefined {
    return this.#trouble;
  }

  /** For a pinned session: resolves with the reason once the database is not the one that it was. */
  get lost(): Promise<string> {
    return this.#lost.promise;
  }

  /** Resolves with the generation once there is a connection. Rejects once the session has ended. */
  ready(): Promise<number> {
    return this.#ready.promise;
  }

  /** Resolves once there is a connection, or after `ms`. Rejects once the session has ended. */
  async readyWithin(ms: number): Promise<void> {
    if (this.#dialed) return;
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, ms);
    await Promise.race([this.ready(), late.promise]).finally(() => clearTimeout(timer));
  }

  /**
   * Sends `query` now; resolves with its rows. Rejects with an `AnswerLost` if there is no connection, or if it is lost
   * before the answer; with another `StoreError` for an error of the statement, which changed nothing then. The error of
   * the server is its `cause`.
   */
  query<R = Row>(query: Query): Promise<R[]> {
    const { text, name, values, array, deadlineMs = QUERY_DEADLINE_MS } = query;
    if (this.#end) return Promise.reject(this.#end);
    const dialed = this.#dialed;
    if (!dialed) {
      const reason = this.#trouble?.message ?? "the connection is being made";
      return Promise.reject(new AnswerLost(reason, false));
    }
    const { promise, resolve, reject } = Promise.withResolvers<R[]>();
    const asked: Asked = { deadlineMs, reject };
    if (this.#asked.length === 0) this.#lastSign = performance.now();
    this.#asked.push(asked);
    dialed.client.query(
      {
        text,
        ...(values === undefined ? {} : { values: values as unknown[] }),
        ...(name === undefined || !this.#keepsNames ? {} : { name }),
        ...(array ? { rowMode: "array" } : {}),
      },
      (error: Error | null, result: { rows: unknown[] }) => {
        if (error) this.#failed(dialed, asked, error);
        else if (this.#answered(asked)) resolve(result.rows as R[]);
      },
    );
    return promise;
  }

  #answered(asked: Asked): boolean {
    const at = this.#asked.indexOf(asked);
    if (at < 0) return false;
    this.#asked.splice(at, 1);
    this.#lastSign = performance.now();
    return true;
  }

  #failed(dialed: Dialed, asked: Asked, error: Error): void {
    if (forgetsNames(error)) this.#keepsNames = false;
    const fault = pgFaultOf(error);
    fault.cause = error;
    if (isEnding(error, fault)) this.#drop(dialed, fault);
    else if (this.#answered(asked)) asked.reject(fault);
  }

  /** Ends the connection, and makes another one. Queries without an answer reject with an `AnswerLost`. */
  reconnect(reason: string): void {
    if (this.#dialed) this.#drop(this.#dialed, new StoreError("io", reason));
  }

  /** Ends the session for good. Queries without an answer reject with `fault`. Twice is once. */
  async close(fault: StoreFault = "bug", reason = "the session is closed"): Promise<void> {
    this.#finish(new StoreError(fault, reason));
    await this.#connecting;
  }

  #finish(error: StoreError): void {
    if (this.#end) return;
    this.#end = error;
    this.#ending.abort();
    if (this.#dialed) this.#hangUp(this.#dialed, error);
    this.#ready.reject(error);
  }

  async #connect(): Promise<void> {
    const { hosts } = this.#options.target;
    const { signal } = this.#ending;
    for (let tries = 1; !this.#end; tries++) {
      const host = hosts[this.#host]!;
      try {
        this.#take(await dialHost({ ...this.#options, host, signal }));
        return;
      } catch (error) {
        const fault = pgFaultOf(error);
        fault.cause ??= error;
        this.#report(fault, hostText(host));
        this.#host = (this.#host + 1) % hosts.length;
        if (tries % hosts.length === 0) await this.#pause();
      }
    }
  }

  /** Goes on with a new connection. */
  #take(dialed: Dialed): void {
    if (this.#end) {
      dialed.socket.destroy();
      return;
    }
    const { identity } = dialed;
    const difference = this.#options.isPinned && this.#identity
      ? differenceOf(this.#identity, identity)
      : undefined;
    if (difference !== undefined) {
      dialed.socket.destroy();
      this.#finish(new StoreError("fenced", difference));
      this.#lost.resolve(difference);
      return;
    }
    this.#identity = identity;
    this.#dialed = dialed;
    if (dialed.isPooled) this.#keepsNames = false;
    this.#takenAt = performance.now();
    this.#generation++;
    dialed.client.on("error", (error) => this.#drop(dialed, pgFaultOf(error)));
    dialed.client.on("end", () => this.#drop(dialed, new StoreError("io", "the connection ended")));
    this.#lastSign = this.#lastLook = performance.now();
    this.#look = setInterval(() => this.#lookAtDeadlines(dialed), LOOK_MS);
    this.#ready.resolve(this.#generation);
  }

  #lookAtDeadlines(dialed: Dialed): void {
    const now = performance.now();
    // A process that was stopped has not read what has come meanwhile: it is no sign of silence.
    const late = now - this.#lastLook - LOOK_MS;
    if (late > LOOK_MS) this.#lastSign += late;
    this.#lastLook = now;
    const silentMs = now - this.#lastSign;
    const oldest = this.#asked[0];
    if (oldest && silentMs > oldest.deadlineMs) {
      const error = new StoreError("io", `no answer for ${Math.round(silentMs)} ms`);
      this.#drop(dialed, error);
    } else if (!oldest && silentMs > IDLE_MS) {
      // Its failure is the loss of the connection, which is seen to elsewhere.
      this.query({ text: "select", deadlineMs: HEARTBEAT_DEADLINE_MS }).catch(() => {});
    }
  }

  /** The connection is lost, or cannot be used any more: makes another one. */
  #drop(dialed: Dialed, error: StoreError): void {
    if (this.#dialed !== dialed) return;
    this.#hangUp(dialed, new AnswerLost(error.message, true));
    this.#ready = Promise.withResolvers();
    this.#ready.promise.catch(() => {});
    this.#report(error, "the connection was lost");
    // A connection that ends at once each time is no reason to try without a pause.
    const isShort = performance.now() - this.#takenAt < MAX_PAUSE_MS;
    if (!isShort) this.#pauseMs = MIN_PAUSE_MS;
    this.#connecting = isShort ? this.#pause().then(() => this.#connect()) : this.#connect();
  }

  #hangUp(dialed: Dialed, error: StoreError): void {
    this.#dialed = undefined;
    clearInterval(this.#look);
    dialed.socket.destroy();
    for (const { reject } of this.#asked.splice(0)) reject(error);
  }

  #report(error: StoreError, where: string): void {
    this.#trouble = new StoreError(error.fault, `${where}: ${error.message}`);
    this.#trouble.cause = error.cause;
    if (!this.#end) this.#options.onTrouble?.(this.#trouble);
  }

  async #pause(): Promise<void> {
    const ms = this.#pauseMs;
    this.#pauseMs = Math.min(ms * 2, MAX_PAUSE_MS);
    await delay(ms, { signal: this.#ending.signal }).catch(() => {});
  }
}

/** Whether the connection is of no use after `error`: what its statement did is unknown. */
function isEnding(error: Error, { fault }: StoreError): boolean {
  const isOfServer = "severity" in error;
  return needsReconnect(error) || (isOfServer ? error.severity === "FATAL" : fault !== "bug");
}

/** How the database differs from the one before. Values that a role cannot see are not compared. */
function differenceOf(before: Identity, now: Identity): string | undefined {
  const differs = (a: string, b: string) => a !== "" && b !== "" && a !== b;
  if (differs(before.system, now.system)) {
    return `this is another database: its system identifier is ${now.system}, it was ${before.system}`;
  }
  if (differs(before.timeline, now.timeline)) {
    return `a replica has taken over: the timeline is ${now.timeline}, it was ${before.timeline}`;
  }
  return undefined;
}

/** For a session that names its server: `sd store web-1`, at most 63 bytes. */
export function sessionName(target: PostgresTarget, role: string): string {
  return `${target.applicationName} ${role}`.slice(0, 63);
}
