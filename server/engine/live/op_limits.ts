/**
 * How many tasks of the ops with a limit run, and which ops may start one more. Ops without a limit are not
 * counted: what runs of one is counted when its limit is first named.
 */

interface OpCount {
  running: number;
  /** As it was last named; `Infinity` once it has none any more. */
  limit: number;
}

export class OpLimits {
  readonly #ops = new Map<string, OpCount>();
  /** As they were last told. */
  #named: ReadonlyMap<string, number> = new Map();

  /** Takes up the limits that hold from now on; `running` are the ops of all tasks that run. */
  name(limits: ReadonlyMap<string, number>, running: () => Iterable<string>): void {
    if (limits === this.#named) return;
    this.#named = limits;
    const fresh = new Map<string, OpCount>();
    for (const [op, limit] of limits) {
      const known = this.#ops.get(op);
      if (known) known.limit = limit;
      else fresh.set(op, { running: 0, limit });
    }
    for (const [op, known] of this.#ops) {
      if (limits.has(op)) continue;
      // Counted on while any run, so that a limit that comes back finds them.
      known.limit = Infinity;
      if (known.running === 0) this.#ops.delete(op);
    }
    if (fresh.size === 0) return;
    for (const op of running()) {
      const count = fresh.get(op);
      if (count) count.running++;
    }
    for (const [op, count] of fresh) this.#ops.set(op, count);
  }

  /** The limit of `op` where as many of its tasks run; `undefined` where one more may start. */
  limitOf(op: string): number | undefined {
    const known = this.#ops.get(op);
    return known && known.running >= known.limit ? known.limit : undefined;
  }

  /** The ops that may start nothing now. */
  *full(): Generator<string> {
    for (const [op, { running, limit }] of this.#ops) if (running >= limit) yield op;
  }

  /** A task of `op` starts; true when it was the last that may. */
  started(op: string): boolean {
    if (this.#ops.size === 0) return false;
    const known = this.#ops.get(op);
    return known !== undefined && ++known.running >= known.limit;
  }

  ended(op: string): void {
    if (this.#ops.size === 0) return;
    const known = this.#ops.get(op);
    if (!known) return;
    known.running--;
    if (known.running === 0 && known.limit === Infinity) this.#ops.delete(op);
  }
}
