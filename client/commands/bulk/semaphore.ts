/** A counting semaphore. Callers get free slots in the order in which they asked. */
export class Semaphore {
  #free: number;
  readonly #size: number;
  #waiting: (() => void)[] = [];
  #idle: (() => void)[] = [];

  constructor(size: number) {
    this.#size = size;
    this.#free = size;
  }

  /** Takes a slot; returns false if none is free. */
  tryTake(): boolean {
    if (this.#free === 0) return false;
    this.#free--;
    return true;
  }

  /** Resolves once the caller has a slot. */
  async take(): Promise<void> {
    if (this.tryTake()) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Returns a slot, which goes to the longest waiting caller. */
  release(): void {
    const next = this.#waiting.shift();
    if (next) return next();
    this.#free++;
    if (this.#free < this.#size) return;
    for (const resolve of this.#idle) resolve();
    this.#idle = [];
  }

  /** Resolves once all slots are free. */
  async idle(): Promise<void> {
    if (this.#free === this.#size) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }
}
