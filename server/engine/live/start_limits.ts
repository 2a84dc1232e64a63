/**
 * Limits and rates of starts: of keys, which tasks name, and of ops, which workers name. `LiveTasks` asks before it leases
 * a task, and reports every start and end.
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
  /** The ops of all running tasks. */
  readonly #running: () => Iterable<string>;

  constructor(running: () => Iterable<string>) {
    this.#running = running;
  }

  /** The next time at which a task that a rate holds back can start. */
  get nextAt(): number {
    return Math.min(this.keys.nextAt, this.opRates.nextAt);
  }

  /** The requested ops of which a task can start now. */
  openOps({ ops, rates, limits }: Bounds, now: number): ReadonlySet<string> {
    this.#opLimits.name(limits ?? NO_LIMITS, this.#running);
    let open: Set<string> | undefined;
    for (const op of this.opRates.full(ops, rates, now)) (open ??= new Set(ops)).delete(op);
    for (const op of this.#opLimits.full()) {
      if (ops.has(op)) (open ??= new Set(ops)).delete(op);
    }
    return open ?? ops;
  }

  /** Whether its key holds a task back. If so, the key is held until one of its tasks ends, or until a time. */
  holds(task: LiveTask, now: number): boolean {
    const { keyLimit } = task.task;
    return keyLimit ? this.keys.holds(keyLimit, now) : false;
  }

  /** Counts the start of a task; true if its op can be full now. */
  started(task: LiveTask, rate: Rate | undefined, now: number): boolean {
    const { keyLimit } = task.task;
    if (keyLimit) this.keys.started(keyLimit, now);
    if (rate) this.opRates.started(task.op, rate, now);
    return this.#opLimits.started(task.op) || rate !== undefined;
  }

  /** Counts the end of a run; returns the key of the task if that was held, and is free now. */
  ended(task: LiveTask, now: number): string | undefined {
    this.#opLimits.ended(task.op);
    const { keyLimit } = task.task;
    return keyLimit && this.keys.ended(keyLimit, now) ? keyLimit.key : undefined;
  }

  /** The reason why a task cannot start now. Holds no key. */
  look({ op, task }: LiveTask, now: number): WaitReason | undefined {
    const held = task.keyLimit && this.keys.look(task.keyLimit, now);
    if (held) {
      return { heldBy: held.by, ...(held.until === undefined ? {} : { until: held.until }) };
    }
    const limit = this.#opLimits.limitOf(op);
    if (limit !== undefined) return { heldBy: "op_limit", limit };
    const until = this.opRates.nextOf(op, now);
    return until > now ? { heldBy: "op_rate", until } : undefined;
  }

  /** Forgets keys and ops that have no starts in their windows. */
  prune(now: number): void {
    this.keys.prune(now);
    this.opRates.prune(now);
  }
}
