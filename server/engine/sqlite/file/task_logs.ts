/**
 * What tasks have said, in a table of its own: one row a task that said anything, with a sum (CRC-32) over
 * it. A log that is not what was written is told of and treated as none; its task is not touched by that.
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { joined, logFromText, logToText } from "../../../task/task_log.ts";
import type { RowReader } from "./row_reader.ts";

export class TaskLogs {
  readonly #rows: RowReader;
  readonly #find: StatementSync;
  readonly #put: StatementSync;
  readonly #drop: StatementSync;

  constructor(db: DatabaseSync, rows: RowReader) {
    this.#rows = rows;
    this.#find = rows.prepare("SELECT sum, log FROM logs WHERE ord = ?");
    this.#put = db.prepare(
      `INSERT INTO logs (ord, sum, log) VALUES (?, ?, ?)
      ON CONFLICT (ord) DO UPDATE SET sum = excluded.sum, log = excluded.log`,
    );
    this.#drop = db.prepare("DELETE FROM logs WHERE ord BETWEEN ? AND ?");
  }

  /** Puts `log` behind what the task said before. Inside a transaction. */
  append(ord: number, log: string): void {
    const before = this.read(ord);
    const whole = before === null ? log : logToText(joined(logFromText(before), logFromText(log)));
    this.#put.run(ord, sumOf(ord, whole), whole);
  }

  /** As it was written; `null` where there is none, or none that can be read. */
  read(ord: number): string | null {
    const row = this.#find.get(ord) as unknown as [number, string] | undefined;
    if (row === undefined) return null;
    const [sum, log] = row;
    if (sum === sumOf(ord, log)) return log;
    const message = `the log of task number ${ord} is damaged: it is not what was written`;
    this.#rows.tell({ ord, id: null, message });
    return null;
  }

  /** Drops those of the tasks from number `first` to number `last`. Inside a transaction. */
  drop(first: number, last: number): void {
    this.#drop.run(first, last);
  }
}

function sumOf(ord: number, log: string): number {
  return crc32(`${ord}\0${log}`);
}
