/**
 * Stdout where it is a file, as in `sd submit --file … >> results.ndjson`: which one, and how long it
 * is. So an interrupted run that goes on into the same file knows which of its last results are there.
 */

import { fstatSync, ftruncateSync } from "node:fs";

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
