/**
 * The commits of one lead: numbers them, turns each into scripts, and finds out what became of it. A number is used once;
 * a script that arrives when its number is used does nothing.
 */

import { appended, StoreError, type Write } from "../journaled/task_store.ts";
import { ConnectionLost, type RedisConnection } from "./connection.ts";
import { parsed } from "./reads.ts";
import { ROW_CELLS } from "./row_text.ts";
import { WRITE } from "./script.ts";
import { FIRST_FINAL_STATUS, planWrite, type WritePlan } from "./write_plan.ts";

/** Longest wait for replicas of one command, in ms; it is asked again. */
const CONFIRM_MS = 1000;
/** After this number of them in a row without enough replicas, the operator hears of it. */
const CONFIRM_TRIES = 5;

export interface CommitsOptions {
  readonly prefix: string;
  readonly token: string;
  /** The state of the store when it was opened. */
  readonly counts: readonly number[];
  readonly next: number;
  readonly outbox: number;
  readonly kinds: number;
  /** Waits for replicas after each commit: the command without its time; `isEnough` reads the answer. */
  readonly confirm?: {
    readonly command: readonly (string | number)[];
    readonly isEnough: (answer: unknown) => boolean;
  } | undefined;
  /** Called with messages for the operator. */
  readonly report: (message: string) => void;
}

/** A write on its way. */
export interface PendingWrite {
  readonly write: Write;
  /** From the moment at which it was first sent. */
  number?: number;
  plan?: WritePlan;
  /** It was sent on a connection that was lost. */
  isDoubtful?: boolean;
}

export class Commits {
  /** Number of the last commit that is known to be made. */
  made = 0;
  readonly #options: CommitsOptions;
  #number = 0;
  readonly #counts: number[];
  #next: number;
  #outbox: number;
  #kinds: number;

  constructor(options: CommitsOptions) {
    this.#options = options;
    this.#counts = [...options.counts];
    this.#next = options.next;
    this.#outbox = options.outbox;
    this.#kinds = options.kinds;
  }

  /** Records of final tasks. */
  get final(): number {
    return this.#counts.slice(FIRST_FINAL_STATUS).reduce((sum, count) => sum + count, 0);
  }

  /** Subtracts records that a sweep has dropped, by status. */
  dropped(removed: readonly number[]): void {
    removed.forEach((rows, status) => this.#counts[status]! -= rows);
  }

  /** Calls `sent` once requests that were made after it can be sent. Rejects once nothing of it is kept. */
  async commit(
    request: PendingWrite,
    connection: RedisConnection,
    sent: () => void,
  ): Promise<null> {
    request.plan ??= await this.#plan(request.write, connection);
    const { bodies, counts, next, outbox, kinds } = request.plan;
    request.number ??= ++this.#number;
    const run = (mode: string, chunk = 1, body: readonly (string | number)[] = []) =>
      this.#run(connection, mode, [request.number!, chunk, ...body]);
    try {
      if (bodies.length === 1) {
        const made = run("now", 1, bodies[0]);
        sent();
        await made;
      } else {
        await this.#commitStaged(bodies, run, sent);
      }
    } catch (error) {
      await this.#makeSure(request, error, connection);
    }
    this.made = request.number;
    await this.#confirm(connection);
    counts.forEach((count, status) => this.#counts[status]! += count);
    this.#next = next;
    this.#outbox = outbox;
    this.#kinds = kinds;
    return null;
  }

  async #commitStaged(
    bodies: WritePlan["bodies"],
    run: (mode: string, chunk?: number, body?: readonly (string | number)[]) => Promise<number>,
    sent: () => void,
  ): Promise<void> {
    let isMade = false;
    try {
      for (const [i, body] of bodies.entries()) {
        isMade = await run("stage", i + 1, body) === 2;
        if (isMade) break;
      }
      if (!isMade) await run("commit", bodies.length);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) await run("unstage");
      throw error;
    }
    const applied = bodies.map((_, i) => run("apply", i + 1));
    const last = run("unstage");
    sent();
    await Promise.all([...applied, last]);
  }

  async #run(
    connection: RedisConnection,
    mode: string,
    args: readonly (string | number)[],
  ): Promise<number> {
    const { prefix, token } = this.#options;
    const reply = await connection.run(WRITE, prefix, [token, mode, ...args]) as number;
    if (reply === -1) throw new StoreError("fenced", "another server leads");
    return reply;
  }

  /**
   * Rejects with `error`, once it is certain that nothing of the write is kept. A script from a lost connection can still
   * arrive, so its number is used up; returns if it has arrived meanwhile.
   */
  async #makeSure(
    request: PendingWrite,
    error: unknown,
    connection: RedisConnection,
  ): Promise<void> {
    const isSure = !request.isDoubtful || error instanceof ConnectionLost ||
      (error instanceof StoreError && error.fault === "fenced");
    if (isSure) throw error;
    if (await this.#run(connection, "burn", [request.number!]) === 1) {
      this.made = request.number!;
      throw error;
    }
  }

  async #plan(write: Write, connection: RedisConnection): Promise<WritePlan> {
    const start = { next: this.#next, outbox: this.#outbox, kinds: this.#kinds };
    const { attachments } = write;
    if (attachments.length === 0) return planWrite(write, { ...start, attachments: [] });
    const fresh = new Set<number>();
    for (let at = 0; at < write.inserts.length; at += ROW_CELLS) {
      fresh.add(write.inserts[at] as number);
    }
    const texts = new Map<string, string>();
    const old = attachments.filter(([ord]) => !fresh.has(ord));
    const { prefix } = this.#options;
    const kinds = [...new Set(old.map(([, kind]) => kind))];
    await Promise.all(kinds.map(async (kind) => {
      const ords = old.filter((one) => one[1] === kind).map(([ord]) => ord);
      const found = await connection.call(["HMGET", `${prefix}att:${kind}`, ...ords]);
      (found as (string | null)[]).forEach((text, i) => {
        const value = parsed(text);
        if (value !== null) texts.set(`${kind} ${ords[i]}`, value);
      });
    }));
    for (const [ord, kind, text] of attachments) {
      const name = `${kind} ${ord}`;
      texts.set(name, appended(kind, texts.get(name) ?? null, text));
    }
    const whole = [...texts].map(([name, text]) => {
      const [kind, ord] = name.split(" ").map(Number) as [number, number];
      return [kind, ord, text] as const;
    });
    return planWrite(write, { ...start, attachments: whole });
  }

  /** Waits until enough replicas have the commit. */
  async #confirm(connection: RedisConnection): Promise<void> {
    const { confirm, report } = this.#options;
    if (!confirm) return;
    for (let tries = 0;; tries++) {
      if (confirm.isEnough(await connection.call([...confirm.command, CONFIRM_MS]))) return;
      if (tries !== CONFIRM_TRIES - 1) continue;
      report("no replica of Redis has confirmed a commit for 5 s; submits and results wait for it");
    }
  }
}
