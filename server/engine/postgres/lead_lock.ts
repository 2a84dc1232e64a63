/**
 * The lock by which a standby server learns at once that the leader is gone: the leader holds it in a session, and all
 * others wait for it. It never makes a write safe; the fence does. Behind a pooler there is none.
 */

import type { PgSession } from "./connection.ts";

export class LeadLock {
  readonly #session: PgSession;
  readonly #key: string;
  /** The connection that holds it. */
  #heldBy = 0;
  #isWaiting = false;
  #granted = Promise.withResolvers<void>();

  /** `key`: SQL for the number of the lock. */
  constructor(session: PgSession, key: string) {
    this.#session = session;
    this.#key = key;
  }

  get isHeld(): boolean {
    return this.#heldBy > 0 && this.#heldBy === this.#session.generation && this.#hasSession;
  }

  /** Resolves when the lock is next granted. */
  get granted(): Promise<void> {
    return this.#granted.promise;
  }

  /** A connection of its own to the database, without a pooler in between. */
  get #hasSession(): boolean {
    return this.#session.current?.isPooled === false;
  }

  /** Waits for the lock in the background, unless it does so already. After a fault, call it again. */
  want(signal: AbortSignal): void {
    if (this.#isWaiting || this.isHeld || !this.#hasSession || signal.aborted) return;
    this.#isWaiting = true;
    const { generation } = this.#session;
    this.#session.query({ text: `select pg_advisory_lock(${this.#key})`, deadlineMs: Infinity })
      .then(() => {
        this.#heldBy = generation;
        this.#granted.resolve();
        this.#granted = Promise.withResolvers();
      }, () => {})
      .finally(() => this.#isWaiting = false);
  }

  /** Takes it if it is free, without waiting for it. */
  async tryNow(): Promise<void> {
    if (this.isHeld || this.#isWaiting || !this.#hasSession) return;
    const { generation } = this.#session;
    const text = `select pg_try_advisory_lock(${this.#key}) as done`;
    const [row] = await this.#session.query<{ done: boolean }>({ text });
    if (row?.done) this.#heldBy = generation;
  }

  async release(): Promise<void> {
    if (!this.isHeld) return;
    this.#heldBy = 0;
    await this.#session.query({ text: `select pg_advisory_unlock(${this.#key})` });
  }
}
