/**
 * Connections beyond the limit: told why, and closed. At most so many at a time, and each for a moment
 * only, so that telling them costs no more than the limit was to save; any more are closed unheard.
 */

import type { Wire } from "../../../net/wire.ts";
import type { SdError } from "../../../protocol/errors.ts";
import { MAX_REFUSALS_AT_A_TIME } from "../../limits.ts";
import type { Log } from "../../log.ts";
import { closeQuietly, logUnlessLost } from "../../../net/lost_connection.ts";
import { errorLine } from "./replies.ts";

/** What speaks to the client at the other end of a connection; nothing if it cannot be spoken to. */
type OpenWire = (conn: Deno.TcpConn) => Promise<Wire | undefined>;

export class Refusals {
  readonly #momentMs: number;
  readonly #open: OpenWire;
  readonly #log: Pick<Log, "bug">;
  /** With the timer that ends its moment. */
  readonly #underWay = new Map<Deno.TcpConn, ReturnType<typeof setTimeout>>();

  constructor(
    { momentMs, open, log }: { momentMs: number; open: OpenWire; log: Pick<Log, "bug"> },
  ) {
    this.#momentMs = momentMs;
    this.#open = open;
    this.#log = log;
  }

  refuse(conn: Deno.TcpConn, reason: SdError): void {
    if (this.#underWay.size >= MAX_REFUSALS_AT_A_TIME) return conn.close();
    this.#underWay.set(conn, setTimeout(() => closeQuietly(conn), this.#momentMs));
    void this.#tell(conn, reason).finally(() => {
      clearTimeout(this.#underWay.get(conn));
      this.#underWay.delete(conn);
    });
  }

  /** Closes those that are being told; waits for none. */
  close(): void {
    for (const [conn, timer] of this.#underWay) {
      clearTimeout(timer);
      closeQuietly(conn);
    }
  }

  async #tell(conn: Deno.TcpConn, reason: SdError): Promise<void> {
    let wire: Wire | undefined;
    try {
      wire = await this.#open(conn);
      if (!wire) return;
      // Short enough for one write.
      await wire.write(new TextEncoder().encode(errorLine(reason, undefined)));
      await wire.closeWrite();
      // Closed with bytes unread, the system would take back from the client what it was told.
      const buffer = new Uint8Array(4096);
      while (await wire.read(buffer) !== null);
    } catch (error) {
      // It is gone, or its moment is over.
      logUnlessLost(error, this.#log);
    }
    closeQuietly(wire ?? conn);
  }
}
