/** A counter of operations that have begun and not ended; callers can wait until it is low enough. */

export class UnderWay {
  #count = 0;
  #waiting: (() => void)[] = [];

  get count(): number {
    return this.#count;
  }

  begin(count = 1): void {
    this.#count += count;
  }

  end(count = 1): void {
    this.#count -= count;
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** Resolves once `most` at most are under way. */
  async downTo(most: number): Promise<void> {
    while (this.#count > most) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}
