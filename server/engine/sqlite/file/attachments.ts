/**
 * Rows of tasks beside their own: one for each task and kind, with a sum (CRC-32) over it. Reading tasks never reads them.
 * An attachment that is not what was written is reported and treated as missing; its task is not affected. Logs have a table
 * of their own, which is older than the other kinds.
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { appended, ATTACHMENT_KINDS, LOG_KIND } from "../../journaled/task_store.ts";
import { fromStored, toStored } from "../../journaled/stored_text.ts";
import type { RowReader } from "./row_reader.ts";

export class TaskAttachments {
  readonly #rows: RowReader;
  readonly #findLog: StatementSync;
  readonly #putLog: StatementSync;
  readonly #find: StatementSync;
  readonly #put: StatementSync;
  readonly #drops: readonly StatementSync[];

  constructor(db: DatabaseSync, rows: RowReader) {
    this.#rows = rows;
    this.#findLog = rows.prepare("SELECT sum, log FROM logs WHERE ord = ?");
    this.#putLog = db.prepare(
      `INSERT INTO logs (ord, sum, log) VALUES (?, ?, ?)
      ON CONFLICT (ord) DO UPDATE SET sum = excluded.sum, log = excluded.log`,
    );
    this.#find = rows.prepare("SELECT sum, text FROM attachments WHERE ord = ? AND kind = ?");
    this.#put = db.prepare(
      `INSERT INTO attachments (ord, kind, sum, text) VALUES (?, ?, ?, ?)
      ON CONFLICT (ord, kind) DO UPDATE SET sum = excluded.sum, text = excluded.text`,
    );
    this.#drops = ["logs", "attachments"].map((table) =>
      db.prepare(`DELETE FROM ${table} WHERE ord BETWEEN ? AND ?`)
    );
  }

  /** Adds `text` to the attachment of the task. Inside a transaction. */
  append(ord: number, kind: number, text: string): void {
    const whole = appended(kind, this.read(ord, kind), text);
    // The text of a log has no character that would not survive.
    if (kind === LOG_KIND) this.#putLog.run(ord, sumOf([ord, whole]), whole);
    else this.#put.run(ord, kind, sumOf([ord, kind, whole]), toStored(whole));
  }

  /** The attachment as it was written; `null` if it is missing or cannot be read. */
  read(ord: number, kind: number): string | null {
    const isLog = kind === LOG_KIND;
    const row = isLog ? this.#findLog.get(ord) : this.#find.get(ord, kind);
    if (row === undefined) return null;
    const [sum, stored] = row as unknown as [number, string];
    const text = isLog ? stored : fromStored(stored);
    if (sum === sumOf(isLog ? [ord, text] : [ord, kind, text])) return text;
    const name = ATTACHMENT_KINDS[kind] ?? `attachment (kind ${kind})`;
    const message = `the ${name} of task number ${ord} is damaged: it is not what was written`;
    this.#rows.note({ ord, id: null, message });
    return null;
  }

  /** Drops all attachments of the tasks from number `first` to number `last`. Inside a transaction. */
  drop(first: number, last: number): void {
    for (const drop of this.#drops) drop.run(first, last);
  }
}

function sumOf(cells: readonly (string | number)[]): number {
  return crc32(cells.join("\0"));
}
