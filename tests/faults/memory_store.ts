/**
 * A store that servers share, in the memory of a test: rows, attachments, settings, an outbox, and the number of the lead
 * that may write. It keeps the promises of `TaskStore` and `SharedStore` in the plainest way, so that tests can stage
 * takeovers, late counts and writes whose fate is unknown. The store contract runs on it, too.
 */

import {
  appended,
  type Cell,
  FIXED_COLUMNS,
  type LaneQuery,
  type Opened,
  type PageSize,
  type RecordSweeper,
  STATE_COLUMNS,
  type StoreCounts,
  STORED_STATUSES,
  type StoredTask,
  StoreError,
  type TaskCalls,
  type TaskStore,
  type Write,
} from "../../server/engine/journaled/task_store.ts";
import type { OutboxRow } from "../../server/engine/outbox.ts";

type Ask<Name extends keyof TaskCalls> = TaskCalls[Name]["ask"];
type Answers = { [Name in keyof TaskCalls]: (ask: Ask<Name>) => TaskCalls[Name]["answer"] };

const INSERT_CELLS = FIXED_COLUMNS.length + STATE_COLUMNS.length;
const UPDATE_CELLS = 2 + STATE_COLUMNS.length;
const [QUEUED, DELAYED, WAITING] = [0, 1, 2];
const FIRST_FINAL = 3;

/** What is kept, whoever leads. */
export class SharedMemory {
  rows = new Map<number, StoredTask>();
  attachments = new Map<string, string>();
  settings = new Map<string, string>();
  outbox = new Map<number, OutboxRow>();
  #lastOutbox = 0;
  #next = 1;
  epoch = 0;

  /** Takes the lead from the server that has it. */
  lead(): MemoryLead {
    return new MemoryLead(this, ++this.epoch);
  }

  get counts(): StoreCounts {
    const counts = STORED_STATUSES.map(() => 0);
    const ops = new Map<string, number>();
    for (const { status, op } of this.rows.values()) {
      counts[status]! += 1;
      if (status === QUEUED) ops.set(op, (ops.get(op) ?? 0) + 1);
    }
    return { counts, queuedOps: [...ops] };
  }

  /** Each lead begins its numbers above all that the ones before it can have used. */
  takeNumbers(): number {
    const first = this.#next;
    this.#next += 2 ** 24;
    return first;
  }

  get lanes(): LaneQuery[] {
    const lanes = new Map<string, LaneQuery>();
    for (const { status, priority, key, op } of this.rows.values()) {
      if (status !== QUEUED) continue;
      lanes.set(JSON.stringify([priority, key, op]), { priority, key, op });
    }
    return [...lanes.values()];
  }

  write({ inserts, updates, attachments, settings, outbox = [], published = [] }: Write): void {
    const rows = new Map(this.rows);
    for (let at = 0; at < inserts.length; at += INSERT_CELLS) {
      const row = rowOf([...FIXED_COLUMNS, ...STATE_COLUMNS], inserts, at) as unknown as StoredTask;
      if (rows.has(row.ord)) throw new StoreError("bug", `task number ${row.ord} is there already`);
      rows.set(row.ord, row);
    }
    for (let at = 0; at < updates.length; at += UPDATE_CELLS) {
      const before = rows.get(updates[at] as number);
      if (before === undefined || before.status !== updates[at + 1]) {
        throw new StoreError("damaged", `task number ${updates[at]} is not as it was written`);
      }
      rows.set(before.ord, { ...before, ...rowOf(STATE_COLUMNS, updates, at + 2) });
    }
    this.rows = rows;
    for (const [ord, kind, text] of attachments) {
      const place = `${ord}/${kind}`;
      this.attachments.set(place, appended(kind, this.attachments.get(place) ?? null, text));
    }
    for (const [name, value] of settings) {
      if (value === null) this.settings.delete(name);
      else this.settings.set(name, value);
    }
    for (const [route, body] of outbox) {
      this.outbox.set(++this.#lastOutbox, { n: this.#lastOutbox, route, body });
    }
    for (const n of published) this.outbox.delete(n);
  }

  drop(ord: number): void {
    this.rows.delete(ord);
    for (const place of this.attachments.keys()) {
      if (place.startsWith(`${ord}/`)) this.attachments.delete(place);
    }
  }
}

function rowOf(columns: readonly string[], cells: readonly Cell[], at: number) {
  return Object.fromEntries(columns.map((name, i) => [name, cells[at + i] as Cell]));
}

/** One lead: its requests are carried out in their order, and refused once another server leads. */
export class MemoryLead implements TaskStore {
  readonly #memory: SharedMemory;
  readonly #lost = Promise.withResolvers<string>();
  readonly lost = this.#lost.promise;
  #isClosed = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(memory: SharedMemory, readonly epoch: number) {
    this.#memory = memory;
  }

  /** The contents as of now; with `counting`, the counts come by that promise. */
  opened(counting?: Promise<StoreCounts>): Opened {
    const { counts, lanes, settings } = this.#memory;
    const numbers = counting
      ? { counts: STORED_STATUSES.map(() => 0), queuedOps: [], counting }
      : counts;
    return { ...numbers, next: this.#memory.takeNumbers(), lanes, settings: [...settings] };
  }

  call<Name extends keyof TaskCalls>(
    name: Name,
    ask: Ask<Name>,
  ): Promise<TaskCalls[Name]["answer"]> {
    if (this.#isClosed) return Promise.reject(new StoreError("bug", "the store is closed"));
    const answer = this.#turn.then(() => {
      if (this.#memory.epoch !== this.epoch) {
        const reason = `server ${this.#memory.epoch} leads`;
        this.#lost.resolve(reason);
        throw new StoreError("fenced", reason);
      }
      return (this.#answers[name] as (ask: Ask<Name>) => TaskCalls[Name]["answer"])(ask);
    });
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#turn;
  }

  /** Drops what was final `keepMs` ago. */
  sweeper(keepMs = Infinity): RecordSweeper {
    return {
      isFull: false,
      sweep: (now, held) => {
        const removed = STORED_STATUSES.map(() => 0);
        const kept = new Set(held.ords());
        for (const row of [...this.#memory.rows.values()]) {
          const dropAt = row.dropAt ?? row.finishedAt + keepMs;
          if (row.status < FIRST_FINAL || kept.has(row.ord) || dropAt > now) continue;
          this.#memory.drop(row.ord);
          removed[row.status]! += 1;
        }
        return Promise.resolve({ removed, more: false });
      },
    };
  }

  readonly #answers: Answers = {
    write: (write) => (this.#memory.write(write), null),
    find: ({ ids }) =>
      ids.map((id) => [...this.#memory.rows.values()].find((row) => row.id === id) ?? null),
    attachments: ({ kind, ords }) =>
      ords.map((ord) => this.#memory.attachments.get(`${ord}/${kind}`) ?? null),
    outbox: (ask) =>
      page(
        [...this.#memory.outbox.values()].filter(({ n }) => n > ask.after),
        ask,
        ({ route, body }) => route.length + body.length,
      ),
    lane: (ask) =>
      this.#page(
        ask,
        (row) =>
          row.status === QUEUED && row.seq > ask.seq && row.priority === ask.priority &&
          row.key === ask.key && row.op === ask.op,
        ({ seq }) => [seq],
      ),
    due: (ask) =>
      this.#page(
        ask,
        ({ status, runAt, ord }) =>
          status === DELAYED && (runAt > ask.runAt || (runAt === ask.runAt && ord > ask.ord)),
        ({ runAt, ord }) => [runAt, ord],
      ),
    waiting: (ask) =>
      this.#page(ask, (row) => row.status === WAITING && row.ord > ask.ord, ({ ord }) => [ord]),
    expired: (ask) =>
      this.#page(
        ask,
        ({ status, expiresAt }) =>
          status < FIRST_FINAL && expiresAt !== null && expiresAt <= ask.now,
        ({ expiresAt, ord }) => [expiresAt ?? 0, ord],
      ),
    list: (ask) => {
      const { oldestFirst, statuses, op, key, createdSince } = ask;
      const sign = oldestFirst ? 1 : -1;
      const tasks = this.#page(
        ask,
        (row) =>
          (oldestFirst ? row.ord > ask.ord : row.ord < ask.ord) &&
          (statuses.length === 0 || statuses.includes(row.status)) &&
          (op === null || row.op === op) && (key === null || row.key === key) &&
          row.createdAt >= createdSince,
        ({ ord }) => [sign * ord],
      );
      const last = tasks.at(-1);
      return { tasks, next: last ? last.ord : null };
    },
    ahead: ({ priority, seq, limit }) => {
      let ahead = 0;
      for (const row of this.#memory.rows.values()) {
        if (row.status !== QUEUED) continue;
        if (row.priority > priority || (row.priority === priority && row.seq < seq)) ahead++;
      }
      return Math.min(ahead, limit);
    },
  };

  #page(
    size: PageSize,
    fits: (row: StoredTask) => boolean,
    place: (row: StoredTask) => readonly number[],
  ): StoredTask[] {
    const rows = [...this.#memory.rows.values()].filter(fits).sort((a, b) => {
      const [x, y] = [place(a), place(b)];
      const at = x.findIndex((number, i) => number !== y[i]);
      return at < 0 ? 0 : (x[at] as number) - (y[at] as number);
    });
    return page(rows, size, ({ payload, result }) => payload.length + (result?.length ?? 0));
  }
}

/** The first rows, as many as the size allows; the first one always. */
function page<Row>(
  rows: readonly Row[],
  { limit, maxChars }: PageSize,
  charsOf: (row: Row) => number,
): Row[] {
  const taken: Row[] = [];
  let chars = 0;
  for (const row of rows) {
    chars += charsOf(row);
    if (taken.length >= limit || (taken.length > 0 && chars > maxChars)) break;
    taken.push(row);
  }
  return taken;
}
