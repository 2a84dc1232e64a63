/**
 * Which ops there are, and what their options ask for: what worker processes said when they connected. Where
 * several say different things of one op, the one that came last counts: during a rolling change it
 * is the newer one. An op stays known when its last worker leaves, so that a restart of the workers refuses
 * nobody; unless the pool that it was of has come again without it.
 */

import type { OpSpec } from "../../protocol/op_spec.ts";
import { DEFAULTS, defaultsOf, type TaskDefaults } from "../task/new_task.ts";
import { type Rate, readRate } from "../../protocol/rate.ts";
import type { Runner } from "./runner.ts";

/** What a submit has to know of its op. */
export interface KnownOp {
  readonly defaults: TaskDefaults;
  /** Its arguments are checked before a task is taken. */
  readonly hasSchema: boolean;
}

/** While nothing is known of any op. */
const ANY_OP: KnownOp = { defaults: DEFAULTS, hasSchema: false };

class Op implements KnownOp {
  defaults = DEFAULTS;
  hasSchema = false;
  spec: OpSpec;
  /** Who has it now; the one that came last is the last. */
  runners: Runner[] = [];
  /** The pools that had it when they last came, by name; those without a name are one. */
  readonly pools = new Set<string | undefined>();

  constructor(spec: OpSpec) {
    this.spec = spec;
  }

  get workers(): number {
    return this.runners.reduce((sum, { workers }) => sum + workers, 0);
  }

  take(spec: OpSpec): void {
    this.spec = spec;
    this.defaults = defaultsOf(spec);
    this.hasSchema = spec.schema !== undefined;
  }
}

export class OpDirectory {
  readonly #ops = new Map<string, Op>();
  #rates: ReadonlyMap<string, Rate> = new Map();
  #limits: ReadonlyMap<string, number> = new Map();
  #ready: Promise<void> | undefined;
  #markReady: () => void = () => {};

  /** With `expectsWorkers`, nobody can say that an op is unknown before the first ones are there. */
  constructor(expectsWorkers: boolean) {
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
    return this.#rates;
  }

  /** Of the ops that have one: how many of their tasks may run at a time. */
  get limits(): ReadonlyMap<string, number> {
    return this.#limits;
  }

  /** Answers nothing more to wait for, workers or not. */
  giveUpWaiting(): void {
    this.#markReady();
  }

  add(runner: Runner): void {
    for (const spec of runner.specs.values()) {
      let op = this.#ops.get(spec.op);
      if (!op) this.#ops.set(spec.op, op = new Op(spec));
      op.runners.push(runner);
      op.pools.add(runner.pool);
      op.take(spec);
    }
    if (runner.pool !== undefined) this.#forgetOthers(runner.pool, runner.specs);
    this.#bound();
    this.#markReady();
  }

  remove(runner: Runner): void {
    for (const name of runner.specs.keys()) {
      const op = this.#ops.get(name);
      if (!op) continue;
      op.runners = op.runners.filter((one) => one !== runner);
      const last = op.runners.at(-1)?.specs.get(name);
      if (last) op.take(last);
      else if (op.pools.size === 0) this.#ops.delete(name);
    }
    this.#bound();
  }

  /** What is known of `op`; of any op while no worker has ever connected: then nothing is known to be wrong. */
  get(op: unknown): KnownOp | undefined {
    return this.#ops.get(op as string) ?? (this.#ops.size === 0 ? ANY_OP : undefined);
  }

  /** Who has `op` now; the one that came last is the first. */
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
    for (const [name, op] of this.#ops) {
      if (specs.has(name)) continue;
      op.pools.delete(pool);
      if (op.pools.size === 0 && op.runners.length === 0) this.#ops.delete(name);
    }
  }

  #bound(): void {
    const rates = new Map<string, Rate>();
    const limits = new Map<string, number>();
    for (const [name, { spec }] of this.#ops) {
      const rate = readRate(spec.rate);
      if (rate) rates.set(name, rate);
      if (spec.limit !== undefined) limits.set(name, spec.limit);
    }
    this.#rates = rates;
    this.#limits = limits;
  }
}
