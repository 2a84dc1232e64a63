/** Random choices that a seed repeats: the same seed makes the same choices, on every machine. */

/** The seed of a run: the one in `SD_SEED`, to repeat a run that failed; otherwise a new one. */
export function newSeed(): number {
  return Number(Deno.env.get("SD_SEED") ?? Date.now() % 2 ** 31);
}

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 ≤ x < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    const state = this.#state;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer, `min` and `max` included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(values: readonly T[]): T {
    const value = values[this.int(0, values.length - 1)];
    if (values.length === 0) throw new Error("there is nothing to pick from");
    return value as T;
  }

  bytes(count: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length: count }, () => this.int(0, 255));
  }

  /** A generator of its own, so that what one part of a test draws does not shift the others. */
  fork(): Random {
    return new Random(this.int(0, 2 ** 32 - 1));
  }
}
