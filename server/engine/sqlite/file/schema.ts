/**
 * The tables and indexes of the file. To change them, append a migration from the last version to the next; never alter one
 * that was released. `user_version` is the number of migrations that were applied. A migration that adds a column of state
 * must also rewrite the sums of `stored_row.ts`, or leave the column out of them if it is null.
 */

import { ROW_COLUMNS } from "./stored_row.ts";

/** Identifies files of sd in their header: "sd_1". */
export const APPLICATION_ID = 0x73645f31;
/** Measured: with 8192 the same inserts are 10 to 20 % slower. */
export const PAGE_BYTES = 4096;

/*
 * Small columns come first: reading the state of a row never reads the pages of a long payload. A completed task without
 * options is in no index, and so costs one row.
 */
const VERSION_1 = `
CREATE TABLE tasks (
  ord INTEGER PRIMARY KEY, status INTEGER NOT NULL, seq INTEGER NOT NULL, runAt INTEGER NOT NULL,
  attempt INTEGER NOT NULL, deaths INTEGER NOT NULL, startedAt INTEGER NOT NULL,
  finishedAt INTEGER NOT NULL, dropAt INTEGER, expiresAt INTEGER, given INTEGER NOT NULL,
  priority INTEGER NOT NULL, createdAt INTEGER NOT NULL, fixedSum INTEGER NOT NULL,
  stateSum INTEGER NOT NULL, id TEXT NOT NULL, key TEXT NOT NULL, op TEXT NOT NULL,
  options TEXT, error TEXT, result TEXT, payload TEXT NOT NULL
);
CREATE UNIQUE INDEX tasks_given ON tasks (id) WHERE given = 1;
CREATE INDEX tasks_queue ON tasks (priority, key, op, seq) WHERE status = 0;
CREATE INDEX tasks_due ON tasks (runAt) WHERE status = 1;
CREATE INDEX tasks_expires ON tasks (expiresAt) WHERE expiresAt IS NOT NULL AND status < 3;
CREATE INDEX tasks_drop ON tasks (dropAt) WHERE dropAt IS NOT NULL;
CREATE INDEX tasks_rare ON tasks (status)
  WHERE status = 1 OR status = 2 OR status = 4 OR status = 5 OR status = 6;
CREATE TABLE counts (
  one INTEGER PRIMARY KEY CHECK (one = 1), queued INTEGER NOT NULL, delayed INTEGER NOT NULL,
  waiting INTEGER NOT NULL, completed INTEGER NOT NULL, failed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL, expired INTEGER NOT NULL, next INTEGER NOT NULL, sum INTEGER NOT NULL
);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
`;

/* Logs have a table of their own, so that reading tasks never reads their logs. */
const VERSION_2 = `
ALTER TABLE tasks ADD COLUMN trail TEXT;
CREATE TABLE logs (ord INTEGER PRIMARY KEY, sum INTEGER NOT NULL, log TEXT NOT NULL);
`;

/* Numbers of the outbox are never used twice. */
const VERSION_3 = `
CREATE TABLE attachments (
  ord INTEGER NOT NULL, kind INTEGER NOT NULL, sum INTEGER NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (ord, kind)
);
CREATE TABLE outbox (
  n INTEGER PRIMARY KEY AUTOINCREMENT, sum INTEGER NOT NULL, route TEXT NOT NULL, body TEXT NOT NULL
);
`;

export const MIGRATIONS: readonly string[] = [VERSION_1, VERSION_2, VERSION_3];

/** The columns of a whole row, for SELECT and INSERT. */
export const ROW_COLUMN_LIST = ROW_COLUMNS.join(", ");
