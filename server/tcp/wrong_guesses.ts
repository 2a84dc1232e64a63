/**
 * The answers to wrong tokens and secrets: each comes late, so that trying one after the other is slow. A
 * right one is let in at once, so a flood of wrong ones locks out no client. Few answers wait for one
 * address, and few in all; beyond that a wrong guess ends its connection without an answer, so that a
 * flood of them takes up neither memory nor connections.
 */

/** Answers that wait for one address, and for all together. */
const MAX_WAITING = 16;
const MAX_WAITING_IN_ALL = 256;

interface Waiting {
  readonly timer: ReturnType<typeof setTimeout>;
  readonly end: () => void;
}

export class WrongGuesses {
  readonly #delayMs: number;
  readonly #waiting = new Set<Waiting>();
  /** How many wait for each address that any waits for. */
  readonly #byAddress = new Map<string, number>();

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  /** Resolves with true when the answer may be given; with false at once if there will be none. */
  async late(address: string): Promise<boolean> {
    const count = this.#byAddress.get(address) ?? 0;
    if (count >= MAX_WAITING || this.#waiting.size >= MAX_WAITING_IN_ALL) return false;
    this.#byAddress.set(address, count + 1);
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(waiting.timer);
        this.#waiting.delete(waiting);
        resolve();
      };
      const waiting: Waiting = { timer: setTimeout(() => end(), this.#delayMs), end };
      this.#waiting.add(waiting);
    });
    const left = (this.#byAddress.get(address) ?? 1) - 1;
    if (left > 0) this.#byAddress.set(address, left);
    else this.#byAddress.delete(address);
    return true;
  }

  /** The server stops: what waits is answered now. */
  stop(): void {
    for (const { end } of [...this.#waiting]) end();
  }
}
