/**
 * The epoch and the token in `lead`, which every write of a leader compares in its own statement. A new leader changes both, and so ends every write of the leader before it.
 *
 * The leader itself changes the token when an answer was lost. That waits for a write that is still under way on the old
 * connection, and ends one that has not begun: after it, the rows say for good what became of the write.
 */

import { StoreError } from "../journaled/task_store.ts";
import type { PgSession } from "./connection.ts";

export class Fence {
  #token: string;
  /** The token that a change without an answer may have set. */
  #next: string | undefined;

  /** `lead`: the quoted name of the table. */
  constructor(readonly lead: string, readonly epoch: number, token: string) {
    this.#token = token;
  }

  /** A UUID. It changes with `renew` alone. */
  get token(): string {
    return this.#token;
  }

  /**
   * Changes the token. Call it on the connection on which the rows are read then, before they are. Rejects with `fenced`
   * if another server leads; with an `AnswerLost` like any query: call it again then.
   */
  async renew(session: PgSession): Promise<void> {
    // The same until it has an answer: the change before it may be made, or may yet be.
    const next = this.#next ??= crypto.randomUUID();
    const rows = await session.query({
      text: `update ${this.lead} set token = $1::uuid
        where epoch = $2::bigint and token in ($1::uuid, $3::uuid) returning 1 as done`,
      values: [next, this.epoch, this.#token],
    });
    if (rows.length === 0) throw new StoreError("fenced", "another server leads");
    this.#token = next;
    this.#next = undefined;
  }
}
