/**
 * Turns of clients that read. Reads of clients are done in slices of some milliseconds, few at a time, each client in turn.
 * So a write waits for those few slices at most, and a client with a thousand reads delays another one by one slice. Reads
 * of a client that has left are dropped. Reads without an asker are the engine's own, and do not wait.
 */

import { Deque } from "@std/data-structures/deque";
import { SdError } from "../../protocol/errors.ts";
import type { Asker } from "./engine.ts";

/** Longest slice of a scan of memory, in ms: everything else waits meanwhile. */
const SLICE_MS = 2;
/** Steps between two looks at the clock. */
const STEPS_A_LOOK = 128;

/** The server as an asker, for scans as large as a client can ask for. */
export const SERVER: Asker = { signal: new AbortController().signal };

export class ReadTurns {
  /** The askers in the order of their turns; each with its waiting reads, the oldest first. */
  readonly #waiting = new Map<Asker, Deque<() => void>>();
  readonly #mostSlices: number;
  #slices = 0;

  /** `mostSlices`: most slices under way at a time. With several, a store thread always has the next one. */
  constructor(mostSlices: number) {
    this.#mostSlices = mostSlices;
  }

  /** Resolves at the turn of `asker`, which `during` must use at once. Rejects if the asker has left by then. */
  async start(asker: Asker | undefined): Promise<void> {
    if (!asker) return;
    if (this.#slices < this.#mostSlices) this.#slices++;
    else await this.#turnOf(asker);
    if (!asker.signal.aborted) return;
    this.#pass();
    throw gone();
  }

  /** Passes the turn on once `reading` has settled. Returns `reading` itself, for immediate use. */
  during<T>(asker: Asker | undefined, reading: Promise<T>): Promise<T> {
    if (!asker) return reading;
    const pass = () => this.#pass();
    reading.then(pass, pass);
    return reading;
  }

  /** Runs `steps` to the end, some at each turn of `asker`; resolves with their result. */
  async run<T>(asker: Asker | undefined, steps: Iterator<unknown, T>): Promise<T> {
    if (!asker) return untilDone(steps, Infinity).value as T;
    for (;;) {
      await this.start(asker);
      const step = await this.during(asker, this.#someOf(steps));
      if (step.done) return step.value;
    }
  }

  async #someOf<T>(steps: Iterator<unknown, T>): Promise<IteratorResult<unknown, T>> {
    // Input that came meanwhile is handled first. `setImmediate` does not do that: Deno can run immediates for a second
    // and more before it looks at sockets again.
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

/** Runs steps for `ms` or to the end; returns the last step. */
function untilDone<T>(steps: Iterator<unknown, T>, ms: number): IteratorResult<unknown, T> {
  const start = performance.now();
  for (let count = 1;; count++) {
    const step = steps.next();
    if (step.done) return step;
    if (count % STEPS_A_LOOK === 0 && performance.now() - start > ms) return step;
  }
}

/** Throws if the client has left, so that its work is not begun or continued. */
export function checkThere(asker: Asker | undefined): void {
  if (asker?.signal.aborted) throw gone();
}

function gone(): SdError {
  return new SdError("not_found", "the client has left, so this was not done");
}
