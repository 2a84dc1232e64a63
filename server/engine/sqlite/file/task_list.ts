/** Tasks in the order of their submission, a bounded look at a time: what `list` is made of. */

import type { StatementSync } from "node:sqlite";
import type { RowReader } from "./row_reader.ts";
import type { StoreCalls } from "./store_message.ts";
import type { Cell, StoredTask } from "../../journaled/task_store.ts";
import { isDamaged } from "./stored_row.ts";
import { keyToStored, toStored } from "./stored_text.ts";

/** Rows that one request looks at, at most, for those that fit: some milliseconds, in which nothing is written. */
export const MAX_LOOKED_AT = 1000;
/** Statuses that have an index by `ord`. The others are common: a look at the newest rows finds them. */
const INDEXED = [1, 2, 4, 5, 6];

type Ask = StoreCalls["list"]["ask"];
/** The columns that a look takes in. */
const SEEN = `ord, status, min(createdAt, ${Number.MAX_SAFE_INTEGER}), key, op`;
type Seen = [ord: number, status: number, createdAt: number, key: string, op: string];

const NEWEST = "ord < ? ORDER BY ord DESC";
const OLDEST = "ord > ? ORDER BY ord";

/** One for each direction. */
interface Looks<Look> {
  readonly newest: Look;
  readonly oldest: Look;
}

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

  list(ask: Ask): StoreCalls["list"]["answer"] {
    const { statuses, limit, maxChars, createdSince } = ask;
    const op = ask.op === null ? null : toStored(ask.op);
    const key = ask.key === null ? null : keyToStored(ask.key);
    const indexed = statuses.length > 0 && statuses.every((status) => INDEXED.includes(status));
    // Where every row fits, one beyond the limit says whether there are more.
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
        this.#rows.tell(found);
        continue;
      }
      chars += found.payload.length + (found.result?.length ?? 0);
      if (chars > maxChars && tasks.length > 0) return { tasks, next: seen[place - 1]![0] };
      tasks.push(found);
    }
    return { tasks, next: seen.length < rows ? null : seen.at(-1)![0] };
  }

  #lookAtAll({ ord, oldestFirst }: Ask, rows: number): Seen[] {
    return this.#all[oldestFirst ? "oldest" : "newest"].all(
      ord,
      rows,
    ) as unknown as Cell[][] as Seen[];
  }

  #lookByStatus({ ord, statuses, oldestFirst }: Ask, rows: number): Seen[] {
    const byStatus = this.#byStatus[oldestFirst ? "oldest" : "newest"];
    const sign = oldestFirst ? 1 : -1;
    return [...new Set(statuses)]
      .flatMap((status) => byStatus.get(status)!.all(ord, rows) as unknown as Cell[][] as Seen[])
      .sort((a, b) => sign * (a[0] - b[0]))
      .slice(0, rows);
  }
}
