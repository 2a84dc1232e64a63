/**
 * The number of tasks in each status, and the number of the next task. They are one row of the file, which is committed
 * with the tasks themselves, and are compared with the indexes when a file is opened.
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { prepareArrays } from "./row_reader.ts";
import { refusal, RESTORE } from "./file_check.ts";
import { type Cell, STORED_STATUSES } from "../../journaled/task_store.ts";

const QUEUED = 0;
const DELAYED = 1;
/** The lowest index of a final status in `STORED_STATUSES`. */
export const FIRST_FINAL = 3;

interface Held {
  readonly byStatus: readonly number[];
  readonly next: number;
}

export class TaskCounts {
  byStatus: number[] = STORED_STATUSES.map(() => 0);
  /** Larger than any `ord` and any `seq` ever stored. */
  next = 1;
  readonly #save: StatementSync;

  constructor(db: DatabaseSync) {
    this.#save = db.prepare(
      `INSERT INTO counts (one, ${STORED_STATUSES.join(", ")}, next, sum)
      VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET
      ${
        [...STORED_STATUSES, "next", "sum"].map((name) => `${name} = excluded.${name}`).join(", ")
      }`,
    );
  }

  /** Writes the row, inside the transaction that changed the counts. */
  save(): void {
    this.#save.run(...this.byStatus, this.next, sumOf(this.byStatus, this.next));
  }

  held(): Held {
    return { byStatus: [...this.byStatus], next: this.next };
  }

  /** Resets the counts, after the transaction was rolled back. */
  restore({ byStatus, next }: Held): void {
    this.byStatus = [...byStatus];
    this.next = next;
  }

  get final(): number {
    return this.byStatus.slice(FIRST_FINAL).reduce((sum, count) => sum + count, 0);
  }

  get all(): number {
    return this.byStatus.reduce((sum, count) => sum + count, 0);
  }

  saw(number: number): void {
    if (number >= this.next) this.next = number + 1;
  }

  /** Reads the row, and refuses the file at `path` if its indexes contradict the row. */
  load(db: DatabaseSync, path: string): void {
    const names = [...STORED_STATUSES, "next", "sum"].join(", ");
    const row = prepareArrays(db, `SELECT ${names} FROM counts`).get() as unknown as
      | number[]
      | undefined;
    // A new file has no row yet, and no tasks.
    const byStatus = row?.slice(0, STORED_STATUSES.length) ?? this.byStatus;
    const next = row?.[STORED_STATUSES.length] ?? 1;
    const sum = row === undefined ? sumOf(byStatus, next) : row.at(-1);
    const wrong = sum !== sumOf(byStatus, next)
      ? "its counts are not what was written"
      : unlike(db, { byStatus, next });
    if (wrong !== null) throw refusal(`cannot open ${path}: it is damaged: ${wrong}`, RESTORE);
    this.restore({ byStatus, next });
  }
}

function sumOf(byStatus: readonly number[], next: number): number {
  return crc32([...byStatus, next].join());
}

/** How the indexes or the newest row contradict the counts; `null` if they do not. */
function unlike(db: DatabaseSync, { byStatus, next }: Held): string | null {
  const one = (sql: string) => (prepareArrays(db, sql).get() as unknown as [Cell])[0];
  const counted = new Map<number, Cell>([
    [QUEUED, one("SELECT count(*) FROM tasks INDEXED BY tasks_queue WHERE status = 0")],
    [DELAYED, one("SELECT count(*) FROM tasks INDEXED BY tasks_due WHERE status = 1")],
    ...[2, 4, 5, 6].map((status) =>
      [
        status,
        one(`SELECT count(*) FROM tasks INDEXED BY tasks_rare WHERE status = ${status}`),
      ] as const
    ),
  ]);
  for (const [status, count] of counted) {
    if (count === byStatus[status]) continue;
    return `${byStatus[status]} tasks are ${STORED_STATUSES[status]}, but its index has ${count}`;
  }
  const newest = one("SELECT max(ord) FROM tasks");
  if (newest !== null && !((newest as number) < next)) {
    return `its newest task is number ${newest}, though the next one would be ${next}`;
  }
  return null;
}
