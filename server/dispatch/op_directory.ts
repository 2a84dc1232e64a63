/**
 * The directory of ops and their options, as worker processes announced them when they connected. If several processes
 * disagree about an op, the latest counts: during a rolling change it is the newer one. An op stays known when its last
 * worker leaves, so that a restart of the workers refuses no submit, unless its pool comes again without it. It is
 * forgotten an hour after its last pool has left, or sooner if very many ops are without a pool. An op with tasks that
 * wait or run is never forgotten.
 */

import type { OpSpec } from "../../protocol/op_spec.ts";
import { DEFAULTS, defaultsOf, type KnownOp } from "../task/new_task.ts";
import { type Rate, readRate } from "../../protocol/text_forms.ts";
import type { Runner } from "./runner.ts";

/** How long an op is known after its last pool has left, in ms. */
const KEPT_MS = 3_600_000;
/** Most ops without a pool that are kept for `KEPT_MS`; beyond it the oldest go sooner, */
export const MAX_LEFT_OPS = 1000;
/** but not before this, in ms: the workers may only be restarting. */
const RESTART_MS = 60_000;
/** Between two looks at what can be forgotten, in ms. */
const LOOK_MS = 10_000;

/** The answer while no op is known. */
const ANY_OP: KnownOp = { defaults: DEFAULTS, hasSchema: false };

interface Bounds {
  readonly rates: ReadonlyMap<string, Rate>;
  readonly limits: ReadonlyMap<string, number>;
}

class Op implements KnownOp {
  defaults = DEFAULTS;
  hasSchema = false;
  spec: OpSpec;
  /** The runners that have it now, in the order in which they came. */
  runners: Runner[] = [];
  /**
   * The pools that had it when they last came, by name, each with the time when it left; Infinity while it is
   * connected. All pools without a name are one.
   */
  readonly pools = new Map<string | undefined, number>();

  constructor(spec: OpSpec) {
    this.spec = spec;
  }

  get workers(): number {
    return this.runners.reduce((sum, { workers }) => sum + workers, 0);
  }

  /** When its last pool left; Infinity while one is there. */
  get leftAt(): number {
    return this.runners.length > 0 ? Infinity : Math.max(0, ...this.pools.values());
  }

  take(spec: OpSpec): void {
    this.spec = spec;
    this.defaults = defaultsOf(spec);
    this.hasSchema = spec.schema !== undefined;
  }
}

export class OpDirectory {
  readonly #ops = new Map<string, Op>();
  readonly #now: () => number;
  #lookAt = 0;
  /** Rates and limits of all ops; `undefined` once an op has changed. */
  #bounds: Bounds | undefined;
  /** The ops that each named pool had when it last came. */
  readonly #opsOf = new Map<string, Iterable<string>>();
  #ready: Promise<void> | undefined;
  #markReady: () => void = () => {};

  /**
   * With `expectsWorkers`, no op counts as unknown before the first workers are there. `now` is a monotonic clock in
   * ms.
   */
  constructor(expectsWorkers: boolean, now: () => number = () => performance.now()) {
    this.#now = now;
    if (expectsWorkers) {
      this.#ready = new Promise((resolve) => {
        this.#markReady = () => {
          this.#ready = undefined;
          resolve();
        };
      });
    }
  }

  /** Pending while the first workers are on their way; `undefined` afterwards. */
  get ready(): Promise<void> | undefined {
    return this.#ready;
  }

  /** Of the ops that have one: how many of their tasks may start in a time. */
  get rates(): ReadonlyMap<string, Rate> {
    return (this.#bounds ??= this.#bound()).rates;
  }

  /** Of the ops that have one: how many of their tasks may run at a time. */
  get limits(): ReadonlyMap<string, number> {
    return (this.#bounds ??= this.#bound()).limits;
  }

  /** Stops waiting for the first worker: unknown ops are refused from now on. */
  giveUpWaiting(): void {
    this.#markReady();
  }

  add(runner: Runner): void {
    for (const spec of runner.specs.values()) {
      let op = this.#ops.get(spec.op);
      if (!op) this.#ops.set(spec.op, op = new Op(spec));
      op.runners.push(runner);
      op.pools.set(runner.pool, Infinity);
      op.take(spec);
    }
    if (runner.pool !== undefined) this.#forgetOthers(runner.pool, runner.specs);
    this.#bounds = undefined;
    // Another pool may be quicker after a restart, and does not have the ops of the server's own workers.
    if (runner.pool !== undefined) this.#markReady();
  }

  remove(runner: Runner): void {
    for (const name of runner.specs.keys()) {
      const op = this.#ops.get(name);
      if (!op) continue;
      op.runners = op.runners.filter((one) => one !== runner);
      if (op.pools.has(runner.pool) && !op.runners.some(({ pool }) => pool === runner.pool)) {
        op.pools.set(runner.pool, this.#now());
      }
      const last = op.runners.at(-1)?.specs.get(name);
      if (last) op.take(last);
      else if (op.pools.size === 0) this.#ops.delete(name);
    }
    this.#bounds = undefined;
  }

  /** It is time to `forget` what can be. */
  get isDue(): boolean {
    return this.#now() >= this.#lookAt;
  }

  /** Forgets pools that left long ago, and the ops that no other pool has, except ops with `isOpen`. */
  forget(isOpen: (op: string) => boolean): void {
    // Own workers that are still not there must not hold up what others can do.
    if (this.#ops.size > 0) this.#markReady();
    const now = this.#now();
    this.#lookAt = now + LOOK_MS;
    const left: [name: string, op: Op][] = [];
    for (const [name, op] of this.#ops) {
      if (op.runners.length === 0 && !isOpen(name)) left.push([name, op]);
    }
    left.sort(([, a], [, b]) => b.leftAt - a.leftAt);
    left.forEach(([name, { leftAt }], place) => {
      if (now - leftAt < (place < MAX_LEFT_OPS ? KEPT_MS : RESTART_MS)) return;
      this.#ops.delete(name);
      this.#bounds = undefined;
    });
    const known = new Set<string | undefined>();
    for (const { pools } of this.#ops.values()) {
      for (const [pool, leftAt] of pools) {
        // The last one says since when the op has been without any.
        if (now - leftAt >= KEPT_MS && pools.size > 1) pools.delete(pool);
        else known.add(pool);
      }
    }
    for (const pool of this.#opsOf.keys()) if (!known.has(pool)) this.#opsOf.delete(pool);
  }

  /** What is known of `op`; of any op while no worker has ever connected: then nothing is known to be wrong. */
  get(op: unknown): KnownOp | undefined {
    return this.#ops.get(op as string) ?? (this.#ops.size === 0 ? ANY_OP : undefined);
  }

  /** The runners that have `op` now, the latest first. */
  runnersOf(op: string): Runner[] {
    return this.#ops.get(op)?.runners.toReversed() ?? [];
  }

  names(): Iterable<string> {
    return this.#ops.keys();
  }

  /** Every known op and how many workers run it now, by name. */
  list(): (OpSpec & { workers: number })[] {
    return [...this.#ops.values()].map(({ spec, workers }) => ({ ...spec, workers }))
      .sort((a, b) => a.op < b.op ? -1 : 1);
  }

  /** The pool has come again: it has these ops and no others. */
  #forgetOthers(pool: string, specs: ReadonlyMap<string, OpSpec>): void {
    for (const name of this.#opsOf.get(pool) ?? []) {
      const op = this.#ops.get(name);
      if (!op || specs.has(name)) continue;
      op.pools.delete(pool);
      if (op.pools.size === 0 && op.runners.length === 0) this.#ops.delete(name);
    }
    this.#opsOf.set(pool, [...specs.keys()]);
  }

  #bound(): Bounds {
    const rates = new Map<string, Rate>();
    const limits = new Map<string, number>();
    for (const [name, { spec }] of this.#ops) {
      const rate = readRate(spec.rate);
      if (rate) rates.set(name, rate);
      if (spec.limit !== undefined) limits.set(name, spec.limit);
    }
    return { rates, limits };
  }
}
