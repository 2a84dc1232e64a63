/**
 * Connections beyond the limit: told why, and closed. At most so many at a time, and each for a moment
 * only, so that telling them costs no more than the limit was to save; any more are closed unheard.
 */

import type { SdError } from "../../protocol/errors.ts";
import { MAX_REFUSALS_AT_A_TIME } from "../limits.ts";
import { errorLine } from "./replies.ts";

export class Refusals {
  readonly #momentMs: number;
  /** With the timer that ends its moment. */
  readonly #underWay = new Map<Deno.Conn, ReturnType<typeof setTimeout>>();

  constructor(momentMs: number) {
    this.#momentMs = momentMs;
  }

  refuse(conn: Deno.Conn, reason: SdError): void {
    if (this.#underWay.size >= MAX_REFUSALS_AT_A_TIME) return conn.close();
    this.#underWay.set(conn, setTimeout(() => closeQuietly(conn), this.#momentMs));
    void this.#tell(conn, reason).finally(() => {
      clearTimeout(this.#underWay.get(conn));
      this.#underWay.delete(conn);
    });
  }

  /** Closes those that are being told; waits for none, which over TLS may take no word at all. */
  close(): void {
    for (const [conn, timer] of this.#underWay) {
      clearTimeout(timer);
      closeQuietly(conn);
    }
  }

  async #tell(conn: Deno.Conn, reason: SdError): Promise<void> {
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
