/**
 * One connection to one Redis. It is never used again once it has failed: a request without an answer after its deadline
 * destroys the socket, and so does silence on an idle connection. No command is ever sent a second time from here.
 */

import type { Socket } from "node:net";
import { Command, Redis } from "ioredis";
import { readTlsFile } from "../tls_file.ts";
import type { HostPort, RedisAddress } from "./url.ts";
import { type Script, SCRIPTS } from "./script.ts";

/** Longest wait for an answer, in ms. */
export const ANSWER_MS = 5000;
/** Longest wait for a connection with its first answers, in ms. */
export const DIAL_MS = 2000;
/** An idle connection is asked for a sign of life after this time, in ms. */
const IDLE_MS = 2000;
const LOOK_MS = 250;

/** The connection is gone, or is of no use any more; it does not say if the last commands were carried out. */
export class ConnectionLost extends Error {
  override readonly name: string = "ConnectionLost";
}

/** An error that Redis answered. */
export class RedisReplyError extends Error {
  override readonly name: string = "RedisReplyError";
  /** The first word of the answer, such as `OOM`. */
  get code(): string {
    return /^[A-Z_]+/.exec(this.message)?.[0] ?? "";
  }

  /** Whether it is `code`, or that of a command in a script, as Redis before 7 words it. */
  has(code: string): boolean {
    return this.code === code || this.message.includes(`-${code} `);
  }
}

export interface RedisDialOptions {
  /** Shown by `CLIENT LIST`. */
  readonly name: string;
  /** Whether it runs scripts, which are loaded then. */
  readonly scripts?: boolean;
  /** Longest wait for an answer, in ms. */
  readonly answerMs?: number;
}

/** Which Redis it is: a restart changes `runId`, a failover changes `replId`. */
export interface RedisIdentity {
  readonly runId: string;
  readonly replId: string;
  readonly isMaster: boolean;
}

/** Answers with these codes say that this server cannot serve us now; another one, or the same one later, can. */
const USELESS = [
  "READONLY",
  "LOADING",
  "MASTERDOWN",
  "CLUSTERDOWN",
  "TRYAGAIN",
  "ASK",
  "MOVED",
  "NOSCRIPT",
  "UNBLOCKED",
  "BUSY",
];

export class RedisConnection {
  /** Resolves with the reason once it is gone. */
  readonly closed: Promise<string>;
  readonly #redis: Redis;
  readonly #answerMs: number;
  readonly #close = Promise.withResolvers<string>();
  /** When each command without an answer was sent, the oldest first. */
  readonly #sentAt: number[] = [];
  #lastAt = performance.now();
  #timer: ReturnType<typeof setInterval> | undefined;
  #reason: string | undefined;

  private constructor(redis: Redis, answerMs: number) {
    this.#redis = redis;
    this.#answerMs = answerMs;
    this.closed = this.#close.promise;
    redis.on("error", (error: Error) => this.destroy(error.message));
    redis.on("end", () => this.destroy("the connection was closed"));
  }

  /** Rejects with `ConnectionLost`, or with the answer to its password. */
  static async dial(
    { host, port }: HostPort,
    address: RedisAddress,
    { name, scripts = false, answerMs = ANSWER_MS }: RedisDialOptions,
  ): Promise<RedisConnection> {
    const redis = new Redis({
      host,
      port,
      lazyConnect: true,
      enableReadyCheck: false,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      disableClientInfo: true,
      maxRetriesPerRequest: 0,
      connectTimeout: DIAL_MS,
      disconnectTimeout: 0,
      retryStrategy: () => null,
      ...(address.isTls ? { tls: await tlsOptions(host, address) } : {}),
    });
    const connection = new RedisConnection(redis, answerMs);
    const timer = setTimeout(() => connection.destroy("it does not answer"), DIAL_MS);
    try {
      await redis.connect();
      await Promise.all([connection.#greet(address, name), scripts && connection.#load()]);
      connection.#timer = setInterval(() => connection.#look(), LOOK_MS);
      return connection;
    } catch (error) {
      connection.destroy((error as Error).message);
      if (error instanceof RedisReplyError) throw error;
      throw new ConnectionLost(`${host}:${port}: ${await connection.closed}`);
    } finally {
      clearTimeout(timer);
    }
  }

  get isOpen(): boolean {
    return this.#reason === undefined;
  }

  /** All of it is sent at once. */
  async #greet({ username, password, db }: RedisAddress, name: string): Promise<void> {
    const user = username === undefined ? [] : [username];
    const login = password === undefined ? undefined : this.call(["AUTH", ...user, password]);
    const others = Promise.all([
      db === 0 ? undefined : this.call(["SELECT", db]),
      this.call(["CLIENT", "SETNAME", name]),
    ]);
    others.catch(() => {});
    // The answer to the password says more than the others.
    await login?.catch((error) => {
      // A Sentinel without a password, asked with that of its Redis.
      if (!/without any password/.test(error.message)) throw error;
    });
    await others;
  }

  async #load(): Promise<void> {
    const found = await this.call(["SCRIPT", "EXISTS", ...SCRIPTS.map(({ sha }) => sha)]);
    const missing = SCRIPTS.filter((_, i) => (found as number[])[i] !== 1);
    await Promise.all(missing.map(({ text }) => this.call(["SCRIPT", "LOAD", text])));
  }

  /** Sends one command. Rejects with `RedisReplyError`, or with `ConnectionLost`. */
  async call(command: readonly (string | number)[]): Promise<unknown> {
    if (this.#reason !== undefined) throw new ConnectionLost(this.#reason);
    const [name, ...args] = command;
    this.#sentAt.push(performance.now());
    try {
      const answer = await this.#redis.sendCommand(
        new Command(name as string, args, { replyEncoding: "utf8" }),
      );
      this.#answered();
      return answer;
    } catch (error) {
      const { message } = error as Error;
      if ((error as Error).name !== "ReplyError") {
        this.destroy(message);
        throw new ConnectionLost(this.#reason ?? message);
      }
      this.#answered();
      const reply = new RedisReplyError(message);
      if (!USELESS.some((code) => reply.has(code))) throw reply;
      this.destroy(message);
      throw new ConnectionLost(message);
    }
  }

  /** Runs a script whose keys all begin with `prefix`. */
  async run(
    script: Script,
    prefix: string,
    args: readonly (string | number)[],
  ): Promise<unknown> {
    return await this.call(["EVALSHA", script.sha, 1, `${prefix}lead`, prefix, ...args]);
  }

  async identity(): Promise<RedisIdentity> {
    const [server, replication] = await Promise.all([
      this.call(["INFO", "server"]),
      this.call(["INFO", "replication"]),
    ]) as [string, string];
    return {
      runId: infoOf(server, "run_id") ?? "",
      replId: infoOf(replication, "master_replid") ?? "",
      isMaster: infoOf(replication, "role") === "master",
    };
  }

  /** Ends it at once; all requests without an answer reject. Twice is once. */
  destroy(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    clearInterval(this.#timer);
    // A polite end would wait for a server that does not answer.
    const { stream } = this.#redis as unknown as { stream?: Socket };
    this.#redis.disconnect();
    // Nor would the timer of a connection that is refused end with it.
    stream?.setTimeout(0);
    stream?.destroy();
    this.#close.resolve(reason);
  }

  #answered(): void {
    this.#sentAt.shift();
    this.#lastAt = performance.now();
  }

  #look(): void {
    const now = performance.now();
    const oldest = this.#sentAt[0];
    if (oldest !== undefined) {
      if (now - oldest > this.#answerMs) {
        this.destroy(`Redis has not answered for ${Math.round(now - oldest)} ms`);
      }
    } else if (now - this.#lastAt > IDLE_MS) {
      this.call(["PING"]).catch(() => {});
    }
  }
}

/** The value of a line of `INFO`. */
export function infoOf(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1];
}

async function tlsOptions(host: string, { caFile }: RedisAddress) {
  const isName = !/^[0-9.]+$|:/.test(host);
  const ca = caFile === undefined ? {} : { ca: await caOf(caFile) };
  return { host, ...(isName ? { servername: host } : {}), ...ca };
}

/** A file that cannot be read now can be there at the next try. */
async function caOf(caFile: string): Promise<string> {
  try {
    return await readTlsFile(caFile, "cafile");
  } catch (error) {
    throw new ConnectionLost((error as Error).message, { cause: error });
  }
}
