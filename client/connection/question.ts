/**
 * A command and its one answer. It is asked again on a new connection; the time in which an answer
 * must come counts from when it was last asked, and not while there is no connection.
 */

import type { JsonObject } from "../../protocol/message.ts";
import { deferred } from "./deferred.ts";
import type { Exchange } from "./exchange.ts";
import { refusalOf } from "./refusal.ts";

/** A timer that is later than this comes after a stop of the process, in ms: what came in meanwhile is read first. */
export const LATE_MS = 500;
/** Time in which that is read, in ms. */
export const GRACE_MS = 250;

export interface Patience {
  /** `Infinity` waits for ever. */
  readonly ms: number;
  readonly late: () => Error;
  /** Whether there is no connection just now. */
  readonly isAway: () => boolean;
}

export class Question implements Exchange {
  readonly json: string;
  readonly #patience: Patience;
  readonly #answer = deferred<JsonObject>();
  #askedAt = performance.now();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isSettled = false;
  #wasAskedAgain = false;
  #hadGrace = false;

  constructor(message: JsonObject, patience: Patience) {
    this.json = JSON.stringify(message);
    this.#patience = patience;
    this.#setTimer(patience.ms);
  }

  /** Rejects with the `SdError` that the server refused with. */
  get answer(): Promise<JsonObject> {
    return this.#answer.promise;
  }

  /** The first asking may have had its effect, and its answer been lost. */
  get wasAskedAgain(): boolean {
    return this.#wasAskedAgain;
  }

  take(reply: JsonObject): boolean {
    if (reply.error !== undefined && reply.task_id === undefined) this.fail(refusalOf(reply));
    else {
      this.#settle();
      this.#answer.resolve(reply);
    }
    return true;
  }

  fail(error: Error): void {
    this.#settle();
    this.#answer.reject(error);
  }

  again(): string | undefined {
    // Nobody waits for the answer any more.
    if (this.#isSettled) return undefined;
    this.#wasAskedAgain = true;
    this.#askedAt = performance.now();
    return this.json;
  }

  #settle(): void {
    this.#isSettled = true;
    clearTimeout(this.#timer);
  }

  #setTimer(ms: number): void {
    if (ms !== Infinity) this.#timer = setTimeout(() => this.#check(), ms);
  }

  #check(): void {
    const { ms, late, isAway } = this.#patience;
    const leftMs = isAway() ? ms : this.#askedAt + ms - performance.now();
    // A timer may come a moment early. One that is late comes after a stop: the answer may be there and unread.
    if (leftMs > 1) this.#setTimer(leftMs);
    else if (leftMs < -LATE_MS && !this.#hadGrace) {
      this.#hadGrace = true;
      this.#setTimer(GRACE_MS);
    } else this.fail(late());
  }
}
