/**
 * The servers of a cluster that a client or a worker process can use, in their order. It keeps to one of them; after a
 * failure the next one is tried, and after the last one the first again. With a single server it changes nothing.
 */

import type { Address } from "./wire.ts";

/** A server that takes the place of another one. */
export interface Place {
  readonly hostname: string;
  readonly port: number;
}

/** An address with others of the same cluster. */
export interface Places {
  /** Further servers of the same cluster, with the same token and certificates. */
  readonly others?: readonly Place[] | undefined;
}

export class ServerRing<Target extends Place & Places = Address & Places> {
  readonly #targets: readonly Target[];
  #at = 0;

  constructor(target: Target) {
    this.#targets = [target, ...(target.others ?? []).map((place) => ({ ...target, ...place }))];
  }

  get size(): number {
    return this.#targets.length;
  }

  /** The server to use now. */
  get current(): Target {
    return this.#targets[this.#at]!;
  }

  /** The present server has failed. */
  next(): void {
    this.#at = (this.#at + 1) % this.#targets.length;
  }
}
