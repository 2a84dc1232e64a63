/** The end of a connection, which is expected at any time, told apart from errors of our own. */

interface BugLog {
  bug(room: string, error: unknown): void;
}

/** What the runtime throws where the other side is gone, or this side has closed the connection. */
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
  // Over TLS: an alert of the other side, or bytes that are no TLS.
  Deno.errors.InvalidData,
];

/** Closes a connection that may be closed already: two sides can end it, and either may be first. */
export function closeQuietly(conn: { close(): void }): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** Logs `error` unless it says that a connection is of no use any more. */
export function logUnlessLost(error: unknown, log: BugLog): void {
  if (!isLostConnection(error)) log.bug("server", error);
}

/** Whether `error` says that a connection is of no use any more. Anything else is a bug. */
export function isLostConnection(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // The system's other reasons, such as "no route to host", have no class of their own.
  return LOSSES.some((kind) => error instanceof kind) || error.message.includes("(os error ");
}
