/**
 * What may start now, as far as limits and rates go: those of keys, which tasks name, and those of ops, which
 * their workers name. The live tasks ask here before they hand a task out, and tell of every start and end.
 */

import type { Rate } from "../../../protocol/text_forms.ts";
import type { LeaseRequest, WaitReason } from "../engine.ts";
import { KeyLimits } from "./key_limits.ts";
import type { LiveTask } from "./live_task.ts";
import { OpLimits, OpRates } from "./op_limits.ts";

const NO_LIMITS: ReadonlyMap<string, number> = new Map();

type Bounds = Pick<LeaseRequest, "ops" | "rates" | "limits">;

export class StartLimits {
  readonly keys = new KeyLimits();
  readonly opRates = new OpRates();
  readonly #opLimits = new OpLimits();
  /** The ops of all tasks that run. */
  readonly #running: () => Iterable<string>;

  constructor(running: () => Iterable<string>) {
    this.#running = running;
  }

  /** When something that is held back by a rate may start. */
  get nextAt(): number {
    return Math.min(this.keys.nextAt, this.opRates.nextAt);
  }

  /** Those of the ops that may start something. */
  openOps({ ops, rates, limits }: Bounds, now: number): ReadonlySet<string> {
    this.#opLimits.name(limits ?? NO_LIMITS, this.#running);
    let open: Set<string> | undefined;
    for (const op of this.opRates.full(ops, rates, now)) (open ??= new Set(ops)).delete(op);
    for (const op of this.#opLimits.full()) {
      if (ops.has(op)) (open ??= new Set(ops)).delete(op);
    }
    return open ?? ops;
  }

  /** Whether its key holds a task back; the key is then held back until one of its tasks ends, or a time. */
  holds(task: LiveTask, now: number): boolean {
    const { bond } = task.task;
    return bond ? this.keys.holds(bond, now) : false;
  }

  /** A task starts; true when that may have closed its op. */
  started(task: LiveTask, rate: Rate | undefined, now: number): boolean {
    const { bond } = task.task;
    if (bond) this.keys.started(bond, now);
    if (rate) this.opRates.started(task.op, rate, now);
    return this.#opLimits.started(task.op) || rate !== undefined;
  }

  /** A task has stopped running; its key, where that was held back and may try again. */
  ended(task: LiveTask, now: number): string | undefined {
    this.#opLimits.ended(task.op);
    const { bond } = task.task;
    return bond && this.keys.ended(bond, now) ? bond.key : undefined;
  }

  /** What holds a task back, without holding anything back. */
  look({ op, task }: LiveTask, now: number): WaitReason | undefined {
    const held = task.bond && this.keys.look(task.bond, now);
    if (held) {
      return { heldBy: held.by, ...(held.until === undefined ? {} : { until: held.until }) };
    }
    const limit = this.#opLimits.limitOf(op);
    if (limit !== undefined) return { heldBy: "op_limit", limit };
    const until = this.opRates.nextOf(op, now);
    return until > now ? { heldBy: "op_rate", until } : undefined;
  }

  /** Forgets what nothing is to be remembered of. */
  prune(now: number): void {
    this.keys.prune(now);
    this.opRates.prune(now);
  }
}
