/** A clock that a test moves by hand: timers fire when it is moved over them, and never otherwise. */

import { setImmediate } from "node:timers";
import type { Clock } from "../server/clock.ts";

export class HandClock implements Clock {
  #now: number;
  #timers: { at: number; run: () => void }[] = [];

  constructor(now: number | string) {
    this.#now = typeof now === "string" ? Date.parse(now) : now;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
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
    const end = this.#now + ms;
    await settled();
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#now = Math.max(this.#now, due.at);
      due.run();
      await settled();
    }
    this.#now = end;
  }

  /** The time becomes another one, as when a machine wakes up; timers fire as late as they then are. */
  async jump(ms: number): Promise<void> {
    this.#timers = this.#timers.map(({ at, run }) => ({ at: at + ms, run }));
    this.#now += ms;
    await settled();
  }
}

/** Once all that needs no timer and no socket is done. */
async function settled(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
