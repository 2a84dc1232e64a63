/**
 * Checks a file before SQLite opens it. Refuses files that SQLite would take for an empty or a shorter store, and files of
 * other programs. Costs a read of the header and of the log.
 */

import { ClientError } from "../../../../net/client_error.ts";
import { APPLICATION_ID } from "./schema.ts";
import type { Durability } from "../../options.ts";
import { belongs } from "./file_guard.ts";
import { checkWal, MARK_AT, NO_LOG, readAt, type WalState } from "./log_file.ts";

const HEADER_BYTES = 100;
const MAGIC = "SQLite format 3\0";
const OTHER_FILE = "name another file: --engine sqlite:PATH";
/** The cure for a damaged file. */
export const RESTORE = "keep a copy of it, and restore a backup (sd backup) in its place";

export function refusal(message: string, hint: string, cause?: unknown): ClientError {
  return new ClientError("usage", message, cause === undefined ? { hint } : { hint, cause });
}

/** Whether there is a file at `path`. Refuses everything else that can be there. */
export function fileExists(path: string): boolean {
  const found = statOf(path);
  if (found?.isDirectory) throw refusal(`cannot use ${path}: it is a directory`, OTHER_FILE);
  if (found !== null && !found.isFile) {
    throw refusal(`cannot use ${path}: it is not a regular file`, OTHER_FILE);
  }
  const log = `${path}-wal`;
  if (found === null && statOf(log) !== null) {
    throw refusal(
      `cannot open ${path}: it is gone, but ${log} is there and may hold tasks of it`,
      `put the file back where it was; to start with nothing, move ${log} away`,
    );
  }
  const journal = `${path}-journal`;
  // SQLite would apply it to the file.
  if ((statOf(journal)?.size ?? 0) > 0) {
    throw refusal(
      `cannot open ${path}: ${journal} is beside it, which sd never makes: it belongs to another file`,
      `move it away: mv '${journal}' '${journal}.old'`,
    );
  }
  return found !== null;
}

/** Opens a file for reading and writing. */
export function openRaw(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { read: true, write: true });
  } catch (error) {
    throw cannotUse(path, error);
  }
}

export function cannotUse(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error || error.name === "NotCapable")) return error;
  return refusal(
    `cannot read and write ${path}: ${error.message}`,
    `let this user read and write it and its folder, or ${OTHER_FILE}`,
    error,
  );
}

function statOf(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw cannotUse(path, error);
  }
}

/** Refuses a file that is not a whole store of sd. */
export function checkFile(path: string, raw: Deno.FsFile, durability: Durability): void {
  const size = raw.statSync().size;
  if (size === 0) {
    throw refusal(
      `cannot open ${path}: it is empty, and a store of sd never is`,
      `restore a backup; to start with nothing, remove ${path}`,
    );
  }
  const header = readAt(raw, 0, HEADER_BYTES);
  if (new TextDecoder("latin1").decode(header.subarray(0, 16)) !== MAGIC || size < HEADER_BYTES) {
    throw refusal(
      `cannot open ${path}: it is not a store of sd, or damaged where it begins`,
      `if it is none, ${OTHER_FILE}; else restore a backup (sd backup)`,
    );
  }
  const view = new DataView(header.buffer);
  if (view.getUint32(68) !== APPLICATION_ID) {
    throw refusal(`cannot open ${path}: it is a database of another program`, OTHER_FILE);
  }
  // 65536 does not fit into two bytes, and is written as 1.
  const pageBytes = view.getUint16(16) === 1 ? 65536 : view.getUint16(16);
  if (pageBytes < 512 || (pageBytes & (pageBytes - 1)) !== 0) {
    throw refusal(`cannot open ${path}: it is damaged where it begins`, RESTORE);
  }
  const filePages = Math.floor(size / pageBytes);
  const log = readLog(`${path}-wal`, { knownPages: filePages, pageBytes });
  if (log.soundBytes > 0 && !belongs(view.getUint32(MARK_AT), log.marks)) throw otherLog(path);
  // With `normal`, a power cut can tear more than one commit.
  if (durability === "full" && log.commitsAfter > 1) throw middleOfLog(path, log);
  // The last commit of the log is newer than the header, which can itself wait in the log.
  const pages = log.pages || view.getUint32(28);
  if (filePages + log.beyond < pages) {
    throw refusal(
      `cannot open ${path}: it is cut off: ${size} bytes where ${pages * pageBytes} belong`,
      RESTORE,
    );
  }
}

function readLog(path: string, known: { knownPages: number; pageBytes: number }): WalState {
  if (statOf(path) === null) return NO_LOG;
  using file = openRaw(path);
  return checkWal(file, known);
}

/** For a log of another file, as when a backup was put in the place of the file without moving the log away. */
function otherLog(path: string): ClientError {
  const log = `${path}-wal`;
  return refusal(
    `cannot open ${path}: the log beside it, ${log}, belongs to another file, or to another state of this one`,
    "put the file back that the log belongs to; or, if you have put a backup there, move the log away: " +
      `mv '${log}' '${log}.old'`,
  );
}

function middleOfLog(path: string, { soundBytes, commitsAfter }: WalState): ClientError {
  return refusal(
    `cannot open ${path}: its log ${path}-wal is damaged after ${soundBytes} bytes, and ` +
      `${commitsAfter} commits after that place would be lost`,
    `restore a backup (sd backup); to go on without those commits, copy both files, then cut the ` +
      `log there: truncate -s ${soundBytes} '${path}-wal'`,
  );
}
