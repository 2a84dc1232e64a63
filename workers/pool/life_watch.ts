/**
 * Asks idle workers for a sign of life, every few seconds. Code that a task left behind can keep a worker busy for
 * ever, and without this it would be found only when the next task waits for it: `ThreadWatch` sees only workers that
 * hold tasks. `Pool` owns it.
 */

import type { Thread } from "./thread.ts";

/** Longest time for an answer, in ms. */
const SIGN_MS = 5000;
/** Delay of a look from which the whole process must have been stopped, in ms: then no worker could answer. */
const LATE_MS = 1000;

export class LifeWatch {
  readonly #threads: readonly Thread[];
  readonly #lost: (thread: Thread) => void;
  /** Workers that were asked, each with its heartbeat at that time. */
  readonly #asked = new Map<Thread, number>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #lookedAt = 0;

  constructor(threads: readonly Thread[], lost: (thread: Thread) => void) {
    this.#threads = threads;
    this.#lost = lost;
  }

  start(signMs = SIGN_MS): void {
    this.#lookedAt = performance.now();
    this.#timer ??= setInterval(() => this.#look(signMs), signMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#asked.clear();
  }

  #look(signMs: number): void {
    const silent: Thread[] = [];
    const now = performance.now();
    if (now - this.#lookedAt > signMs + LATE_MS) this.#asked.clear();
    this.#lookedAt = now;
    for (const [thread, heartbeat] of this.#asked) {
      const isIdle = thread.isIdle && this.#threads.includes(thread);
      if (isIdle && thread.row.heartbeat === heartbeat) silent.push(thread);
    }
    this.#asked.clear();
    for (const thread of silent) this.#lost(thread);
    for (const thread of this.#threads) {
      if (!thread.isIdle || !thread.isUsed) continue;
      this.#asked.set(thread, thread.row.heartbeat);
      thread.askForSign();
    }
  }
}
