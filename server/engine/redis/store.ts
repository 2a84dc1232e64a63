/**
 * Keeps tasks in Redis, under one lead. Requests are sent in the order in which they were made, over one connection; Redis
 * answers them in that order. Two writes are never under way together.
 *
 * After a lost connection nothing is sent again before the store knows where it stands. The token says if this server
 * still leads. The number of the last commit says if the write without an answer was made. It also says if a Redis that was
 * restarted or replaced has every acknowledged commit. A script that arrives late, from the buffers of the old
 * connection, finds its number used and does nothing.
 */

import { setImmediate } from "node:timers";
import { delay } from "@std/async/delay";
import { StoreError, type TaskCalls, type TaskStore, type Write } from "../journaled/task_store.ts";
import { ConnectionLost, RedisConnection } from "./connection.ts";
import { storeErrorOf } from "./faults.ts";
import type { Master } from "./master.ts";
import { Commits, type CommitsOptions, type PendingWrite } from "./commits.ts";
import { type Read, readOf } from "./reads.ts";
import { FATE, type Script } from "./script.ts";

/** Longest time that a request waits for a connection, in ms. */
const WAIT_MS = 10_000;
/** Longest time that `close` waits for a connection, in ms. */
const CLOSE_MS = 2000;
/** Time until the connection is tried again, in ms: doubled each time, up to the second. */
const RETRY_MS = 50;
const MAX_RETRY_MS = 1000;
export interface RedisStoreOptions extends CommitsOptions {
  readonly master: Master;
  readonly dial: () => Promise<Master>;
}

type Text = string | null;

interface Request {
  readonly write: PendingWrite | undefined;
  readonly read: Read | undefined;
  readonly since: number;
  readonly done: PromiseWithResolvers<unknown>;
  /** Gives the answer, once all requests before it have theirs. */
  settle?: (() => void) | undefined;
}

export class RedisStore implements TaskStore {
  readonly lost: Promise<string>;
  readonly #options: RedisStoreOptions;
  readonly #lose = Promise.withResolvers<string>();
  readonly #waiting: Request[] = [];
  readonly #sent: Request[] = [];
  /** The write under way. */
  #write: Request | undefined;
  /** It is not sent yet, so nothing behind it is. */
  #isPreparing = false;
  /** Answers that wait for a turn of their own. */
  readonly #deliveries: (() => void)[] = [];
  #isDelivering = false;
  #connection: RedisConnection | undefined;
  #master: Master;
  #isConnecting = false;
  #over: StoreError | undefined;
  #closing: Promise<void> | undefined;
  #drained = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  readonly #commits: Commits;

  constructor(options: RedisStoreOptions) {
    this.#options = options;
    this.lost = this.#lose.promise;
    this.#commits = new Commits(options);
    this.#master = options.master;
    this.#use(options.master);
  }

  /** Records of final tasks. */
  get final(): number {
    return this.#commits.final;
  }

  call<Name extends keyof TaskCalls>(
    name: Name,
    ask: TaskCalls[Name]["ask"],
  ): Promise<TaskCalls[Name]["answer"]> {
    const write = name === "write" ? ask as Write : undefined;
    const read = name === "write"
      ? undefined
      : readOf(name as never, ask as never, this.#options.report);
    return this.#ask(write, read) as Promise<TaskCalls[Name]["answer"]>;
  }

  /** Runs a script in the order of the other requests. */
  async run(script: Script, args: readonly (string | number)[]): Promise<unknown> {
    return await this.#ask(undefined, { script, args, answer: (reply) => reply });
  }

  /** Runs a command in the order of the other requests. */
  async command(command: readonly (string | number)[]): Promise<unknown> {
    return await this.#ask(undefined, {
      command: () => [...command],
      args: [],
      answer: (reply) => reply,
    });
  }

  /** Subtracts records that a sweep has dropped, by status. */
  dropped(removed: readonly number[]): void {
    this.#commits.dropped(removed);
  }

  /** Ends it, since this server leads no more: every request rejects with `fenced`. */
  lose(reason: string): void {
    if (this.#over) return;
    this.#end(new StoreError("fenced", reason));
    this.#lose.resolve(reason);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#over) return;
    if (!this.#isIdle) {
      const timer = setInterval(() => {
        if (!this.#connection) this.#failWaiting(CLOSE_MS);
      }, RETRY_MS);
      this.#drained = Promise.withResolvers();
      await this.#drained.promise;
      clearInterval(timer);
    }
    this.#end(new StoreError("bug", "the store is closed"));
  }

  #ask(write: Write | undefined, read: Read | undefined): Promise<unknown> {
    if (this.#over) return Promise.reject(this.#over);
    if (this.#closing) return Promise.reject(new StoreError("bug", "the store is closed"));
    const done = Promise.withResolvers<unknown>();
    const since = performance.now();
    this.#waiting.push({ write: write && { write }, read, since, done });
    this.#pump();
    return done.promise;
  }

  #pump(): void {
    for (let head = this.#waiting[0]; head; head = this.#waiting[0]) {
      const connection = this.#connection;
      if (!connection || this.#isPreparing || (head.write && this.#write)) return;
      this.#waiting.shift();
      this.#sent.push(head);
      if (head.write) this.#write = head;
      void this.#send(head, connection);
    }
  }

  async #send(request: Request, connection: RedisConnection): Promise<void> {
    try {
      const answer = request.write
        ? await this.#commit(request.write, connection)
        : await this.#read(request.read as Read, connection);
      this.#settle(request, () => request.done.resolve(answer));
    } catch (error) {
      // It is sent again, or rejected, once the store knows where it stands.
      if (error instanceof ConnectionLost) return;
      const fault = storeErrorOf(error);
      if (fault.fault === "fenced") this.lose(fault.message);
      this.#settle(request, () => request.done.reject(fault));
    }
  }

  async #read(read: Read, connection: RedisConnection): Promise<unknown> {
    const { prefix, token } = this.#options;
    const reply = read.script
      ? await connection.run(read.script, prefix, [token, ...read.args])
      : await connection.call(read.command!(prefix));
    return read.answer(reply);
  }

  #settle(request: Request, settle: () => void): void {
    // It was settled by the end of the store.
    if (!this.#sent.includes(request)) return;
    if (this.#write === request) {
      this.#write = undefined;
      this.#isPreparing = false;
    }
    request.settle = settle;
    for (let first = this.#sent[0]; first?.settle; first = this.#sent[0]) {
      this.#sent.shift();
      this.#deliver(first.settle);
    }
    this.#pump();
  }

  /**
   * Gives one answer in each turn of the event loop: the engine uses a row that it has read until it next waits, so no other
   * answer may come before it has done that.
   */
  #deliver(settle: () => void): void {
    this.#deliveries.push(settle);
    if (!this.#isDelivering) this.#deliverNext();
  }

  #deliverNext(): void {
    this.#deliveries.shift()?.();
    this.#isDelivering = true;
    setImmediate(() => {
      this.#isDelivering = false;
      if (this.#deliveries.length > 0) this.#deliverNext();
      else if (this.#isIdle) this.#drained.resolve();
    });
  }

  get #isIdle(): boolean {
    return this.#waiting.length + this.#sent.length + this.#deliveries.length === 0 &&
      !this.#isDelivering;
  }

  /** Reads wait until the write is on its way, and then follow it. */
  async #commit(write: PendingWrite, connection: RedisConnection): Promise<null> {
    this.#isPreparing = true;
    return await this.#commits.commit(write, connection, () => {
      this.#isPreparing = false;
      this.#pump();
    });
  }

  #use(master: Master): void {
    this.#master = master;
    const { connection } = master;
    this.#connection = connection;
    connection.closed.then((reason) => this.#onLost(connection, reason));
    this.#pump();
  }

  #onLost(connection: RedisConnection, reason: string): void {
    if (this.#connection !== connection || this.#over) return;
    this.#connection = undefined;
    this.#isPreparing = false;
    // A commit that waits for its replicas, too, is sent again: its number says that it was made.
    const write = this.#write?.write;
    if (write?.number !== undefined) write.isDoubtful = true;
    this.#write = undefined;
    const unanswered = this.#sent.splice(0);
    for (const request of unanswered) request.settle = undefined;
    this.#waiting.unshift(...unanswered);
    if (!this.#isConnecting) void this.#reconnect(reason);
  }

  async #reconnect(why: string): Promise<void> {
    this.#isConnecting = true;
    let reason = why;
    for (let wait = RETRY_MS; !this.#over && !this.#connection; wait *= 2) {
      try {
        const master = await this.#options.dial();
        await this.#judge(master);
      } catch (error) {
        reason = (error as Error).message;
        this.#failWaiting(WAIT_MS, reason);
        await delay(Math.min(wait, MAX_RETRY_MS), { signal: this.#stop.signal }).catch(() => {});
      }
    }
    this.#isConnecting = false;
    // It can have been lost while it was judged.
    if (!this.#over && !this.#connection) void this.#reconnect(reason);
  }

  /** Goes on with a new connection if this server still leads, and Redis still has every acknowledged commit. */
  async #judge(master: Master): Promise<void> {
    const { connection, identity } = master;
    const { prefix, token, report } = this.#options;
    const before = this.#master.identity;
    const isOther = identity.runId !== before.runId || identity.replId !== before.replId;
    const found = await connection.run(FATE, prefix, []);
    const [itsToken, commit, beforeToken, beforeCommit] = found as [Text, Text, Text, Text];
    const known = itsToken === token ? commit : beforeToken === token ? beforeCommit : null;
    const hasAll = known !== null && Number(known) >= this.#commits.made;
    if (this.#over) return connection.destroy("the store is closed");
    if (itsToken !== token || !hasAll) {
      connection.destroy("this server does not lead any more");
      return this.lose(
        itsToken !== null && (hasAll || !isOther)
          ? "another server leads"
          : lossOf(known, this.#commits.made, itsToken === null),
      );
    }
    if (isOther) report("Redis was restarted or replaced; it has every acknowledged commit");
    // A read that was asked for before the write must not see it.
    const at = this.#waiting.findIndex(({ write }) => write?.number !== undefined);
    if (at > 0 && Number(commit) >= (this.#waiting[at]!.write!.number as number)) {
      const late = new StoreError("io", "the connection was lost during this read");
      for (const { done } of this.#waiting.splice(0, at)) done.reject(late);
    }
    this.#use(master);
  }

  /** Rejects what has waited for `ms`; a write that may have been made ends the lead. */
  #failWaiting(ms: number, reason = "it does not answer"): void {
    const now = performance.now();
    const isLate = ({ since }: Request) => now - since > ms;
    if (this.#waiting.some((one) => isLate(one) && one.write?.isDoubtful)) {
      return this.lose(`Redis cannot be reached, and its last commit is in doubt: ${reason}`);
    }
    const late = this.#waiting.filter(isLate);
    for (const request of late) {
      this.#waiting.splice(this.#waiting.indexOf(request), 1);
      request.done.reject(new StoreError("io", `Redis cannot be reached: ${reason}`));
    }
    if (this.#isIdle) this.#drained.resolve();
  }

  #end(error: StoreError): void {
    if (this.#over) return;
    this.#over = error;
    this.#stop.abort();
    this.#connection?.destroy(error.message);
    for (const { done } of [...this.#sent.splice(0), ...this.#waiting.splice(0)]) {
      done.reject(error);
    }
    this.#drained.resolve();
  }
}

function lossOf(known: string | null, made: number, isEmpty: boolean): string {
  if (isEmpty) return "Redis has lost its data: it was emptied, or restarted without persistence";
  const lost = known === null ? "the last" : `${made - Number(known)} of the`;
  return `Redis was restarted or replaced, and has lost ${lost} commits that it had acknowledged; ` +
    "this server reads what is left";
}
