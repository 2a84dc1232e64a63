/** Recognizes the loss of a connection, which is expected at any time; other errors are bugs. */

interface BugLog {
  bug(room: string, error: unknown): void;
}

type Coded = { readonly code?: unknown } | undefined;

/** Errors of the runtime if the other side is gone, or this side has closed the connection. */
const LOSSES = [
  Deno.errors.BadResource,
  Deno.errors.BrokenPipe,
  Deno.errors.ConnectionAborted,
  Deno.errors.ConnectionRefused,
  Deno.errors.ConnectionReset,
  Deno.errors.Interrupted,
  Deno.errors.NotConnected,
  Deno.errors.TimedOut,
  Deno.errors.UnexpectedEof,
  Deno.errors.WriteZero,
  // Over TLS: an alert of the other side, or bytes that are not TLS.
  Deno.errors.InvalidData,
];

/** The same of a socket of Node, by the code of the system or of TLS. */
const LOST_CODE = /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ERR_STREAM|ERR_SSL|ERR_TLS)/;

/** Closes a connection that can be closed already, since both sides can end it. */
export function closeQuietly(conn: { close(): void }): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** Logs `error` as a bug unless it is the loss of a connection. */
export function logUnlessLost(error: unknown, log: BugLog): void {
  if (!isLostConnection(error)) log.bug("server", error);
}

/** Whether `error` is the loss of a connection. Any other error is a bug. */
export function isLostConnection(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // The system's other reasons, such as "no route to host", have no class of their own.
  return LOSSES.some((kind) => error instanceof kind) || error.message.includes("(os error ") ||
    // In other words, it has the error of the system as its cause.
    [error, error.cause].some((part) => LOST_CODE.test(String((part as Coded)?.code)));
}
