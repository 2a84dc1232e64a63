/**
 * Turns of the clients that read. What clients ask of an engine is read in slices of some milliseconds, few at
 * a time, each client in turn: so a write waits for those few slices at most, and a client that asks
 * for a thousand things delays another one by one of them. What a client that has left asked for is
 * not read any more. Reads without an asker are the engine's own, and do not wait here.
 */

import { Deque } from "@std/data-structures/deque";
import { SdError } from "../../protocol/errors.ts";
import type { Asker } from "./engine.ts";

/** How long a scan of memory may hold up everything else, in ms. */
const SLICE_MS = 2;
/** Steps between two looks at the clock. */
const STEPS_A_LOOK = 128;

/** The server itself, if what it scans may be as much as what a client asks for. */
export const SERVER: Asker = { signal: new AbortController().signal };

export class ReadTurns {
  /** In the order of their turns; each with what it waits for, oldest first. */
  readonly #waiting = new Map<Asker, Deque<() => void>>();
  readonly #mostSlices: number;
  #slices = 0;

  /** `mostSlices`: under way at a time. With some, a store thread has the next one at once. */
  constructor(mostSlices: number) {
    this.#mostSlices = mostSlices;
  }

  /** Resolves at the turn of `asker`, which `during` must take at once. Rejects if it has left by then. */
  async start(asker: Asker | undefined): Promise<void> {
    if (!asker) return;
    if (this.#slices < this.#mostSlices) this.#slices++;
    else await this.#turnOf(asker);
    if (!asker.signal.aborted) return;
    this.#pass();
    throw gone();
  }

  /** Passes the turn on once `reading` has settled. Answers `reading` itself, which is to be used at once. */
  during<T>(asker: Asker | undefined, reading: Promise<T>): Promise<T> {
    if (!asker) return reading;
    const pass = () => this.#pass();
    reading.then(pass, pass);
    return reading;
  }

  /** Runs `steps` to the end, some at each turn of `asker`; answers what they return. */
  async run<T>(asker: Asker | undefined, steps: Iterator<unknown, T>): Promise<T> {
    if (!asker) return untilDone(steps, Infinity).value as T;
    for (;;) {
      await this.start(asker);
      const step = await this.during(asker, this.#someOf(steps));
      if (step.done) return step.value;
    }
  }

  async #someOf<T>(steps: Iterator<unknown, T>): Promise<IteratorResult<unknown, T>> {
    // What came in meanwhile is handled first. Not `setImmediate`: Deno runs one after the other, a second long
    // and more, before it looks at sockets again.
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    return untilDone(steps, SLICE_MS);
  }

  /** Resolves at the turn, with the slice counted. */
  #turnOf(asker: Asker): Promise<void> {
    return new Promise((resolve) => {
      const own = this.#waiting.get(asker) ?? new Deque<() => void>();
      own.pushBack(resolve);
      if (own.length === 1) this.#waiting.set(asker, own);
    });
  }

  /** Hands the slice that has ended to the next asker. */
  #pass(): void {
    const next = this.#waiting.entries().next();
    if (next.done) {
      this.#slices--;
      return;
    }
    const [asker, own] = next.value;
    this.#waiting.delete(asker);
    const start = own.popFront();
    if (own.length > 0) this.#waiting.set(asker, own);
    start?.();
  }
}

/** Steps on for `ms`; the last step of them, or of all. */
function untilDone<T>(steps: Iterator<unknown, T>, ms: number): IteratorResult<unknown, T> {
  const start = performance.now();
  for (let count = 1;; count++) {
    const step = steps.next();
    if (step.done) return step;
    if (count % STEPS_A_LOOK === 0 && performance.now() - start > ms) return step;
  }
}

/** Throws if the client has left: what it asked for is not begun, or gone on with, any more. */
export function checkThere(asker: Asker | undefined): void {
  if (asker?.signal.aborted) throw gone();
}

function gone(): SdError {
  return new SdError("not_found", "nobody waits for this any more");
}
