/**
 * Counts the tasks of a PostgreSQL engine when it is opened, in the background: with millions of tasks that takes seconds.
 * All counts are of one moment, before any write of this lead.
 */

import { fromStored } from "../journaled/stored_text.ts";
import { type StoreCounts, STORED_STATUSES } from "../journaled/task_store.ts";
import type { PgSession } from "./connection.ts";
import { named } from "./schema.ts";

/** Longest count, in ms. */
const DEADLINE_MS = 600_000;

export interface CountedTasks extends StoreCounts {
  /** The number of tasks in each slice that has any. */
  readonly slices: ReadonlyMap<number, number>;
}

export interface Counting {
  /** Resolves when later writes no longer change the counts. */
  readonly begun: Promise<void>;
  readonly counts: Promise<CountedTasks>;
}

/** Nothing else can be asked of `session` meanwhile. */
export function countTasks(session: Pick<PgSession, "query">, schema: string): Counting {
  const task = named(schema, "task");
  const ask = (text: string) =>
    session.query<readonly (string | number)[]>({ text, array: true, deadlineMs: DEADLINE_MS });
  // All are sent at once, so none of them can come by another connection, outside of the transaction.
  const started = Promise.all([
    ask("begin isolation level repeatable read read only"),
    ask("set local enable_seqscan = on"),
    ask("set local statement_timeout = 0"),
    ask(`select ord from ${task} limit 1`),
  ]);
  const bySlice = ask(`select c.relname, t.status, t.n from
    (select tableoid as slice, status, count(*) as n from ${task} group by 1, 2) t
    join pg_class c on c.oid = t.slice`);
  const byOp = ask(`select op, count(*) from ${task} where status = 0 group by op`);
  const ended = ask("commit");
  const counts = Promise.all([bySlice, byOp, started, ended]).then(([rows, ops]) => {
    const byStatus = STORED_STATUSES.map(() => 0);
    const slices = new Map<number, number>();
    for (const [table, status, count] of rows as [string, number, number][]) {
      byStatus[status]! += count;
      const slice = Number(table.slice("task_".length));
      if (table !== "task") slices.set(slice, (slices.get(slice) ?? 0) + count);
    }
    const queuedOps = (ops as [string, number][])
      .map(([op, count]) => [fromStored(op), count] as const);
    return { counts: byStatus, queuedOps, slices };
  });
  counts.catch(() => {});
  return { begun: started.then(() => {}), counts };
}
