/**
 * The open file of a store: answers one request after the other, each from one state of the file. A request that
 * fails leaves no transaction open and nothing of itself behind.
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { refusal, RESTORE } from "./file_check.ts";
import { CHECKPOINT_PAGES, connect, openFile, type OpenFileOptions } from "./open_file.ts";
import { RowReader } from "./row_reader.ts";
import { FaultError, faultOf } from "./sqlite_fault.ts";
import type { DamagedRow, Opened, StoreCall, StoreCalls } from "./store_message.ts";
import { fromStored } from "./stored_text.ts";
import { TaskCounts } from "./task_counts.ts";
import { TaskList } from "./task_list.ts";
import { TaskLogs } from "./task_logs.ts";
import { TaskReader } from "./task_reader.ts";
import { TaskSweeper } from "./task_sweeper.ts";
import { TaskWriter } from "./task_writer.ts";
import { readAt } from "./wal_check.ts";

/** All that belongs to one connection. */
interface Session {
  readonly db: DatabaseSync;
  readonly counts: TaskCounts;
  readonly rows: RowReader;
  readonly logs: TaskLogs;
  readonly writer: TaskWriter;
  readonly reader: TaskReader;
  readonly list: TaskList;
  readonly sweeper: TaskSweeper;
  readonly begin: StatementSync;
  readonly commit: StatementSync;
}

type Answers = { [C in StoreCall]: (ask: StoreCalls[C]["ask"]) => StoreCalls[C]["answer"] };

export class TaskFile {
  readonly opened: Opened;
  readonly #path: string;
  readonly #durability: OpenFileOptions["durability"];
  readonly #raw: Deno.FsFile;
  #session: Session;
  /** The main file is being copied. */
  #copying = false;

  readonly #answers: Answers = {
    write: (ask) => this.#change(() => (this.#session.writer.write(ask), null)),
    find: (ask) => this.#session.reader.find(ask),
    logs: ({ ords }) => ords.map((ord) => this.#session.logs.read(ord)),
    lane: (ask) => this.#session.reader.lane(ask),
    due: (ask) => this.#session.reader.due(ask),
    waiting: (ask) => this.#session.reader.waiting(ask),
    expired: (ask) => this.#session.reader.expired(ask),
    list: (ask) => this.#session.list.list(ask),
    ahead: (ask) => this.#session.reader.ahead(ask),
    sweep: (ask) => {
      const swept = this.#change(() => this.#session.sweeper.sweep(ask));
      this.#session.sweeper.giveBack();
      return swept;
    },
    backupBegin: () => this.#backupBegin(),
    backupRead: ({ at, bytes }) => {
      if (!this.#copying) throw new FaultError("io", "the backup was broken off; begin it again");
      return readAt(this.#raw, at, bytes);
    },
    backupEnd: () => this.#backupEnd(),
    close: () => (this.close(), null),
  };

  /** Throws a `ClientError` where a person must do something first. */
  constructor(options: OpenFileOptions) {
    const { db, raw } = openFile(options);
    this.#path = options.path;
    this.#durability = options.durability;
    this.#raw = raw;
    try {
      this.#session = openSession(db, options.path);
      this.opened = readOpened(this.#session);
    } catch (error) {
      db.close();
      raw.close();
      const { fault, message } = faultOf(error);
      if (fault !== "damaged") throw error;
      throw refusal(`cannot open ${options.path}: it is damaged: ${message}`, RESTORE, error);
    }
  }

  answer<C extends StoreCall>(call: C, ask: StoreCalls[C]["ask"]): StoreCalls[C]["answer"] {
    return this.#answers[call](ask);
  }

  /** Rows that were left out of answers since the last call. */
  takeDamaged(): DamagedRow[] {
    return this.#session.rows.takeDamaged();
  }

  /** Twice is once. */
  close(): void {
    if (!this.#session.db.isOpen) return;
    this.#session.db.close();
    this.#raw.close();
  }

  #change<Answer>(change: () => Answer): Answer {
    const { db, counts, begin, commit } = this.#session;
    const before = counts.held();
    begin.run();
    try {
      const answer = change();
      commit.run();
      return answer;
    } catch (error) {
      counts.restore(before);
      this.#rollBack(db, error);
      throw error;
    }
  }

  /**
   * The connection goes on after that: what the failed commit left in the log is behind the log's end, and the next
   * commit overwrites it. A new connection would read the log anew, and might find that commit whole.
   */
  #rollBack(db: DatabaseSync, cause: unknown): void {
    try {
      // SQLite has rolled back by itself after some errors.
      if (db.isTransaction) db.exec("ROLLBACK");
    } catch (error) {
      this.#reconnect(new AggregateError([cause, error], "cannot roll back"));
    }
  }

  /** The last resort: a connection that cannot even roll back. */
  #reconnect(cause: unknown): void {
    this.#copying = false;
    this.#session.db.close();
    try {
      this.#session = openSession(connect(this.#path, this.#durability), this.#path);
    } catch (error) {
      throw new FaultError("io", `cannot open ${this.#path} again: ${(error as Error).message}`, {
        cause: new AggregateError([cause, error]),
      });
    }
  }

  #backupBegin(): StoreCalls["backupBegin"]["answer"] {
    const { db } = this.#session;
    db.exec("PRAGMA wal_autocheckpoint = 0");
    try {
      const row = db.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get();
      if (row?.busy !== 0) {
        throw new FaultError("io", `the log of ${this.#path} cannot be moved into it now`);
      }
    } catch (error) {
      this.#backupEnd();
      throw error;
    }
    this.#copying = true;
    return { path: this.#path, bytes: this.#raw.statSync().size };
  }

  #backupEnd(): null {
    this.#copying = false;
    this.#session.db.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    return null;
  }
}

function openSession(db: DatabaseSync, path: string): Session {
  const counts = new TaskCounts(db);
  counts.load(db, path);
  const rows = new RowReader(db);
  const logs = new TaskLogs(db, rows);
  return {
    db,
    counts,
    rows,
    logs,
    writer: new TaskWriter(db, { counts, logs }),
    reader: new TaskReader(rows),
    list: new TaskList(rows),
    sweeper: new TaskSweeper(db, { rows, counts, logs }),
    begin: db.prepare("BEGIN IMMEDIATE"),
    commit: db.prepare("COMMIT"),
  };
}

function readOpened({ rows, counts, reader }: Session): Opened {
  const settings = rows.prepare("SELECT name, value FROM settings").all() as unknown as string[][];
  return {
    counts: [...counts.byStatus],
    next: counts.next,
    lanes: reader.lanes(counts.byStatus[0] as number),
    queuedOps: reader.queuedOps(),
    settings: settings.map(([name, value]) => [fromStored(name!), fromStored(value!)]),
  };
}
