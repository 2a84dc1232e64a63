/** What went wrong inside SQLite, in the words of `StoreFault`. */

import type { DamagedRow } from "./store_message.ts";
import type { StoreFault } from "../../journaled/task_store.ts";

/** By primary result code of SQLite. */
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

/** Some calls of `node:sqlite` tell no code. */
const CODES_BY_TEXT: readonly (readonly [text: string, code: number])[] = [
  ["database is locked", BUSY],
  ["disk I/O error", 10],
  ["database disk image is malformed", 11],
  ["database or disk is full", 13],
  ["unable to open database file", 14],
  ["attempt to write a readonly database", 8],
  ["file is not a database", 26],
];

/** A request that failed for a reason that has a name. */
export class FaultError extends Error {
  override readonly name = "FaultError";
  /** What the request wrote may be in the log. */
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

/** A row that was asked for by its id is not what was written. */
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

/** Any error, as the reply tells it. What has no name is a bug, told with its stack. */
export function faultOf(
  error: unknown,
): { fault: StoreFault; message: string; isUncut?: boolean } {
  if (error instanceof FaultError) {
    const { fault, message, isUncut } = error;
    return { fault, message, ...(isUncut && { isUncut }) };
  }
  // The system says so, of a file that is opened here.
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return { fault: "full", message: (error as Error).message };
  }
  if (typeof code === "string" && SYSTEM_CODE.test(code)) {
    return { fault: "io", message: (error as Error).message };
  }
  // An integer beyond 2^53: none was ever written.
  const fault = error instanceof RangeError ? "damaged" : FAULTS.get(codeOf(error));
  if (fault !== undefined) return { fault, message: `sqlite: ${(error as Error).message}` };
  return {
    fault: "bug",
    message: error instanceof Error ? error.stack ?? error.message : `${error}`,
  };
}
