/**
 * When outboxes write: once in a turn of the event loop, after all that came in together was handled. A
 * write costs as much as some ten tasks, most of it for waking the reader, so under load it matters that
 * there are few. An acknowledgement alone is of little use to a client that waits for the result: where
 * many connections are due one, each waits a moment and then mostly leaves together with the result.
 */

import { setImmediate } from "node:timers";

/** Something that has text to write. */
export interface Flushable {
  flush(): void;
}

/** Most acknowledgements that are written at once: a lone task does not wait. */
const CALM_AT_ONCE = 4;
/** Longest wait of an acknowledgement when there are more, in ms. */
const CALM_MS = 4;

export class FlushTurns {
  #urgent: Flushable[] = [];
  #calm: Flushable[] = [];
  /** Those whose wait is over when the timer fires. */
  #waiting: Flushable[] = [];
  #isScheduled = false;

  addUrgent(outbox: Flushable): void {
    this.#urgent.push(outbox);
    this.#schedule();
  }

  addCalm(outbox: Flushable): void {
    this.#calm.push(outbox);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#take());
  }

  #take(): void {
    this.#isScheduled = false;
    const urgent = this.#urgent;
    this.#urgent = [];
    for (const outbox of urgent) outbox.flush();
    const calm = this.#calm;
    if (calm.length <= CALM_AT_ONCE && this.#waiting.length === 0) {
      this.#calm = [];
      for (const outbox of calm) outbox.flush();
    } else if (this.#waiting.length === 0) {
      this.#calm = [];
      this.#waiting = calm;
      setTimeout(() => this.#endWait(), CALM_MS);
    }
  }

  /** What had urgent news meanwhile has written by now: it costs no write here. */
  #endWait(): void {
    const waited = this.#waiting;
    this.#waiting = [];
    for (const outbox of waited) outbox.flush();
    if (this.#calm.length > 0) this.#schedule();
  }
}
