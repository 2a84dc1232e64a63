/** Waiting for a server that takes no more tasks just now: it is asked again when it said, and not before. */

import { delay } from "@std/async/delay";
import { SdError } from "../../../protocol/errors.ts";

const RETRY_MS = 1000;

export class BackPressure {
  readonly #signal: AbortSignal;
  readonly #onFull: (refusal: SdError) => void;
  #waiting: Promise<void> | undefined;
  #isTold = false;

  /** `onFull` is called with the first refusal of each time that the server is full; `signal` ends the waiting. */
  constructor({ signal, onFull }: { signal: AbortSignal; onFull: (refusal: SdError) => void }) {
    this.#signal = signal;
    this.#onFull = onFull;
  }

  /** Await it before sending; `undefined` where the server takes more. */
  get waiting(): Promise<void> | undefined {
    return this.#waiting;
  }

  /** Whether `error` says to try again later: then that is waited for. */
  delays(error: unknown): error is SdError {
    if (!(error instanceof SdError)) return false;
    if (error.code !== "queue_full" && error.code !== "storage_full") return false;
    if (!this.#isTold) this.#onFull(error);
    this.#isTold = true;
    this.#waiting ??= this.#wait(error.retryAfterMs ?? RETRY_MS);
    return true;
  }

  /** A task was taken. */
  ease(): void {
    if (!this.#waiting) this.#isTold = false;
  }

  async #wait(ms: number): Promise<void> {
    // An end of the waiting is for those who waited to notice.
    await delay(ms, { signal: this.#signal }).catch(() => undefined);
    this.#waiting = undefined;
  }
}
