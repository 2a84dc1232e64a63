/**
 * The one timer of all connections: it cuts clients that are too slow, or leave too much unread. Its clock is
 * coarse, and counts only the time in which the server was awake. So a pause of the server cuts no client.
 */

import { AwakeClock } from "../../../net/awake_clock.ts";
import type { ServerLimits } from "../../limits.ts";

/** A connection as the sweeper sees it. */
export interface Sweepable {
  /** Characters and bytes that wait for the other side to read them. */
  readonly unread: number;
  /** Ends the connection if it has taken too long. */
  sweep(): void;
  /** Ends it now. */
  cut(): void;
}

export class Sweeper {
  readonly #limits: ServerLimits;
  readonly #connections: Iterable<Sweepable>;
  /** Milliseconds; never 0, which stands for "not at all" in stored times. */
  #now = 1;
  readonly #awake: AwakeClock;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(connections: Iterable<Sweepable>, limits: ServerLimits) {
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

  /** Cuts the connections with the most unread text, until `excess` is gone. */
  #relieve(excess: number): void {
    const slowest = [...this.#connections].sort((a, b) => b.unread - a.unread);
    for (const connection of slowest) {
      if (excess <= 0) return;
      excess -= connection.unread;
      connection.cut();
    }
  }
}
