/**
 * Connections beyond the limit: told why, and closed. At most so many at a time, and each for a moment
 * only, so that telling them costs no more than the limit was to save; any more are closed unheard.
 */

import type { SdError } from "../../protocol/errors.ts";
import { MAX_REFUSALS_AT_A_TIME } from "../limits.ts";
import { errorLine } from "./replies.ts";

export class Refusals {
  readonly #momentMs: number;
  readonly #underWay = new Map<Deno.Conn, Promise<void>>();

  constructor(momentMs: number) {
    this.#momentMs = momentMs;
  }

  refuse(conn: Deno.Conn, reason: SdError): void {
    if (this.#underWay.size >= MAX_REFUSALS_AT_A_TIME) return conn.close();
    const told = this.#tell(conn, reason).finally(() => this.#underWay.delete(conn));
    this.#underWay.set(conn, told);
  }

  /** Closes those that are being told. */
  async close(): Promise<void> {
    const told = [...this.#underWay.values()];
    for (const conn of this.#underWay.keys()) closeQuietly(conn);
    await Promise.all(told);
  }

  async #tell(conn: Deno.Conn, reason: SdError): Promise<void> {
    const timer = setTimeout(() => closeQuietly(conn), this.#momentMs);
    try {
      // Short enough for one write.
      await conn.write(new TextEncoder().encode(errorLine(reason, undefined)));
      await conn.closeWrite();
      // Closed with bytes unread, the system would take back from the client what it was told.
      const buffer = new Uint8Array(4096);
      while (await conn.read(buffer) !== null);
    } catch {
      // It is gone, or its moment is over.
    }
    clearTimeout(timer);
    closeQuietly(conn);
  }
}

function closeQuietly(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch (error) {
    // Closed already, by whoever came first.
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
