/**
 * Makes calls late, by a seed. Calls begin in the order in which they were made, each after a pause of its own, and each
 * answer waits for another pause. `FlakyStore` and `FlakyEngine` send their calls through it.
 */

import { setImmediate } from "node:timers";
import { delay } from "@std/async/delay";
import type { Random } from "../fuzz/random.ts";

export interface LateOptions {
  /** Answers come in the order of the calls, no two in one turn of the event loop. */
  readonly inOrder?: boolean;
  /** No pause waits for a timer, so that a seed repeats the order of all calls. */
  readonly untimed?: boolean;
}

export class LateCalls {
  readonly #random: Random;
  readonly #inOrder: boolean;
  readonly #untimed: boolean;
  #begun: Promise<unknown> = Promise.resolve();
  #answered: Promise<unknown> = Promise.resolve();
  readonly #open = new Set<Promise<unknown>>();

  constructor(random: Random, { inOrder = false, untimed = false }: LateOptions = {}) {
    this.#random = random;
    this.#inOrder = inOrder;
    this.#untimed = untimed;
  }

  /** Calls `work` when its turn comes, and answers as it does. */
  call<T>(work: () => Promise<T>): Promise<T> {
    const begun = this.#begun.then(() => this.#pause());
    this.#begun = begun;
    const done = begun.then(work);
    const isDone = Promise.allSettled([done]);
    const waited = this.#inOrder ? this.#answered : isDone;
    const answer = waited.then(() => this.#pause()).then(() => done);
    this.#answered = this.#keep(answer);
    return answer;
  }

  /** Whether no call is open. */
  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /** Resolves when no call is open. */
  async settled(): Promise<void> {
    while (this.#open.size > 0) await Promise.all(this.#open);
  }

  #keep(answer: Promise<unknown>): Promise<unknown> {
    const settled = Promise.allSettled([answer]);
    this.#open.add(settled);
    void settled.then(() => this.#open.delete(settled));
    return settled;
  }

  async #pause(): Promise<void> {
    if (!this.#untimed && this.#random.chance(0.05)) return await delay(this.#random.int(1, 4));
    for (let turns = this.#random.pick([1, 1, 2, 4]); turns > 0; turns--) {
      await new Promise<void>((go) => setImmediate(go));
    }
  }
}
