/**
 * The one timer that looks after all connections: who is too slow, and who leaves too much unread. Its
 * clock is coarse and counts only the time in which the server itself was awake, so that a client
 * is never cut off for a pause of the server's own.
 */

import { AwakeClock } from "../../../net/awake_clock.ts";
import type { ServerLimits } from "../../limits.ts";

/** A connection as the sweeper sees it. */
export interface Swept {
  /** Characters and bytes that wait for the other side to read them. */
  readonly unread: number;
  /** Ends it where it has taken too long over something. */
  sweep(): void;
  /** Ends it now. */
  cut(): void;
}

export class Sweeper {
  readonly #limits: ServerLimits;
  readonly #connections: Iterable<Swept>;
  /** Milliseconds; never 0, which stands for "not at all" with those who keep times of it. */
  #now = 1;
  readonly #awake: AwakeClock;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(connections: Iterable<Swept>, limits: ServerLimits) {
    this.#connections = connections;
    this.#limits = limits;
    this.#awake = new AwakeClock({ stepMs: 2 * limits.sweepMs });
  }

  /** The coarse clock: right to within one period. */
  get now(): number {
    return this.#now;
  }

  start(): void {
    if (this.#timer !== undefined) return;
    this.#awake.passed();
    this.#timer = setInterval(() => this.#sweep(), this.#limits.sweepMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #sweep(): void {
    const { maxUnreadInAllBytes } = this.#limits;
    this.#now += this.#awake.passed();
    let unread = 0;
    for (const connection of this.#connections) {
      connection.sweep();
      unread += connection.unread;
    }
    if (unread > maxUnreadInAllBytes) this.#relieve(unread - maxUnreadInAllBytes);
  }

  /** Cuts those who leave the most unread, until `excess` is gone. */
  #relieve(excess: number): void {
    const slowest = [...this.#connections].sort((a, b) => b.unread - a.unread);
    for (const connection of slowest) {
      if (excess <= 0) return;
      excess -= connection.unread;
      connection.cut();
    }
  }
}
