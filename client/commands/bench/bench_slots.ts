/**
 * The tasks in flight on one connection of the bench, their latencies, and the check that each gets exactly one
 * acknowledgement and then one result. Each task has a slot. A ref is the slot plus a multiple of the number of slots:
 * a reply to an earlier task, or of another connection, has another ref.
 */

/** Counts of all connections of a run. */
export interface BenchTally {
  /** Tasks that are still to be submitted. */
  left: number;
  /** Submits end at this time of `performance.now()`. */
  until: number;
  finished: number;
  samples: LatencySamples;
  errors: Map<string, number>;
}

const FREE = 0, SUBMITTED = 1, ACKNOWLEDGED = 2;

export interface BenchSlotsOptions {
  connections: number;
  depth: number;
  /** Index of this connection. */
  index: number;
  tally: BenchTally;
}

export class BenchSlots {
  inFlight = 0;
  readonly #tally: BenchTally;
  /** Number of slots of all connections. */
  readonly #all: number;
  readonly #first: number;
  /** By slot: ref, state and time of submit of its task. */
  readonly #refs: Int32Array;
  readonly #states: Uint8Array;
  readonly #times: Float64Array;

  constructor({ connections, depth, index, tally }: BenchSlotsOptions) {
    this.#tally = tally;
    this.#all = connections * depth;
    this.#first = index * depth;
    this.#refs = new Int32Array(depth).map((_, slot) => this.#first + slot);
    this.#states = new Uint8Array(depth);
    this.#times = new Float64Array(depth);
  }

  get size(): number {
    return this.#states.length;
  }

  /** Takes `slot` for the next task and returns its ref; −1 if there are no more tasks. */
  submit(slot: number, now: number): number {
    const tally = this.#tally;
    if (tally.left <= 0 || now >= tally.until) return -1;
    tally.left--;
    this.inFlight++;
    this.#states[slot] = SUBMITTED;
    this.#times[slot] = now;
    return this.#refs[slot] ?? -1;
  }

  /** Notes the acknowledgement of a task. */
  acknowledge(ref: number): void {
    const slot = this.#slotOf(ref);
    if (slot >= 0 && this.#states[slot] === SUBMITTED) this.#states[slot] = ACKNOWLEDGED;
    else this.count("acknowledged twice, or never submitted");
  }

  /** Notes a result, correct or not. Returns the slot, which is free now, or −1 for an unknown task. */
  finish(ref: number, right: boolean, now: number): number {
    const slot = this.#slotOf(ref);
    if (slot < 0) {
      this.count("answered twice, or never submitted");
      return -1;
    }
    if (this.#states[slot] !== ACKNOWLEDGED) this.count("answered before it was acknowledged");
    if (!right) this.count("wrong result");
    this.#tally.samples.add(now - (this.#times[slot] ?? now));
    this.#free(slot);
    return slot;
  }

  /** Notes a task without a result, for `reason`. Returns its slot, or −1 for an unknown task. */
  giveUp(ref: number, reason: string): number {
    this.count(reason);
    const slot = this.#slotOf(ref);
    if (slot >= 0) this.#free(slot);
    return slot;
  }

  count(error: string): void {
    const { errors } = this.#tally;
    errors.set(error, (errors.get(error) ?? 0) + 1);
  }

  #free(slot: number): void {
    this.#tally.finished++;
    this.inFlight--;
    this.#states[slot] = FREE;
    this.#refs[slot] = (this.#refs[slot] ?? 0) + this.#all;
  }

  #slotOf(ref: number): number {
    const slot = ref % this.#all - this.#first;
    return this.#refs[slot] === ref && this.#states[slot] !== FREE ? slot : -1;
  }
}

/**
 * Latencies of any number of tasks in limited memory: all while they fit, then every second, every fourth and so on,
 * evenly over the whole run. The longest is always kept.
 */
export class LatencySamples {
  readonly #samples: Float64Array;
  #size = 0;
  /** One of this many latencies is kept. */
  #stride = 1;
  #skip = 0;
  #maxMs = 0;

  constructor(capacity: number) {
    this.#samples = new Float64Array(capacity);
  }

  add(ms: number): void {
    if (ms > this.#maxMs) this.#maxMs = ms;
    if (this.#skip > 0) {
      this.#skip--;
      return;
    }
    if (this.#size === this.#samples.length) this.#thin();
    this.#samples[this.#size++] = ms;
    this.#skip = this.#stride - 1;
  }

  /** Percentiles at `parts` (0.5 is the median), and the longest latency. */
  summary(parts: readonly number[]): { percentiles: number[]; maxMs: number } {
    const sorted = this.#samples.slice(0, this.#size).sort();
    const percentiles = parts.map((part) => {
      const place = Math.ceil(part * sorted.length) - 1;
      return sorted[Math.max(0, place)] ?? 0;
    });
    return { percentiles, maxMs: this.#maxMs };
  }

  #thin(): void {
    for (let i = 0; 2 * i < this.#size; i++) this.#samples[i] = this.#samples[2 * i] ?? 0;
    this.#size = Math.ceil(this.#size / 2);
    this.#stride *= 2;
  }
}
