/**
 * Stdout as a file, as in `sd submit --file … >> results.ndjson`: its identity and its length. By them a resumed run that
 * writes to the same file knows which of the last results are there.
 */

import { fstatSync, fsyncSync, ftruncateSync } from "node:fs";
import { drainStdout, OutputError } from "../../../cli/talk.ts";

const STDOUT = 1;

/** A place in a file: the device and inode of the file, and the offset. */
export interface FilePlace {
  dev: number;
  ino: number;
  bytes: number;
}

/** The end of stdout; `undefined` if it is not a file. */
export function stdoutEnd(): FilePlace | undefined {
  try {
    const stat = fstatSync(STDOUT);
    return stat.isFile() ? { dev: stat.dev, ino: stat.ino, bytes: stat.size } : undefined;
  } catch {
    // Stdout is closed.
    return undefined;
  }
}

/** Truncates stdout, a file, to `bytes`. */
export function cutStdout(bytes: number): void {
  ftruncateSync(STDOUT, bytes);
}

/**
 * Removes a partial write of up to `length` bytes at `place` from stdout. Returns false if that is not certain: stdout is
 * not a file, another program writes to it as well, or the disk is too full.
 */
export function takeBack({ dev, ino, bytes }: FilePlace, length: number): boolean {
  const end = stdoutEnd();
  if (end?.dev !== dev || end.ino !== ino) return false;
  if (end.bytes < bytes || end.bytes > bytes + length) return false;
  cutStdout(bytes);
  // The runtime can still hold a part of the write.
  if (!drainStdout()) return false;
  cutStdout(bytes);
  return true;
}

/** Syncs stdout to disk if it is a file. Throws `OutputError`: some file systems report a full disk only here. */
export function syncStdout(): void {
  if (!stdoutEnd()) return;
  try {
    fsyncSync(STDOUT);
  } catch (error) {
    throw new OutputError(error);
  }
}
