/** Errors of PostgreSQL, of its client and of the network as faults of the store. */

import { ClientError } from "../../../net/client_error.ts";
import { StoreError, type StoreFault } from "../journaled/task_store.ts";

/**
 * A request without an answer, since its connection was lost. If it was `sent`, a write can be committed:
 * read its rows before it is sent again.
 */
export class AnswerLost extends StoreError {
  override readonly name = "AnswerLost";
  constructor(message: string, readonly sent: boolean) {
    super("io", message);
  }
}

/** SQLSTATE of a division by zero: how a statement rolls itself back. */
export const DIVISION_BY_ZERO = "22012";

/** The beginnings of SQLSTATEs and of codes of the network, with the fault of each. The first that fits counts. */
const FAULTS: readonly (readonly [RegExp, StoreFault])[] = [
  // No room on the disk, no memory, a limit of the configuration.
  [/^(53100|53200|53400|54)/, "full"],
  // Connection, its limit, server stopping or starting, read-only, cancelled, deadlock, lock, system, login, rights.
  [/^(08|53|57|25006|25P03|40|55P03|58|28|42501|3D000)/, "io"],
  [
    /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_|EADDR|EMFILE|ENFILE|ENOENT|EACCES|ERR_|CERT_)/,
    "io",
  ],
  // Data corrupted, an index corrupted, a table or a column that is not there.
  [/^(XX001|XX002|42P01|42703|3F000)/, "damaged"],
];

/**
 * Codes after which the connection must be made again: another host may be the one that can be written to, or the server
 * has forgotten a prepared statement.
 */
const MOVED = /^(08|57P0[1-5]|25006|25P03|26000|42P05)/;

/** The SQLSTATE, or the code of the network; empty if it has none. */
export function sqlState(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === "string" ? code : "";
}

/** Whether the server said that this connection, or this server, is of no more use. */
export function needsReconnect(error: unknown): boolean {
  // A table was changed under a prepared statement.
  return MOVED.test(sqlState(error)) || /cached plan must not change/.test(String(error));
}

/** Whether the server forgot, or never had, a prepared statement: a pooler stands in between. */
export function forgetsNames(error: unknown): boolean {
  return /^(26000|42P05)/.test(sqlState(error));
}

/** `error` as a fault of the store, with its SQLSTATE in the message. A `StoreError` stays as it is. */
export function pgFaultOf(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  // A file of the URL: it can be there at the next try.
  if (error instanceof ClientError) return new StoreError("io", error.message);
  const code = sqlState(error);
  const text = error instanceof Error ? error.message : String(error);
  const fault = FAULTS.find(([pattern]) => pattern.test(code))?.[1] ??
    // The client names the end of a connection in words alone.
    (/^(Connection terminated|timeout expired|Client (has|was)|.*SSL connection)/.test(text)
      ? "io"
      : "bug");
  return new StoreError(fault, code === "" ? text : `${text} (${code})`);
}
