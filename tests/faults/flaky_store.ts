/**
 * A store that is late, and fails at times, as far as its contract allows. Requests are carried out and answered in the
 * order in which they were made. No two answers come in one turn of the event loop, since an engine uses what it read
 * until it next waits.
 */

import type { Store } from "../../server/engine/sqlite/store.ts";
import { StoreError } from "../../server/engine/journaled/task_store.ts";
import type { StoreCall, StoreCalls } from "../../server/engine/sqlite/file/store_message.ts";
import type { Random } from "../fuzz/random.ts";
import { LateCalls } from "./late_calls.ts";

export interface StoreFaults {
  /** 0…1: the share of commits that find no room. */
  readonly full: number;
  /** 0…1: the share of pages that cannot be read. */
  readonly unreadable: number;
}

export class FlakyStore {
  readonly #store: Store;
  readonly #random: Random;
  readonly #late: LateCalls;
  #faults: StoreFaults;

  constructor(store: Store, random: Random, faults: StoreFaults = { full: 0, unreadable: 0 }) {
    this.#store = store;
    this.#random = random;
    this.#faults = faults;
    this.#late = new LateCalls(random.fork(), { inOrder: true });
  }

  /** From now on nothing fails. */
  mend(): void {
    this.#faults = { full: 0, unreadable: 0 };
  }

  call<C extends StoreCall>(call: C, ask: StoreCalls[C]["ask"]): Promise<StoreCalls[C]["answer"]> {
    const fault = this.#fault(call);
    return this.#late.call(() => fault ? Promise.reject(fault) : this.#store.call(call, ask));
  }

  async close(): Promise<void> {
    await this.#late.settled();
    await this.#store.close();
  }

  #fault(call: StoreCall): StoreError | undefined {
    const { full, unreadable } = this.#faults;
    if (call === "write" && this.#random.chance(full)) return new StoreError("full", "no room");
    const isPage = call === "lane" || call === "due";
    if (isPage && this.#random.chance(unreadable)) return new StoreError("io", "cannot be read");
    return undefined;
  }
}
