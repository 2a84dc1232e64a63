/**
 * A clock that a test moves by hand: timers fire when it is moved over them, and never otherwise. The wall clock and the
 * monotonic clock below it move apart where a machine sleeps, a process is stopped, or a clock is set.
 */

import { setImmediate } from "node:timers";
import { AWAKE_STEP_MS } from "../../net/awake_clock.ts";
import { type Clock, SteadyClock } from "../../server/clock.ts";

export class HandClock implements Clock {
  #wall: number;
  #monotonic = 0;
  #timers: { at: number; run: () => void }[] = [];
  #steady: SteadyClock;
  readonly #settled: () => Promise<void>;

  /** `settled` resolves once all is done that a timer has started. */
  constructor(now: number | string, settled = nothingLeft) {
    this.#wall = typeof now === "string" ? Date.parse(now) : now;
    this.#settled = settled;
    this.#steady = this.#newClock();
  }

  now(): number {
    return this.#steady.now();
  }

  wall(): number {
    return this.#steady.wall();
  }

  get aheadMs(): number {
    return this.#steady.aheadMs;
  }

  awake(): number {
    return this.#steady.awake();
  }

  reach(ms: number): void {
    this.#steady.reach(ms);
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#monotonic + Math.max(0, ms), run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get timers(): number {
    return this.#timers.length;
  }

  /** Lets `ms` pass, with every timer at its own time; what a timer starts is done before the next. */
  async pass(ms: number): Promise<void> {
    const end = this.#monotonic + ms;
    await this.#settled();
    for (let due = this.#firstUntil(end); due; due = this.#firstUntil(end)) {
      this.#run(due.at);
      await this.#fire(due);
    }
    this.#run(end);
  }

  /** Moves the wall clock alone by `ms`: it was set, or the machine slept. */
  async jump(ms: number): Promise<void> {
    this.#wall += ms;
    await this.#settled();
  }

  /** The process is stopped for `ms` and goes on: the timers that came due fire late, one after the other. */
  async stop(ms: number): Promise<void> {
    this.#wall += ms;
    this.#monotonic += ms;
    for (let due = this.#firstUntil(this.#monotonic); due;) {
      await this.#fire(due);
      due = this.#firstUntil(this.#monotonic);
    }
  }

  /** Another process begins after `ms`: what the clock of the one before knew is forgotten, and its timers are gone. */
  restart(ms: number): void {
    this.#wall += ms;
    this.#monotonic += ms;
    this.#timers = [];
    this.#steady = this.#newClock();
  }

  #newClock(): SteadyClock {
    return new SteadyClock({ wall: () => this.#wall, monotonic: () => this.#monotonic });
  }

  #firstUntil(end: number) {
    return this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
  }

  async #fire(due: { run: () => void }): Promise<void> {
    this.#timers = this.#timers.filter((timer) => timer !== due);
    due.run();
    await this.#settled();
  }

  /** Up to `end`, awake all the way. */
  #run(end: number): void {
    while (this.#monotonic < end) {
      const step = Math.min(AWAKE_STEP_MS, end - this.#monotonic);
      this.#monotonic += step;
      this.#wall += step;
      this.#steady.awake();
    }
  }
}

/** Once all that needs no timer and no socket is done. */
async function nothingLeft(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
