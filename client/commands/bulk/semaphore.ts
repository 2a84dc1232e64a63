/** So many things at a time and no more: who finds no free slot waits for one. */
export class Semaphore {
  #free: number;
  readonly #size: number;
  #waiting: (() => void)[] = [];
  #idle: (() => void)[] = [];

  constructor(size: number) {
    this.#size = size;
    this.#free = size;
  }

  /** Takes a slot where one is free, and says so. */
  tryTake(): boolean {
    if (this.#free === 0) return false;
    this.#free--;
    return true;
  }

  /** Resolves once a slot is the caller's. */
  async take(): Promise<void> {
    if (this.tryTake()) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Gives a slot back, to who has waited longest. */
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
