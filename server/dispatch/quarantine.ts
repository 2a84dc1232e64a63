/**
 * The quarantine of suspects: tasks that were running in two deaths of worker processes, and fail at the next. A suspect
 * runs on a runner that holds nothing else, so that no other task is blamed for a death that is not its own. The
 * dispatcher reports here for which ops suspects are queued, and asks before it gives a runner anything.
 *
 * Invariants: only a runner that has the op of a suspect, and accepts tasks, is spared for it. At most one
 * runner is spared for an op, and one runner for all ops that it has. A runner that does not empty within its
 * window takes other tasks again for as long. The next window of the op is twice as long: in the end it is longer
 * than the longest task, and other tasks wait for at most half of the time.
 */

import type { Runner } from "./runner.ts";

/** How long a runner is first spared while it is not empty, in ms. */
const FIRST_WINDOW_MS = 10_000;

interface Spare {
  /** The ops of the suspects that it is spared for. */
  readonly ops: Set<string>;
  readonly since: number;
  readonly windowMs: number;
  /** It was given a suspect. */
  isRunning: boolean;
}

/** Of an op whose runner did not empty in time: no runner is spared for it until then. */
interface Rest {
  readonly until: number;
  readonly windowMs: number;
}

export class Quarantine {
  readonly #spares = new Map<Runner, Spare>();
  readonly #rests = new Map<string, Rest>();
  readonly #now: () => number;

  /** `now`: a time in ms that never goes back. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Suspects of `ops` are queued and may start: spares for each op the least busy of the `runners` that can
   * run it. True: another runner is spared than before.
   */
  need(ops: Iterable<string>, runners: readonly Runner[]): boolean {
    let changed = false;
    for (const op of ops) {
      const rest = this.#rests.get(op);
      if (rest && this.#now() < rest.until) continue;
      const current = this.#spareOf(op);
      if (current && this.#spares.get(current)?.isRunning) continue;
      const best = this.#best(op, runners);
      if (!best || best === current || (current && current.held <= best.held)) continue;
      if (current) this.#leaveOp(current, op);
      this.#spare(best, op, rest ? 2 * rest.windowMs : FIRST_WINDOW_MS);
      changed = true;
    }
    return changed;
  }

  /** The tasks that `runner` can get now. */
  allows(runner: Runner): "all" | "suspect" | "nothing" {
    const spare = this.#spares.get(runner);
    if (!spare) return "all";
    if (spare.isRunning) {
      if (runner.held > 0) return "nothing";
      // The suspect has ended, and its runner outlived it.
      this.#spares.delete(runner);
      return "all";
    }
    if (!runner.accepts) {
      this.#spares.delete(runner);
      return "all";
    }
    if (runner.held === 0) return "suspect";
    return this.#isOver(runner, spare) ? "all" : "nothing";
  }

  /** The runner was given a suspect, or none: then `waits` says whether one of its suspects is held back. */
  settle(runner: Runner, { gotOne, waits }: { gotOne: boolean; waits: boolean }): void {
    const spare = this.#spares.get(runner);
    if (!spare) return;
    if (gotOne) {
      spare.isRunning = true;
      for (const op of spare.ops) this.#rests.delete(op);
    } else if (!waits) {
      this.#spares.delete(runner);
    } else {
      this.#isOver(runner, spare);
    }
  }

  /** The runner is gone, and with it what it ran. */
  leave(runner: Runner): void {
    this.#spares.delete(runner);
  }

  /** Whether `runner` is kept from other tasks. */
  spares(runner: Runner): boolean {
    return this.#spares.has(runner);
  }

  /** Ops of suspects that a runner is spared for now. */
  *waiting(): Generator<string> {
    for (const { ops, isRunning } of this.#spares.values()) if (!isRunning) yield* ops;
  }

  /** The time until the window or the rest ends, in ms; `Infinity` if there is neither. */
  get nextMs(): number {
    const now = this.#now();
    let next = Infinity;
    for (const { isRunning, since, windowMs } of this.#spares.values()) {
      if (!isRunning) next = Math.min(next, Math.max(0, since + windowMs - now));
    }
    for (const [op, { until, windowMs }] of this.#rests) {
      if (until > now) next = Math.min(next, until - now);
      // Long enough over: a suspect of the op that comes now begins again with the first window.
      else if (now - until > windowMs) this.#rests.delete(op);
    }
    return next;
  }

  #spareOf(op: string): Runner | undefined {
    for (const [runner, { ops }] of this.#spares) if (ops.has(op)) return runner;
    return undefined;
  }

  #best(op: string, runners: readonly Runner[]): Runner | undefined {
    let best: Runner | undefined;
    for (const runner of runners) {
      if (!runner.accepts || !runner.ops.has(op) || this.#spares.get(runner)?.isRunning) continue;
      const isLess = !best || runner.held < best.held ||
        (runner.held === best.held && this.#spares.has(runner) && !this.#spares.has(best));
      if (isLess) best = runner;
    }
    return best;
  }

  #spare(runner: Runner, op: string, windowMs: number): void {
    const spare = this.#spares.get(runner);
    if (spare) spare.ops.add(op);
    else {
      const since = this.#now();
      this.#spares.set(runner, { ops: new Set([op]), since, windowMs, isRunning: false });
    }
  }

  #leaveOp(runner: Runner, op: string): void {
    const spare = this.#spares.get(runner);
    spare?.ops.delete(op);
    if (spare?.ops.size === 0) this.#spares.delete(runner);
  }

  /** Whether the runner's window is over; then it rests from being spared. */
  #isOver(runner: Runner, { ops, since, windowMs }: Spare): boolean {
    const now = this.#now();
    if (now - since < windowMs) return false;
    this.#spares.delete(runner);
    for (const op of ops) this.#rests.set(op, { until: now + windowMs, windowMs });
    return true;
  }
}
