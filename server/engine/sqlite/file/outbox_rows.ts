/**
 * The outbox in the file: ends of tasks that wait to be published, each with a sum (CRC-32) over it. A row that is not what
 * was written is reported and left out; it stays in the file.
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import type { TaskCalls } from "../../journaled/task_store.ts";
import { fromStored, toStored } from "../../journaled/stored_text.ts";
import type { OutboxRow } from "../../outbox.ts";
import type { RowReader } from "./row_reader.ts";

export class OutboxRows {
  readonly #rows: RowReader;
  readonly #add: StatementSync;
  readonly #drop: StatementSync;
  readonly #sizes: StatementSync;
  readonly #find: StatementSync;

  constructor(db: DatabaseSync, rows: RowReader) {
    this.#rows = rows;
    this.#add = db.prepare("INSERT INTO outbox (sum, route, body) VALUES (?, ?, ?)");
    this.#drop = db.prepare("DELETE FROM outbox WHERE n = ?");
    this.#sizes = rows.prepare(
      `SELECT n, octet_length(route) + octet_length(body) FROM outbox WHERE n > ?
      ORDER BY n LIMIT ?`,
    );
    this.#find = rows.prepare("SELECT sum, route, body FROM outbox WHERE n = ?");
  }

  /** Inside a transaction. */
  add(route: string, body: string): void {
    this.#add.run(sumOf(route, body), toStored(route), toStored(body));
  }

  /** Inside a transaction. */
  drop(n: number): void {
    this.#drop.run(n);
  }

  read({ after, limit, maxChars }: TaskCalls["outbox"]["ask"]): OutboxRow[] {
    const read: OutboxRow[] = [];
    let chars = 0;
    // A page without rows would say that there are no more.
    for (let place = after; read.length === 0;) {
      const found = this.#sizes.all(place, limit) as unknown as [n: number, size: number][];
      if (found.length === 0) break;
      for (const [n, size] of found) {
        place = n;
        chars += size;
        if (read.length > 0 && chars > maxChars) break;
        const row = this.#row(n);
        if (row) read.push(row);
      }
    }
    return read;
  }

  #row(n: number): OutboxRow | undefined {
    const [sum, ...texts] = this.#find.get(n) as unknown as [number, string, string];
    const [route = "", body = ""] = texts.map(fromStored);
    if (sum === sumOf(route, body)) return { n, route, body };
    const message =
      `row ${n} of the outbox is damaged, and is not published: it is not what was written`;
    // No task has a number below 0, so this names no task.
    this.#rows.note({ ord: -n, id: null, message });
    return undefined;
  }
}

function sumOf(route: string, body: string): number {
  return crc32(`${route}\0${body}`);
}
