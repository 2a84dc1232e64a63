/**
 * The open file of a store: answers one request after the other, each from one state of the file. A request that fails
 * leaves no open transaction, and nothing in the file or in the log. If that is not certain, its error says so
 * (`isUncut`), and nothing is written until it is.
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { refusal, RESTORE } from "./file_check.ts";
import { closeUnmoved, FileGuard, identityOf, markAfter, markOf, setMark } from "./file_guard.ts";
import { TaskAttachments } from "./attachments.ts";
import { LogFile } from "./log_file.ts";
import { MainCopy } from "./main_copy.ts";
import { CACHE_KIB, openConnection, openFile, type OpenFileOptions } from "./open_file.ts";
import { PAGE_BYTES } from "./schema.ts";
import { OutboxRows } from "./outbox_rows.ts";
import { RowReader } from "./row_reader.ts";
import { FaultError, faultOf } from "./sqlite_fault.ts";
import type { DamagedRow, StoreCall, StoreCalls } from "./store_message.ts";
import type { Opened } from "../../journaled/task_store.ts";
import { fromStored } from "../../journaled/stored_text.ts";
import { TaskCounts } from "./task_counts.ts";
import { TaskList, TaskReader } from "./task_reader.ts";
import { TaskWriter } from "./task_writer.ts";
import { TaskSweeper } from "./task_sweeper.ts";

/**
 * Pages in the log at which it is moved to the main file, between two requests. Measured: 4000 are no faster, and the
 * longest wait is then 17 to 27 ms instead of 10 to 16.
 */
const CHECKPOINT_PAGES = 2000;
/** Time until a failed move or start is tried again, in ms. */
const MOVE_AGAIN_MS = 1000;
/** Size of the log during a backup, in bytes, at which the unread rest of the file is set aside. */
const MAX_LOG_BYTES_IN_BACKUP = 64 * 1024 * 1024;

/** Everything that belongs to one connection. */
interface Session {
  readonly db: DatabaseSync;
  readonly counts: TaskCounts;
  readonly rows: RowReader;
  readonly attachments: TaskAttachments;
  readonly outbox: OutboxRows;
  readonly writer: TaskWriter;
  readonly reader: TaskReader;
  readonly list: TaskList;
  readonly sweeper: TaskSweeper;
  readonly begin: StatementSync;
  readonly commit: StatementSync;
}

type Answers = { [C in StoreCall]: (ask: StoreCalls[C]["ask"]) => StoreCalls[C]["answer"] };

/** Options of a file; some are for tests only. */
export interface TaskFileOptions extends OpenFileOptions {
  readonly maxLogBytesInBackup?: number;
}

export class TaskFile {
  readonly opened: Opened;
  readonly #path: string;
  readonly #durability: OpenFileOptions["durability"];
  readonly #maxLogBytes: number;
  readonly #raw: Deno.FsFile;
  readonly #guard: FileGuard;
  #session: Session;
  #log: LogFile;
  /** The mark of the current log. */
  #mark = 0;
  #hasBegun = false;
  /**
   * All commits are in the main file, so the next one begins a new log. After a crash this is not true before the first
   * commit, but that one begins with a new mark as well.
   */
  #isMoved = true;
  /** The end of the log was looked up after the last commit. */
  #isNoted = true;
  /** The remains of a failed commit are still in the log. */
  #isUncut = false;
  #moveAgainAt = -Infinity;
  #copy: MainCopy | undefined;
  /** Rows that sweeps must not drop. */
  #held: ReadonlySet<number> = new Set();
  #notes: string[] = [];

  readonly #answers: Answers = {
    write: (ask) => this.#change(() => (this.#session.writer.write(ask), null)),
    cut: () => (this.#cut(), null),
    find: (ask) => this.#session.reader.find(ask),
    attachments: ({ ords, kind }) => ords.map((ord) => this.#session.attachments.read(ord, kind)),
    outbox: (ask) => this.#session.outbox.read(ask),
    lane: (ask) => this.#session.reader.lane(ask),
    due: (ask) => this.#session.reader.due(ask),
    waiting: (ask) => this.#session.reader.waiting(ask),
    expired: (ask) => this.#session.reader.expired(ask),
    list: (ask) => this.#session.list.list(ask),
    ahead: (ask) => this.#session.reader.ahead(ask),
    sweep: (ask) => {
      if (ask.held) this.#held = new Set(ask.held);
      const swept = this.#change(() => this.#session.sweeper.sweep(ask, this.#held));
      this.#giveBack();
      return swept;
    },
    backupBegin: () => this.#backupBegin(),
    backupRead: ({ at, bytes }) => {
      if (this.#copy) return this.#copy.read(at, bytes);
      throw new FaultError("io", "the backup was broken off; begin it again");
    },
    backupEnd: () => this.#backupEnd(),
    close: () => (this.close(), null),
  };

  /** Throws a `ClientError` if a person must do something first. */
  constructor(options: TaskFileOptions) {
    const { path, db, raw } = openFile(options);
    this.#path = path;
    this.#durability = options.durability;
    this.#maxLogBytes = options.maxLogBytesInBackup ?? MAX_LOG_BYTES_IN_BACKUP;
    this.#raw = raw;
    this.#guard = new FileGuard({ path, raw });
    let log: LogFile | undefined;
    try {
      this.#session = openSession(db, path);
      this.opened = readOpened(this.#session);
      this.#log = log = openLog(path);
      this.#mark = markOf(db);
      this.#guard.begin([this.#mark, markAfter(this.#mark)]);
    } catch (error) {
      log?.close();
      db.close();
      raw.close();
      const { fault, message } = faultOf(error);
      if (fault !== "damaged") throw error;
      throw refusal(`cannot open ${path}: it is damaged: ${message}`, RESTORE, error);
    }
  }

  answer<C extends StoreCall>(call: C, ask: StoreCalls[C]["ask"]): StoreCalls[C]["answer"] {
    if (!this.#session.db.isOpen && call !== "close") this.#openAgain();
    return this.#answers[call](ask);
  }

  /** Called after each answer: moves the log, or sets aside the unread rest of a backup. Never throws. */
  tidy(): void {
    if (!this.#session.db.isOpen) return;
    if (!this.#hasBegun && performance.now() < this.#moveAgainAt) return;
    try {
      this.#begin();
      this.#noteEnd();
      if (!this.#copy) return this.#moveIfLong();
      if (this.#log.bytes > this.#maxLogBytes) this.#copy.saveSlice();
      if (!this.#copy.holdsMain) this.#moveIfLong();
    } catch (error) {
      // The next commit tries it again, and fails if that fails.
      const { fault, message } = faultOf(error);
      const isNew = !this.#hasBegun && this.#moveAgainAt === -Infinity;
      if (fault === "bug" || isNew) this.#notes.push(message);
      if (!this.#hasBegun) this.#moveAgainAt = performance.now() + MOVE_AGAIN_MS;
    }
  }

  /** The rows that were left out of answers since the last call. */
  takeDamaged(): DamagedRow[] {
    return this.#session.rows.takeDamaged();
  }

  /** Sentences for the log, since the last call. */
  takeNotes(): string[] {
    if (this.#notes.length === 0) return this.#notes;
    return this.#notes.splice(0);
  }

  /** Twice is once. */
  close(): void {
    const { db } = this.#session;
    if (!db.isOpen) return;
    this.#copy?.close();
    if (this.#isUncut) this.#tryCut();
    if (this.#guard.isOverwritten) closeUnmoved(db, this.#path);
    else db.close();
    this.#log.close();
    this.#raw.close();
  }

  /**
   * Gives the file a mark that no copy of it has, and empties the log, before the first commit of a server. The constructor
   * does not do it, since it waits for the disk several times, and reads need not wait for that.
   */
  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    try {
      this.#log.cut();
      this.#change(() => null);
    } catch (error) {
      this.#hasBegun = false;
      throw error;
    }
    this.#moveNow("TRUNCATE");
  }

  #change<Answer>(change: () => Answer): Answer {
    this.#makeReady();
    const { db, counts, begin, commit } = this.#session;
    const before = counts.held();
    const mark = this.#isMoved ? markAfter(this.#mark) : this.#mark;
    begin.run();
    let answer: Answer;
    try {
      if (mark !== this.#mark) setMark(db, mark, CACHE_KIB);
      answer = change();
      commit.run();
    } catch (error) {
      counts.restore(before);
      this.#isUncut = true;
      this.#rollBack(db, error);
      this.#tryCut();
      if (!this.#isUncut) throw error;
      const { fault, message } = faultOf(error);
      throw new FaultError(fault, message, { cause: error, isUncut: true });
    }
    this.#isNoted = false;
    this.#mark = mark;
    this.#isMoved = false;
    return answer;
  }

  /** Gives room back to the system after a sweep. If it fails, the sweep is still committed. */
  #giveBack(): void {
    const { sweeper } = this.#session;
    try {
      if (sweeper.hasRoomToGive) this.#change(() => sweeper.giveBack());
    } catch (error) {
      this.#notes.push(`room in ${this.#path} cannot be given back: ${faultOf(error).message}`);
    }
  }

  /** Makes certain, before a commit, that the end of the log is known and that the file has its name. */
  #makeReady(): void {
    this.#begin();
    this.#cut();
    this.#noteEnd();
    if (this.#guard.check(this.#log) === "no log") this.#renewLog();
  }

  #noteEnd(): void {
    if (this.#isNoted || this.#isUncut) return;
    this.#log.note();
    this.#isNoted = true;
  }

  #cut(): void {
    if (!this.#isUncut) return;
    this.#log.cut();
    this.#isUncut = false;
  }

  #tryCut(): void {
    try {
      this.#cut();
    } catch {
      // `isUncut` stays true, and the error of the caller says so.
    }
  }

  #moveIfLong(): void {
    if (this.#isMoved || this.#isUncut || this.#log.frames < CHECKPOINT_PAGES) return;
    if (performance.now() < this.#moveAgainAt) return;
    if (this.#guard.check(this.#log) === "whole") this.#moveNow("PASSIVE");
  }

  /** Moves the log; if that fails, again later: the log grows until then. */
  #moveNow(how: "PASSIVE" | "TRUNCATE"): void {
    try {
      this.#move(how);
      this.#moveAgainAt = -Infinity;
    } catch (error) {
      if (this.#moveAgainAt === -Infinity) {
        this.#notes.push(
          `the log ${this.#log.path} cannot be moved into its file, and grows: ` +
            faultOf(error).message,
        );
      }
      this.#moveAgainAt = performance.now() + MOVE_AGAIN_MS;
    }
  }

  /** Moves all commits into the main file. */
  #move(how: "PASSIVE" | "TRUNCATE"): void {
    const { db } = this.#session;
    const before = this.#mark;
    const row = db.prepare(`PRAGMA wal_checkpoint(${how})`).get();
    if (row?.busy !== 0 || row.log !== row.checkpointed) {
      throw new FaultError("io", `the log of ${this.#path} cannot be moved into it now`);
    }
    this.#guard.moved([before, markAfter(before)]);
    this.#isMoved = true;
    this.#isNoted = false;
    this.#noteEnd();
  }

  /**
   * Rolls back and keeps the connection: its next commit begins at the end of the log. A new connection would read the log
   * again, and play back a failed commit that was not cut off.
   */
  #rollBack(db: DatabaseSync, cause: unknown): void {
    try {
      // SQLite rolls back by itself after some errors.
      if (db.isTransaction) db.exec("ROLLBACK");
    } catch (error) {
      // The last resort: a connection that cannot even roll back.
      this.#backupEnd();
      db.close();
      this.#openAgain(new AggregateError([cause, error], "cannot roll back"));
    }
  }

  /** Makes a removed log again, after its commits were moved into the main file. */
  #renewLog(): void {
    this.#backupEnd();
    this.#move("TRUNCATE");
    this.#session.db.close();
    this.#openAgain();
    this.#notes.push(`${this.#log.path} was removed while the server uses it; it was made again`);
  }

  /** Opens a new connection, once the log is cut: SQLite plays it back. */
  #openAgain(cause?: unknown): void {
    try {
      this.#cut();
      const db = openConnection(this.#path, this.#durability);
      try {
        const session = openSession(db, this.#path);
        const log = openLog(this.#path);
        this.#log.close();
        this.#session = session;
        this.#log = log;
      } catch (error) {
        db.close();
        throw error;
      }
      this.#mark = markOf(db);
      this.#isMoved = true;
      this.#isNoted = true;
    } catch (error) {
      throw new FaultError("io", `cannot open ${this.#path} again: ${(error as Error).message}`, {
        cause: new AggregateError([cause, error]),
      });
    }
  }

  #backupBegin(): StoreCalls["backupBegin"]["answer"] {
    this.#cut();
    this.#guard.checkContent();
    this.#move("TRUNCATE");
    this.#copy = new MainCopy({ raw: this.#raw, path: this.#path });
    const files = [this.#raw.statSync(), this.#log.stat()].flatMap(identityOf);
    return { path: this.#path, bytes: this.#copy.bytes, files };
  }

  #backupEnd(): null {
    this.#copy?.close();
    this.#copy = undefined;
    return null;
  }
}

function openLog(path: string): LogFile {
  return new LogFile({ path: `${path}-wal`, pageBytes: PAGE_BYTES });
}

function openSession(db: DatabaseSync, path: string): Session {
  const counts = new TaskCounts(db);
  counts.load(db, path);
  const rows = new RowReader(db);
  const attachments = new TaskAttachments(db, rows);
  const outbox = new OutboxRows(db, rows);
  const parts = { counts, rows, attachments, outbox };
  return {
    db,
    ...parts,
    writer: new TaskWriter(db, parts),
    reader: new TaskReader(rows),
    list: new TaskList(rows),
    sweeper: new TaskSweeper(db, parts),
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
