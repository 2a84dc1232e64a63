/**
 * Stdout where it is a file, as in `sd submit --file … >> results.ndjson`: which one, and how long it
 * is. So an interrupted run that goes on into the same file knows which of its last results are there.
 */

import { fstatSync, fsyncSync, ftruncateSync } from "node:fs";
import { drainStdout, OutputError } from "../../../cli/talk.ts";

const STDOUT = 1;

/** A place in a file: the file by its device and number, and the bytes before the place. */
export interface FilePlace {
  dev: number;
  ino: number;
  bytes: number;
}

/** The end of stdout; `undefined` where it is no file. */
export function stdoutEnd(): FilePlace | undefined {
  try {
    const stat = fstatSync(STDOUT);
    return stat.isFile() ? { dev: stat.dev, ino: stat.ino, bytes: stat.size } : undefined;
  } catch {
    // Closed, or of a kind that has no place.
    return undefined;
  }
}

/** Cuts stdout, a file, to so many bytes. */
export function cutStdout(bytes: number): void {
  ftruncateSync(STDOUT, bytes);
}

/**
 * Takes back a write of at most `length` bytes at `place` that stdout took in part; false where that is not
 * sure: it is no file, another program writes there as well, or the disk is too full.
 */
export function takeBack({ dev, ino, bytes }: FilePlace, length: number): boolean {
  const end = stdoutEnd();
  if (end?.dev !== dev || end.ino !== ino) return false;
  if (end.bytes < bytes || end.bytes > bytes + length) return false;
  cutStdout(bytes);
  // The runtime may have kept a part, and would write it at its end.
  if (!drainStdout()) return false;
  cutStdout(bytes);
  return true;
}

/** Waits until stdout, where it is a file, is on its disk. Throws `OutputError`: some disks are full only then. */
export function syncStdout(): void {
  if (!stdoutEnd()) return;
  try {
    fsyncSync(STDOUT);
  } catch (error) {
    throw new OutputError(error);
  }
}
