/**
 * Accepts connections from one socket until it is closed, and goes on after `accept` has failed: when
 * the process is out of file descriptors, connections wait with the system until one comes free.
 */

import type { Log } from "../log.ts";

export interface AcceptorOptions {
  readonly listener: Deno.Listener;
  readonly log: Log;
  readonly take: (conn: Deno.Conn) => void;
}

/** After `accept` failed (no file descriptor left, say): long enough for one to come free. */
const ACCEPT_RETRY_MS = 50;
/** It is told at the first failure, and then once in so many, every half minute. */
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

  #take(conn: Deno.Conn): void {
    try {
      this.#options.take(conn);
    } catch {
      // The client was gone before its connection could be set up.
      conn.close();
    }
  }

  async #accept(): Promise<void> {
    const { listener, log } = this.#options;
    let failures = 0;
    while (!this.#closed) {
      try {
        const conn = await listener.accept();
        if (failures > 0) log.info("server", "connections are accepted again");
        failures = 0;
        this.#take(conn);
      } catch (error) {
        if (this.#closed) return;
        if (failures++ % FAILURES_A_WARNING === 0) {
          log.warn("server", `cannot accept a connection: ${String(error)}; trying again`);
        }
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
      }
    }
  }
}
