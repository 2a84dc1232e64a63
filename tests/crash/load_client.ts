/**
 * One client of a crash run: says what its script says, hears what the server answers, and keeps the
 * accounts. It is on connection after connection; what had no answer when one broke never gets any.
 */

import { delay } from "@std/async/delay";
import { FINAL_STATUSES, type FinalStatus } from "../../protocol/task.ts";
import { RawClient } from "../kit/raw_client.ts";
import type { Account } from "./account.ts";
import type { Book } from "./book.ts";
import type { End } from "./ending.ts";
import type { Burst, Step } from "./plan.ts";

interface Ask {
  readonly kind: Step["kind"];
  readonly account: Account;
  /** Of a submit: the first reply came. */
  acknowledged: boolean;
}

// deno-lint-ignore no-explicit-any
type Reply = any;

/** Longer than a run waits for the end of all tasks. */
const PATIENCE_MS = 300_000;
/** Ends that a client asks for once more after it has come back. */
const ASKED_AGAIN = 40;

export class LoadClient {
  readonly #id: number;
  readonly #book: Book;
  readonly #asks = new Map<string, Ask>();
  /** Of the tasks of this client, the latest. */
  #latest: Account[] = [];
  #serial = 0;
  #wire: RawClient | undefined;
  #listening: Promise<void> = Promise.resolve();

  constructor(id: number, book: Book) {
    this.#id = id;
    this.#book = book;
  }

  /** Comes back, and asks for the tasks it knows: a task that has ended must have the same end. */
  async connect(address: { hostname: string; port: number }): Promise<void> {
    this.#wire = await RawClient.connect(address, PATIENCE_MS);
    this.#listening = this.#listen(this.#wire);
    const steps = this.#latest.slice(-ASKED_AGAIN)
      .map((account) => ({ kind: account.end ? "get" : "wait", task: account.planned }) as const);
    this.#latest = this.#latest.slice(-ASKED_AGAIN);
    await this.#say(steps);
  }

  /** What it still waits for on a connection that has not broken. */
  get unanswered(): string[] {
    return [...this.#asks.values()].map(({ kind, account }) => `${kind} of ${account.name}`);
  }

  get isConnected(): boolean {
    return this.#wire !== undefined;
  }

  /** Says its script, as far as the connection lasts. */
  async play(script: readonly Burst[]): Promise<void> {
    for (const { pauseMs, steps } of script) {
      if (pauseMs > 0) await delay(pauseMs);
      if (!this.#wire) return;
      await this.#say(steps);
    }
  }

  /** Resolves once the server, dead or not, has closed the connection. */
  async lost(): Promise<void> {
    await this.#listening;
  }

  async #say(steps: readonly Step[]): Promise<void> {
    const messages = steps.map((step) => this.#message(step)).filter((it) => it !== undefined);
    try {
      await this.#wire?.sendObjects(...messages);
    } catch (error) {
      // The server was killed; listeners notice it too.
      if (!isBroken(error)) throw error;
    }
  }

  #message({ kind, task }: Step): object | undefined {
    const account = this.#book.account(task, this.#id);
    if (!this.#mayAsk(kind, account)) return undefined;
    const ref = `${this.#id}.${++this.#serial}`;
    this.#asks.set(ref, { kind, account, acknowledged: false });
    this.#book.count(kind);
    account.outstanding++;
    if (kind === "submit" || kind === "again") {
      if (!account.sent) this.#latest.push(account);
      account.sent = true;
      // Earlier replies are no evidence for this one.
      account.refused = undefined;
      const { op, args, options } = task;
      return { op, ref, ...args, ...(Object.keys(options).length > 0 ? { task: options } : {}) };
    }
    if (kind === "cancel") account.cancelAsked = true;
    if (kind === "retry") account.retried = account.retryOutstanding = true;
    return { cmd: kind, ref, task_id: account.taskId };
  }

  #mayAsk(kind: Step["kind"], account: Account): boolean {
    if (kind === "submit") return !account.sent;
    if (!account.sent || account.taskId === undefined || account.retryOutstanding) return false;
    return kind !== "retry" || account.canRetry;
  }

  async #listen(wire: RawClient): Promise<void> {
    for (let line = await wire.line(); line !== null; line = await wire.line()) this.#hear(line);
    wire[Symbol.dispose]();
    if (this.#wire === wire) this.#wire = undefined;
    for (const { kind, account } of this.#asks.values()) {
      account.outstanding = 0;
      account.retryOutstanding = false;
      if (kind === "retry") account.forgetEnd();
    }
    this.#asks.clear();
  }

  #hear(line: string): void {
    const reply: Reply = JSON.parse(line);
    const ask = this.#asks.get(reply.ref);
    if (!ask) {
      this.#book.faults.add("wrong client", `client ${this.#id} never asked for ${line}`);
      return;
    }
    if (!this.#answer(ask, reply)) return;
    this.#asks.delete(reply.ref);
    ask.account.outstanding--;
  }

  /** Whether that was the last reply to it. */
  #answer(ask: Ask, reply: Reply): boolean {
    const { account, kind } = ask;
    if (reply.error && reply.status === undefined) {
      this.#refused(ask, reply.error.code, reply.error.message);
      return true;
    }
    if (reply.task_id !== account.taskId && (account.taskId !== undefined || ask.acknowledged)) {
      const text = JSON.stringify(reply);
      this.#book.faults.add("wrong client", `an answer about ${account.name} is ${text}`);
    }
    switch (kind) {
      case "submit":
      case "again":
        if (ask.acknowledged) {
          this.#told(account, reply);
          return true;
        }
        account.acknowledge(reply.task_id, this.#book.faults);
        ask.acknowledged = true;
        return account.planned.options.wait === false;
      case "retry":
        account.retryOutstanding = false;
        account.acknowledgeRetry();
        return true;
      default:
        this.#told(account, reply);
        return true;
    }
  }

  #told(account: Account, reply: Reply): void {
    if (isFinalStatus(reply.status)) this.#book.observe(account, reply as End);
  }

  #refused({ kind, account }: Ask, code: string, message: string): void {
    if (kind === "retry") account.retryOutstanding = false;
    if (code === "not_found" && kind !== "submit" && kind !== "again") {
      account.missing(this.#book.faults);
      return;
    }
    this.#book.refuse(code);
    if (kind !== "submit" && kind !== "again") {
      // Too late for it, as anything may be.
      if (code === "conflict") return;
    } else if (!account.acknowledged) {
      account.refused = code;
      // One of those it comes after never reached the server.
      if (code === "not_found" && account.planned.options.after) return;
    }
    if (this.#book.expected.has(code)) return;
    this.#book.faults.add("refused", `${kind} of ${account.name}: ${code}: ${message}`);
  }
}

function isFinalStatus(status: unknown): status is FinalStatus {
  return FINAL_STATUSES.includes(status as FinalStatus);
}

function isBroken(error: unknown): boolean {
  return error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.BadResource;
}
