/**
 * Asks workers that have nothing to do for a sign of life, now and then. What a task has left behind may keep
 * one busy for ever, and nobody would know before the next task waits for it: the watch over running
 * tasks sees only those that hold some.
 */

import type { Thread } from "./thread.ts";

/** One that has not answered after so long never will. */
const SIGN_MS = 5000;
/** A look that is later than this comes after a stop of the whole process, in ms: no worker could answer. */
const LATE_MS = 1000;

export class LifeWatch {
  readonly #threads: readonly Thread[];
  readonly #lost: (thread: Thread) => void;
  /** The heartbeat of those asked, when they were. */
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
