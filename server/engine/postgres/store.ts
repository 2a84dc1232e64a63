/**
 * The rows of a PostgreSQL engine under one lead. Commits and the reads that must be in order with them go by one session;
 * lists, places in line and sweeps look by another, so that no commit waits for them.
 */

import { delay } from "@std/async/delay";
import {
  type Cell,
  type Opened,
  StoreError,
  type TaskCalls,
  type TaskStore,
  type Write,
} from "../journaled/task_store.ts";
import { INSERT_WIDTH, UPDATE_WIDTH } from "./cells.ts";
import type { PgSession, Query } from "./connection.ts";
import { type CountedTasks, countTasks } from "./counting.ts";
import { AnswerLost, DIVISION_BY_ZERO, sqlState } from "./faults.ts";
import type { Fence } from "./lead_tables.ts";
import { type PgRead, Reads, type Rows } from "./read.ts";
import { deallocateSql, dropSliceDdl, FENCED_STATE, named, sliceDdl } from "./schema.ts";
import { Slices } from "./slices.ts";
import { Turns } from "./turns.ts";
import { fateOf, WriteStatements } from "./write.ts";

interface PostgresStoreOptions {
  /** For commits: it ends if it finds another database, or another history of it. */
  readonly session: PgSession;
  /** For reads that may be a moment old. */
  readonly side: PgSession;
  readonly schema: string;
  readonly fence: Pick<Fence, "epoch" | "token">;
  /** Every number from here on is new. */
  readonly next: number;
  /** `serial_hi` of the lead: numbers up to there belong to it. */
  readonly serialHi: number;
  /** Numbers of a slice; see `meta`. */
  readonly sliceRows: number;
}

type Ask<Name extends keyof TaskCalls> = TaskCalls[Name]["ask"];
type Answer<Name extends keyof TaskCalls> = TaskCalls[Name]["answer"];

/** Numbers that a lead takes when those it began with are used up. Ids have room for 2^48. */
export const SERIAL_BLOCK = 2 ** 20;
/** More are taken when this many are left, to be given out while that is committed. */
const SERIALS_LEFT = 2 ** 16;
/** Longest time for which `open` waits for counts, in ms. */
const COUNT_MS = 100;
/** Longest wait for a side session, in ms, and the time between two tries. */
const SIDE_PATIENCE_MS = 10_000;
const SIDE_AGAIN_MS = 50;
/** Longest wait for readers of a slice to drop, in ms: commits wait meanwhile. */
const DROP_WAIT_MS = 50;
/** Statuses from here on are final. */
export const FINAL_FROM = 3;
const UNIQUE_VIOLATION = "23505";
/** SQLSTATEs for a table that is made twice. */
const IS_THERE = /^(23505|42P07|42710)$/;

// Places in the cells of a `Write`.
const STATUS_OF_INSERT = 10;
const SEQ_OF_INSERT = 11;
const OLD_STATUS = 1;
const STATUS_OF_UPDATE = 2;
const SEQ_OF_UPDATE = 3;

export class PostgresStore implements TaskStore {
  readonly lost: Promise<string>;
  readonly #options: PostgresStoreOptions;
  readonly #lost = Promise.withResolvers<string>();
  readonly #slices: Slices;
  readonly #statements: WriteStatements;
  readonly #reads: Reads;
  readonly #turns: Turns;
  #serialHi: number;
  /** The number of the last commit. */
  #commits = 0;
  /** Settles when the last write that was asked for is answered. */
  #written: Promise<unknown> = Promise.resolve();
  #isCounting = false;
  #closed: Promise<void> | undefined;
  #over: StoreError | undefined;
  /** Records of final tasks. Records of earlier leads are missing until they are counted. */
  #final = 0;
  #isCounted = false;
  /** Tasks that have changed since the sweeper began to look. */
  #changed: Set<number> | undefined;

  private constructor(options: PostgresStoreOptions) {
    const { schema, session, sliceRows } = options;
    this.#options = options;
    this.lost = this.#lost.promise;
    this.#serialHi = options.serialHi;
    this.#slices = new Slices(sliceRows);
    this.#statements = new WriteStatements(schema, this.#slices);
    this.#reads = new Reads(schema);
    this.#turns = new Turns(session, (reason) => this.end(reason));
    void session.lost.then((reason) => this.end(reason));
  }

  /** Reads what an engine needs of a store that this server leads now. */
  static async open(
    options: PostgresStoreOptions,
  ): Promise<{ store: PostgresStore; opened: Opened }> {
    const { session, side, fence, schema, next } = options;
    await Promise.all([session.ready(), side.ready()]);
    const store = new PostgresStore(options);
    const counting = store.#count();
    const read = <A>({ query, answer }: PgRead<A>) =>
      store.#turns.ask({ query: () => query, kind: "read" }, answer);
    const [slices, lanes, settings] = await Promise.all([
      read(store.#reads.slices()),
      read(store.#reads.lanes()),
      read(store.#reads.settings()),
      counting.begun,
      store.#turns.ask({
        query: () => ({
          text: `delete from ${named(schema, "commit")} where epoch < $1::bigint`,
          values: [fence.epoch],
        }),
        kind: "alone",
      }, () => {}),
    ]);
    for (const n of slices) store.#slices.made(n, false);
    const { counts } = counting;
    void counts.then(({ slices }) => store.#slices.counted(slices), () => {});
    const soon = new AbortController();
    const late = delay(COUNT_MS, soon).then(() => undefined, () => undefined);
    const known = await Promise.race([counts, late]);
    soon.abort();
    const opened = { next, lanes, settings };
    return {
      store,
      opened: known
        ? { ...opened, ...known }
        : { ...opened, counts: [], queuedOps: [], counting: counts },
    };
  }

  #count(): { begun: Promise<void>; counts: Promise<CountedTasks> } {
    const { side, schema } = this.#options;
    this.#isCounting = true;
    const { begun, counts } = countTasks(side, schema);
    const done = counts.then((counted) => {
      this.#isCounting = false;
      for (let code = FINAL_FROM; code < counted.counts.length; code++) {
        this.#final += counted.counts[code]!;
      }
      this.#isCounted = true;
      return counted;
    });
    done.catch((error) => this.end(`the tasks could not be counted: ${error.message}`));
    return { begun, counts: done };
  }

  call<Name extends keyof TaskCalls>(name: Name, ask: Ask<Name>): Promise<Answer<Name>> {
    if (this.#over) return Promise.reject(this.#over);
    if (this.#closed) return Promise.reject(new StoreError("bug", "the store is closed"));
    return this.#call(name, ask) as Promise<Answer<Name>>;
  }

  #call(name: keyof TaskCalls, ask: unknown): Promise<unknown> {
    const inTurn = <A>({ query, answer }: PgRead<A>): Promise<A> =>
      this.#turns.ask({ query: () => query, kind: "read" }, answer);
    switch (name) {
      case "write":
        return this.#write(ask as Write);
      case "list":
      case "ahead": {
        const read = this.#reads[name](ask as never) as PgRead<unknown>;
        const { mayLag } = ask as Ask<"list" | "ahead">;
        return mayLag ? this.#aside(read.query).then(read.answer) : inTurn(read);
      }
      default:
        return inTurn(this.#reads[name](ask as never) as PgRead<unknown>);
    }
  }

  async close(): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    await this.#turns.idle;
    this.#over ??= new StoreError("bug", "the store is closed");
    this.#turns.end(this.#over);
    await this.#closeSessions(this.#over);
  }

  async #closeSessions({ fault, message }: StoreError): Promise<void> {
    const { session, side } = this.#options;
    await Promise.all([session.close(fault, message), side.close(fault, message)]);
  }

  /** This server may no longer write: rejects everything from now on. */
  end(reason: string): void {
    if (this.#over) return;
    this.#over = new StoreError("fenced", reason);
    this.#turns.end(this.#over);
    void this.#closeSessions(this.#over);
    this.#lost.resolve(reason);
  }

  /** Records of final tasks; `undefined` until they are counted. */
  get final(): number | undefined {
    return this.#isCounted ? this.#final : undefined;
  }

  /** The tasks that are asked to change from now on. */
  watchChanges(): ReadonlySet<number> {
    this.#changed = new Set();
    return this.#changed;
  }

  /** A look of the sweeper. */
  async look(query: Query): Promise<Rows> {
    return this.#isCounting ? [] : await this.#aside(query);
  }

  /** Drops records of final tasks. */
  async drop(ords: readonly number[]): Promise<void> {
    await this.#commit((n) => this.#statements.drop(ords, n, this.#options.fence), () => {
      for (const ord of ords) this.#slices.add(ord, -1);
      this.#final -= ords.length;
    });
  }

  /** Drops the oldest slice if next to nothing of it is left; whether it did. */
  async dropSlice(): Promise<boolean> {
    const n = this.#slices.next;
    if (n === undefined) return false;
    const { schema, fence } = this.#options;
    const { epoch, token } = fence;
    await this.#turns.ask({
      query: () => ({ text: dropSliceDdl({ schema, n, epoch, token, waitMs: DROP_WAIT_MS }) }),
      kind: "alone",
      isOnce: true,
      fault: (error) => this.#faultOf(error),
    }, () => this.#slices.dropped(n));
    const names = this.#statements.forget(n);
    const query = () => ({ text: deallocateSql(names) });
    this.#turns.ask({ query, kind: "read" }, () => {}).catch(() => {});
    return true;
  }

  #write(write: Write): Promise<null> {
    const { inserts, updates } = write;
    let serial = 0;
    const ords: number[] = [];
    for (let i = 0; i < inserts.length; i += INSERT_WIDTH) {
      const ord = inserts[i] as number;
      ords.push(ord);
      serial = Math.max(serial, ord, inserts[i + SEQ_OF_INSERT] as number);
    }
    for (let i = 0; i < updates.length; i += UPDATE_WIDTH) {
      serial = Math.max(serial, updates[i + SEQ_OF_UPDATE] as number);
      this.#changed?.add(updates[i] as number);
    }
    if (serial > this.#serialHi - SERIALS_LEFT) this.#takeSerials(serial + SERIAL_BLOCK);
    for (const n of this.#slices.claim(ords)) this.#makeSlice(n);
    const statement = (n: number) => this.#statements.commit(write, n, this.#options.fence);
    return this.#commit(statement, () => this.#made(write));
  }

  #commit(statement: (n: number) => Query, made: () => void): Promise<null> {
    const commit = this.#turns.ask({
      kind: "write",
      query: () => statement(this.#commits + 1),
      fault: (error) => this.#faultOf(error),
    }, (rows, sends) => {
      const fate = fateOf(rows);
      if (fate === "fenced") throw this.#fenced();
      if (fate === "made before" && sends === 1) {
        throw new StoreError("bug", `there is a commit ${this.#commits + 1} of this lead`);
      }
      this.#commits++;
      made();
      return null;
    });
    this.#written = commit.catch(() => {});
    return commit;
  }

  /** Counts what a commit has changed. */
  #made({ inserts, updates }: Write): void {
    for (let i = 0; i < inserts.length; i += INSERT_WIDTH) {
      this.#slices.add(inserts[i] as number, 1);
      if ((inserts[i + STATUS_OF_INSERT] as number) >= FINAL_FROM) this.#final++;
    }
    for (let i = 0; i < updates.length; i += UPDATE_WIDTH) {
      if ((updates[i + OLD_STATUS] as number) >= FINAL_FROM) this.#final--;
      if ((updates[i + STATUS_OF_UPDATE] as number) >= FINAL_FROM) this.#final++;
    }
  }

  /** Made before any write that is asked for later. */
  #makeSlice(n: number): void {
    this.#turns.ask({
      query: () => ({ text: sliceDdl(this.#options.schema, n) }),
      kind: "alone",
      // A lost connection has made it meanwhile: the next try finds it.
      fault: (error) =>
        IS_THERE.test(sqlState(error.cause ?? {})) ? new StoreError("io", error.message) : error,
      // If it cannot be made, its tasks are written to the tables without a slice.
    }, () => this.#slices.made(n, true)).catch(() => {});
  }

  #takeSerials(upTo: number): void {
    this.#serialHi = upTo;
    const { schema, fence } = this.#options;
    const query = () => ({
      text: `update ${named(schema, "lead")} set serial_hi = greatest(serial_hi, $1::bigint)
        where epoch = $2::bigint and token = $3::uuid returning 1`,
      values: [upTo, fence.epoch, fence.token],
    });
    this.#turns.ask({ query, kind: "alone" }, (rows) => {
      if (rows.length === 0) throw this.#fenced();
    }).catch((error) => this.end(`no numbers for new tasks: ${error.message}`));
  }

  /** A query that may be answered by the other session, once all writes before it are answered. */
  async #aside(query: Query): Promise<Rows> {
    if (this.#isCounting) {
      return await this.#turns.ask({ query: () => query, kind: "read" }, (rows) => rows);
    }
    await this.#written;
    for (const giveUpAt = performance.now() + SIDE_PATIENCE_MS;;) {
      if (this.#over) throw this.#over;
      try {
        return await this.#options.side.query<readonly Cell[]>(query);
      } catch (error) {
        if (!(error instanceof AnswerLost) || performance.now() > giveUpAt) throw error;
        await delay(SIDE_AGAIN_MS);
      }
    }
  }

  #fenced(): StoreError {
    this.end("another server leads");
    return this.#over as StoreError;
  }

  /** An error of a statement, as what it means for a commit. */
  #faultOf(error: StoreError): StoreError {
    const code = sqlState(error.cause ?? {});
    if (code === FENCED_STATE) return this.#fenced();
    if (code === DIVISION_BY_ZERO) {
      const message = "the record of a task is gone, or not in the status that was written";
      return new StoreError("damaged", message);
    }
    if (code === UNIQUE_VIOLATION) {
      return new StoreError("damaged", `a new task is there already: ${error.message}`);
    }
    return error;
  }
}
