/**
 * Answers the reads of the engine; see `TaskCalls`. `TaskReader` finds tasks by id and in the order of an index;
 * `TaskList` walks through all of them.
 */

import type { StatementSync } from "node:sqlite";
import { serialOf } from "../../../task/task_id.ts";
import { type PageQuery, RowReader } from "./row_reader.ts";
import { ROW_COLUMN_LIST } from "./schema.ts";
import { damageError, FaultError } from "./sqlite_fault.ts";
import type { StoreCalls } from "./store_message.ts";
import type { Cell, LaneQuery, StoredTask } from "../../journaled/task_store.ts";
import { fromStored, keyFromStored, keyToStored, toStored } from "../../journaled/stored_text.ts";
import { isDamaged, taskOf } from "./stored_row.ts";

type Ask<C extends keyof StoreCalls> = StoreCalls[C]["ask"];
type Answer<C extends keyof StoreCalls> = StoreCalls[C]["answer"];

const LANE: PageQuery = {
  sql: `FROM tasks INDEXED BY tasks_queue WHERE status = 0 AND priority = ? AND key = ? AND op = ?
    AND seq > ? ORDER BY seq LIMIT ?`,
  place: ["seq"],
};
/*
 * Two steps, since SQLite looks up pairs only by their first half: of many tasks delayed to one moment, each page
 * would pass over all rows before it.
 */
const DUE_FROM = "FROM tasks INDEXED BY tasks_due WHERE status = 1 AND";
const DUE_THEN: PageQuery = {
  sql: `${DUE_FROM} runAt = ? AND ord > ? ORDER BY ord LIMIT ?`,
  place: ["runAt", "ord"],
};
const DUE_LATER: PageQuery = {
  sql: `${DUE_FROM} runAt > ? ORDER BY runAt, ord LIMIT ?`,
  place: ["runAt", "ord"],
};
const WAITING: PageQuery = {
  sql: `FROM tasks INDEXED BY tasks_rare WHERE status = 2 AND ord > ? ORDER BY ord LIMIT ?`,
  place: ["ord"],
};
const EXPIRED: PageQuery = {
  sql: `FROM tasks INDEXED BY tasks_expires WHERE expiresAt IS NOT NULL AND status < 3
    AND (expiresAt, ord) > (?, ?) AND expiresAt <= ? ORDER BY expiresAt, ord LIMIT ?`,
  place: ["expiresAt", "ord"],
};

/** A place before all lanes: no key is less, and priorities are small. */
const BEFORE_LANES = [-1e9, "", ""] as const;
/** Most empty lanes that `ahead` looks at; with more, its answer is too low. */
const MAX_EMPTY_LANES = 1000;

export class TaskReader {
  readonly rows: RowReader;
  readonly #given: StatementSync;
  readonly #below: StatementSync;
  readonly #above: StatementSync;
  readonly #nextLane: StatementSync;
  readonly #before: StatementSync;
  readonly #inLane: StatementSync;

  constructor(rows: RowReader) {
    this.rows = rows;
    this.#given = rows.prepare(
      `SELECT ${ROW_COLUMN_LIST} FROM tasks INDEXED BY tasks_given WHERE given = 1 AND id = ?`,
    );
    const row = `SELECT ${ROW_COLUMN_LIST} FROM tasks WHERE ord`;
    this.#below = rows.prepare(`${row} < ? ORDER BY ord DESC LIMIT 1`);
    this.#above = rows.prepare(`${row} > ? ORDER BY ord LIMIT 1`);
    const lanes = "FROM tasks INDEXED BY tasks_queue WHERE status = 0";
    this.#nextLane = rows.prepare(
      `SELECT priority, key, op ${lanes} AND (priority, key, op) > (?, ?, ?)
      ORDER BY priority, key, op LIMIT 1`,
    );
    this.#before = rows.prepare(
      `SELECT count(*) FROM (SELECT 1 ${lanes} AND priority > ? LIMIT ?)`,
    );
    this.#inLane = rows.prepare(
      `SELECT count(*) FROM
      (SELECT 1 ${lanes} AND priority = ? AND key = ? AND op = ? AND seq < ? LIMIT ?)`,
    );
  }

  find({ ids }: Ask<"find">): Answer<"find"> {
    return ids.map((id) => this.#find(id));
  }

  #find(id: string): StoredTask | null {
    const serial = serialOf(id);
    if (serial > 0) {
      const found = this.rows.byOrd(serial);
      // It can be the requested one: its id cannot be read.
      if (found !== null && isDamaged(found)) throw damageError(found);
      if (found?.id === id) return found;
      if (found === null) this.#checkBeside(serial, id);
    }
    // A client may choose an id that looks like ours.
    const row = this.#given.get(toStored(id)) as unknown as Cell[] | undefined;
    if (row === undefined) return null;
    const found = taskOf(row);
    if (isDamaged(found)) throw damageError(found);
    return found.id === id ? found : null;
  }

  /** Throws if a row beside the place is damaged: its number can be wrong, so it can be the requested one. */
  #checkBeside(serial: number, id: string): void {
    for (const statement of [this.#below, this.#above]) {
      const row = statement.get(serial) as unknown as Cell[] | undefined;
      const beside = row === undefined ? null : taskOf(row);
      if (beside === null || !isDamaged(beside)) continue;
      const message = `task ${
        JSON.stringify(id)
      } is not found where it belongs, and ${beside.message}`;
      throw damageError({ ...beside, message });
    }
  }

  lane(ask: Ask<"lane">): StoredTask[] {
    const { priority, key, op } = ask;
    const [storedKey, storedOp] = [keyToStored(key), toStored(op)];
    const behind = ([seq]: readonly Cell[]) => [priority, storedKey, storedOp, seq as number];
    return this.rows.page({
      size: ask,
      from: [ask.seq],
      steps: [{ query: LANE, behind }],
      fits: (task) =>
        task.status === 0 && task.seq > ask.seq && task.priority === priority &&
        task.key === key && task.op === op,
    });
  }

  due(ask: Ask<"due">): StoredTask[] {
    return this.rows.page({
      size: ask,
      from: [ask.runAt, ask.ord],
      steps: [
        { query: DUE_THEN, behind: ([runAt, ord]) => [runAt as number, ord as number] },
        { query: DUE_LATER, behind: ([runAt]) => [runAt as number] },
      ],
      fits: ({ status, runAt, ord }) =>
        status === 1 && (runAt > ask.runAt || (runAt === ask.runAt && ord > ask.ord)),
    });
  }

  waiting(ask: Ask<"waiting">): StoredTask[] {
    return this.rows.page({
      size: ask,
      from: [ask.ord],
      steps: [{ query: WAITING, behind: ([ord]) => [ord as number] }],
      fits: ({ status, ord }) => status === 2 && ord > ask.ord,
    });
  }

  expired(ask: Ask<"expired">): StoredTask[] {
    const behind = ([at, ord]: readonly Cell[]) => [at as number, ord as number, ask.now];
    return this.rows.page({
      size: ask,
      from: [0, 0],
      steps: [{ query: EXPIRED, behind }],
      fits: ({ status, expiresAt }) => status < 3 && expiresAt !== null && expiresAt <= ask.now,
    });
  }

  /** Every lane with queued tasks, by one step down the index for each. There are at most as many as queued tasks. */
  lanes(queued: number): LaneQuery[] {
    const lanes: LaneQuery[] = [];
    for (const [priority, key, op] of this.#lanesFrom(BEFORE_LANES)) {
      // Text that is not UTF-8 is read as other text, from which the next step can go back.
      if (lanes.length === queued) {
        throw new FaultError("damaged", "the index of the queue does not end");
      }
      lanes.push({ priority, key: keyFromStored(key), op: fromStored(op) });
    }
    return lanes;
  }

  /** The queued tasks of each op, by one walk over the index of the queue. */
  queuedOps(): [op: string, count: number][] {
    const lanes = `SELECT op, count(*) AS tasks FROM tasks INDEXED BY tasks_queue WHERE status = 0
      GROUP BY priority, key, op`;
    const ops = this.rows.prepare(`SELECT op, sum(tasks) FROM (${lanes}) GROUP BY op`);
    return (ops.all() as unknown as [string, number][]).map(([op, count]) => [
      fromStored(op),
      count,
    ]);
  }

  *#lanesFrom(from: readonly [number, string, string]): Generator<[number, string, string]> {
    let last = from;
    while (true) {
      const row = this.#nextLane.get(...last) as unknown as [number, string, string] | undefined;
      if (row === undefined) return;
      yield row;
      last = row;
    }
  }

  /** Counts lane by lane, since within one priority the index is in the order of lanes before that of `seq`. */
  ahead({ priority, seq, limit }: Ask<"ahead">): number {
    const count = (statement: StatementSync, parameters: readonly (string | number)[]) =>
      (statement.get(...parameters) as unknown as [number])[0];
    let ahead = count(this.#before, [priority, limit]);
    let empty = 0;
    for (const lane of this.#lanesFrom([priority, "", ""])) {
      if (lane[0] !== priority || ahead >= limit || empty > MAX_EMPTY_LANES) break;
      const here = count(this.#inLane, [...lane, seq, limit - ahead]);
      if (here === 0) empty++;
      ahead += here;
    }
    return ahead;
  }
}

/** Most rows that one `list` looks at: some milliseconds, in which nothing is written. */
const MAX_LOOKED_AT = 1000;
/** Statuses with an index by `ord`. The others are common: a look at the newest rows finds them. */
const INDEXED = [1, 2, 4, 5, 6];

/** The columns that a look reads. */
const SEEN = `ord, status, min(createdAt, ${Number.MAX_SAFE_INTEGER}), key, op`;
type Seen = [ord: number, status: number, createdAt: number, key: string, op: string];

const NEWEST = "ord < ? ORDER BY ord DESC";
const OLDEST = "ord > ? ORDER BY ord";

/** A look for each direction. */
interface Looks<Look> {
  readonly newest: Look;
  readonly oldest: Look;
}

/** Tasks in the order of their submission, a bounded look at a time. */
export class TaskList {
  readonly #rows: RowReader;
  readonly #all: Looks<StatementSync>;
  readonly #byStatus: Looks<ReadonlyMap<number, StatementSync>>;

  constructor(rows: RowReader) {
    this.#rows = rows;
    const all = (order: string) => rows.prepare(`SELECT ${SEEN} FROM tasks WHERE ${order} LIMIT ?`);
    const byStatus = (order: string) =>
      new Map(INDEXED.map((status) => [
        status,
        rows.prepare(
          `SELECT ${SEEN} FROM tasks INDEXED BY tasks_rare
          WHERE status = ${status} AND ${order} LIMIT ?`,
        ),
      ]));
    this.#all = { newest: all(NEWEST), oldest: all(OLDEST) };
    this.#byStatus = { newest: byStatus(NEWEST), oldest: byStatus(OLDEST) };
  }

  list(ask: Ask<"list">): Answer<"list"> {
    const { statuses, limit, maxChars, createdSince } = ask;
    const op = ask.op === null ? null : toStored(ask.op);
    const key = ask.key === null ? null : keyToStored(ask.key);
    const indexed = statuses.length > 0 && statuses.every((status) => INDEXED.includes(status));
    // If every row fits, one beyond the limit shows whether there are more.
    const every = op === null && key === null && createdSince === 0 &&
      (indexed || statuses.length === 0);
    const rows = every ? Math.min(limit + 1, MAX_LOOKED_AT) : MAX_LOOKED_AT;
    const seen = indexed ? this.#lookByStatus(ask, rows) : this.#lookAtAll(ask, rows);
    const tasks: StoredTask[] = [];
    let chars = 0;
    for (const [place, [ord, status, createdAt, itsKey, itsOp]] of seen.entries()) {
      if (tasks.length >= limit) return { tasks, next: seen[place - 1]![0] };
      if (op !== null && itsOp !== op) continue;
      if (key !== null && itsKey !== key) continue;
      if (createdAt < createdSince) continue;
      if (statuses.length > 0 && !statuses.includes(status)) continue;
      const found = this.#rows.byOrd(ord);
      if (found === null) continue;
      if (isDamaged(found)) {
        this.#rows.note(found);
        continue;
      }
      chars += found.payload.length + (found.result?.length ?? 0);
      if (chars > maxChars && tasks.length > 0) return { tasks, next: seen[place - 1]![0] };
      tasks.push(found);
    }
    return { tasks, next: seen.length < rows ? null : seen.at(-1)![0] };
  }

  #lookAtAll({ ord, oldestFirst }: Ask<"list">, rows: number): Seen[] {
    return this.#all[oldestFirst ? "oldest" : "newest"].all(
      ord,
      rows,
    ) as unknown as Cell[][] as Seen[];
  }

  #lookByStatus({ ord, statuses, oldestFirst }: Ask<"list">, rows: number): Seen[] {
    const byStatus = this.#byStatus[oldestFirst ? "oldest" : "newest"];
    const sign = oldestFirst ? 1 : -1;
    return [...new Set(statuses)]
      .flatMap((status) => byStatus.get(status)!.all(ord, rows) as unknown as Cell[][] as Seen[])
      .sort((a, b) => sign * (a[0] - b[0]))
      .slice(0, rows);
  }
}
