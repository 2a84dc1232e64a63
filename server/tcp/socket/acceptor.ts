/**
 * Accepts connections from one socket until it is closed, and goes on after `accept` has failed. If the
 * process is out of file descriptors, connections wait with the system until one comes free. A
 * connection that its client has reset already is passed over at once: balancers do that all day.
 */

import type { Log } from "../../log.ts";
import { logUnlessLost } from "../../../net/lost_connection.ts";

export interface AcceptorOptions {
  readonly listener: Deno.TcpListener;
  readonly log: Log;
  readonly take: (conn: Deno.TcpConn) => void;
}

/** The system or the process has no room for one more; all other failures are of one connection. */
const NO_ROOM: ReadonlySet<unknown> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);
/** The same where the runtime gives no code. */
const NO_ROOM_TEXT = /os error (?:12|23|24|55|105)\b/;
/** Without room: long enough for a file descriptor to come free. */
const ACCEPT_RETRY_MS = 50;
/** Failures in a row, of any kind, after which there is a pause: they are hardly those of connections. */
const MOST_AT_ONCE = 1000;
/** Pauses in a row of which the first alone is logged: half a minute. */
const FAILURES_A_WARNING = 600;

export class Acceptor {
  readonly #options: AcceptorOptions;
  #accepting: Promise<void> | undefined;
  #closed = false;

  constructor(options: AcceptorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#accepting ??= this.#accept();
  }

  async stop(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#options.listener.close();
    }
    await this.#accepting;
  }

  #take(conn: Deno.TcpConn): void {
    try {
      this.#options.take(conn);
    } catch (error) {
      // The client may be gone before its connection could be set up.
      logUnlessLost(error, this.#options.log);
      conn.close();
    }
  }

  async #accept(): Promise<void> {
    const { listener, log } = this.#options;
    let pauses = 0;
    let atOnce = 0;
    while (!this.#closed) {
      try {
        const conn = await listener.accept();
        if (pauses > 0) log.info("server", "connections are accepted again");
        pauses = 0;
        atOnce = 0;
        this.#take(conn);
      } catch (error) {
        if (this.#closed) return;
        if (!isNoRoom(error) && atOnce++ < MOST_AT_ONCE) continue;
        atOnce = 0;
        if (pauses++ % FAILURES_A_WARNING === 0) {
          log.warn("server", `cannot accept a connection: ${String(error)}; trying again`);
        }
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
      }
    }
  }
}

function isNoRoom(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === undefined ? NO_ROOM_TEXT.test(String(error)) : NO_ROOM.has(code);
}
