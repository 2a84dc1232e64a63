/**
 * A store that answers late, and fails at times, as far as its contract allows: requests are carried out and
 * answered in the order in which they were asked for, each after a pause of its own. Two answers never come in
 * one turn of the event loop: an engine may use what it read until its next wait.
 */

import { setImmediate } from "node:timers";
import { delay } from "@std/async/delay";
import { type Store, StoreError } from "../../server/engine/sqlite/store.ts";
import type { StoreCall, StoreCalls } from "../../server/engine/sqlite/file/store_message.ts";
import type { Random } from "../fuzz/random.ts";

export interface FlakyOptions {
  /** 0…1: how many commits find no room. */
  readonly full: number;
  /** 0…1: how many pages cannot be read. */
  readonly unreadable: number;
}

export class FlakyStore {
  readonly #store: Store;
  readonly #random: Random;
  #options: FlakyOptions;
  #asked: Promise<unknown> = Promise.resolve();
  #answered: Promise<unknown> = Promise.resolve();

  constructor(store: Store, random: Random, options: FlakyOptions) {
    this.#store = store;
    this.#random = random;
    this.#options = options;
  }

  /** From now on nothing fails. */
  mend(): void {
    this.#options = { full: 0, unreadable: 0 };
  }

  call<C extends StoreCall>(call: C, ask: StoreCalls[C]["ask"]): Promise<StoreCalls[C]["answer"]> {
    const fault = this.#fault(call);
    const done = this.#asked.then(() => this.#pause()).then(() => {
      if (fault) throw fault;
      return this.#store.call(call, ask);
    });
    this.#asked = Promise.allSettled([done]);
    const answer = this.#answered.then(() => this.#pause()).then(() => done);
    this.#answered = Promise.allSettled([answer]);
    return answer;
  }

  async close(): Promise<void> {
    await this.#answered;
    await this.#store.close();
  }

  #fault(call: StoreCall): StoreError | undefined {
    const { full, unreadable } = this.#options;
    if (call === "write" && this.#random.chance(full)) return new StoreError("full", "no room");
    const isPage = call === "lane" || call === "due";
    if (isPage && this.#random.chance(unreadable)) return new StoreError("io", "cannot be read");
    return undefined;
  }

  async #pause(): Promise<void> {
    if (this.#random.chance(0.05)) return await delay(this.#random.int(1, 4));
    for (let turns = this.#random.pick([1, 1, 2, 4]); turns > 0; turns--) {
      await new Promise<void>((go) => setImmediate(go));
    }
  }
}
