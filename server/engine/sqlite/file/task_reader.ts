/** Answers what the engine wants to know of stored tasks; see `StoreCalls`. */

import type { StatementSync } from "node:sqlite";
import { serialOf } from "../../../task/task_id.ts";
import { type PageQuery, RowReader } from "./row_reader.ts";
import { ROW_COLUMN_LIST } from "./schema.ts";
import { damageError, FaultError } from "./sqlite_fault.ts";
import type { StoreCalls } from "./store_message.ts";
import type { Cell, LaneQuery, StoredTask } from "../../journaled/task_store.ts";
import { isDamaged, taskOf } from "./stored_row.ts";
import { fromStored, keyFromStored, keyToStored, toStored } from "./stored_text.ts";

type Ask<C extends keyof StoreCalls> = StoreCalls[C]["ask"];
type Answer<C extends keyof StoreCalls> = StoreCalls[C]["answer"];

const LANE: PageQuery = {
  sql: `FROM tasks INDEXED BY tasks_queue WHERE status = 0 AND priority = ? AND key = ? AND op = ?
    AND seq > ? ORDER BY seq LIMIT ?`,
  place: ["seq"],
};
/*
 * Two steps, since SQLite looks up pairs by their first half only: of many tasks delayed to one moment, each page
 * would pass over all those before it.
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

/** A lane before all others: no key is less, and priorities are small. */
const BEFORE_LANES = [-1e9, "", ""] as const;
/** Lanes that `ahead` looks at beyond its limit; more make its answer too low. */
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
      // It may be the one that was asked for: that is not known any more.
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

  /** A row whose number is damaged stands where the search ended: then nobody can say that there was none. */
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

  /** Every lane with queued tasks, at most one for each of them: one step down the index for each. */
  lanes(queued: number): LaneQuery[] {
    const lanes: LaneQuery[] = [];
    for (const [priority, key, op] of this.#lanesFrom(BEFORE_LANES)) {
      // Text that is no UTF-8 is read as other text, from which the next step may go back.
      if (lanes.length === queued) {
        throw new FaultError("damaged", "the index of the queue does not end");
      }
      lanes.push({ priority, key: keyFromStored(key), op: fromStored(op) });
    }
    return lanes;
  }

  /** One walk over the index of the queue, like the count of it when a file is opened. */
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

  /** Lane by lane, since within one priority the index goes by lane before it goes by `seq`. */
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
