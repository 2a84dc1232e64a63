/** Maps errors of SQLite and of the system to `StoreFault`. */

import type { DamagedRow } from "./store_message.ts";
import type { StoreFault } from "../../journaled/task_store.ts";

/** Faults by primary result code of SQLite. */
const FAULTS = new Map<number, StoreFault>([
  [7, "io"], // NOMEM
  [8, "io"], // READONLY
  [10, "io"], // IOERR
  [11, "damaged"], // CORRUPT
  [13, "full"], // FULL
  [14, "io"], // CANTOPEN
  [26, "damaged"], // NOTADB
]);
const BUSY = 5;
const SYSTEM_CODE = /^E[A-Z]{2,}$/;

/** Codes by message: some calls of `node:sqlite` give no code. */
const CODES_BY_TEXT: readonly (readonly [text: string, code: number])[] = [
  ["database is locked", BUSY],
  ["disk I/O error", 10],
  ["database disk image is malformed", 11],
  ["database or disk is full", 13],
  ["unable to open database file", 14],
  ["attempt to write a readonly database", 8],
  ["file is not a database", 26],
];

/** A failure of a request with a known kind of fault. */
export class FaultError extends Error {
  override readonly name = "FaultError";
  /** The remains of the request can still be in the log. */
  readonly isUncut: boolean;
  constructor(
    readonly fault: StoreFault,
    message: string,
    options: ErrorOptions & { readonly isUncut?: boolean } = {},
  ) {
    super(message, options);
    this.isUncut = options.isUncut ?? false;
  }
}

/** The error of `find` for a row that is not what was written. */
export function damageError(row: DamagedRow): FaultError {
  return new FaultError("damaged", row.message);
}

function codeOf(error: unknown): number {
  if (!(error instanceof Error)) return 0;
  const { errcode } = error as { errcode?: unknown };
  if (typeof errcode === "number") return errcode & 0xff;
  return CODES_BY_TEXT.find(([text]) => error.message.includes(text))?.[1] ?? 0;
}

export function isBusy(error: unknown): boolean {
  return codeOf(error) === BUSY;
}

/** Any error as part of a reply. An error of an unknown kind is a bug, and its message is its stack. */
export function faultOf(
  error: unknown,
): { fault: StoreFault; message: string; isUncut?: boolean } {
  if (error instanceof FaultError) {
    const { fault, message, isUncut } = error;
    return { fault, message, ...(isUncut && { isUncut }) };
  }
  // Errors of the system, from files that are opened here.
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return { fault: "full", message: (error as Error).message };
  }
  if (typeof code === "string" && SYSTEM_CODE.test(code)) {
    return { fault: "io", message: (error as Error).message };
  }
  // A RangeError is an integer beyond 2^53, which was never written.
  const fault = error instanceof RangeError ? "damaged" : FAULTS.get(codeOf(error));
  if (fault !== undefined) return { fault, message: `sqlite: ${(error as Error).message}` };
  return {
    fault: "bug",
    message: error instanceof Error ? error.stack ?? error.message : `${error}`,
  };
}
