/**
 * Limits and rates of starts: of keys, which tasks name, and of ops, which workers name. `LiveTasks` asks `StartLimits`
 * before it leases a task, and reports every start and end. `KeyLimits` counts the running tasks of each key, and holds a
 * full key until one of its tasks ends, or until a time. `OpLimits` counts the running tasks of ops with a limit.
 * `RateWindow` has the start times of one key or op with a rate.
 */

import { BinaryHeap } from "@std/data-structures/binary-heap";
import { MAX_RATE_STARTS } from "../../../protocol/limits.ts";
import type { Rate } from "../../../protocol/text_forms.ts";
import type { KeyLimit } from "../../task/new_task.ts";
import type { LeaseRequest, WaitReason } from "../engine.ts";
import type { Reservation } from "../adoption.ts";
import type { LiveTask } from "./live_task.ts";
import { Takeover } from "./takeover.ts";

const NONE: readonly string[] = [];
const NO_LIMITS: ReadonlyMap<string, number> = new Map();

type Bounds = Pick<LeaseRequest, "ops" | "rates" | "limits">;

export class StartLimits {
  readonly keys = new KeyLimits();
  readonly opRates = new OpRates();
  readonly #opLimits = new OpLimits();
  /** The starts that wait after a takeover; `undefined` if none do. */
  #takeover: Takeover | undefined;
  /** The ops of all running tasks. */
  readonly #running: () => Iterable<string>;

  constructor(running: () => Iterable<string>) {
    this.#running = running;
  }

  /** The next time at which a task that a rate holds back can start. */
  get nextAt(): number {
    return Math.min(this.keys.nextAt, this.opRates.nextAt, this.#takeover?.until ?? Infinity);
  }

  get takeover(): Takeover | undefined {
    return this.#takeover;
  }

  /** Begins or ends to hold starts back; returns what waited for the end of an earlier reservation. */
  reserve(reservation: Reservation | undefined): Takeover["waiting"] | undefined {
    const before = this.#takeover;
    this.#takeover = reservation && new Takeover(reservation);
    return before?.waiting;
  }

  /** The requested ops of which a task can start now. */
  openOps({ ops, rates, limits }: Bounds, now: number): ReadonlySet<string> {
    this.#opLimits.name(limits ?? NO_LIMITS, this.#running);
    let open: Set<string> | undefined;
    for (const op of this.opRates.full(ops, rates, now)) (open ??= new Set(ops)).delete(op);
    for (const op of this.#opLimits.full()) {
      if (ops.has(op)) (open ??= new Set(ops)).delete(op);
    }
    if (this.#takeover && !this.#takeover.isOver(now)) {
      for (const op of limits?.keys() ?? []) {
        if (ops.has(op)) (open ??= new Set(ops)).delete(op);
      }
    }
    return open ?? ops;
  }

  /** Whether its key holds a task back. If so, the key is held until one of its tasks ends, or until a time. */
  holds(task: LiveTask, now: number): boolean {
    if (this.#takeover?.holdsKey(task, now)) return true;
    const { keyLimit } = task.task;
    return keyLimit ? this.keys.holds(keyLimit, now) : false;
  }

  /** Whether as many tasks of its key or its op run as can. */
  isFull({ op, task }: LiveTask): boolean {
    const { keyLimit } = task;
    return (keyLimit !== undefined && this.keys.isFull(keyLimit)) ||
      this.#opLimits.limitOf(op) !== undefined;
  }

  /** Counts a run that goes on: rates have counted its start. */
  resumed(task: LiveTask, now: number): void {
    const { keyLimit } = task.task;
    if (keyLimit) this.keys.started({ ...keyLimit, rate: undefined }, now);
    this.#opLimits.started(task.op);
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
  look(live: LiveTask, now: number): WaitReason | undefined {
    const { op, task } = live;
    const reserved = this.#takeover?.look(live, this.#opLimits.has(op), now);
    if (reserved) return reserved;
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

interface KeyState {
  running: number;
  /** Start times, for a key with a rate. */
  window: RateWindow | undefined;
  /** The longest window that its tasks named. */
  windowMs: number;
  isHeld: boolean;
}

interface Wake {
  readonly key: string;
  readonly at: number;
}

/** The running tasks and the start times of each key. */
class KeyLimits {
  readonly #keys = new Map<string, KeyState>();
  readonly #wakes = new BinaryHeap<Wake>((a, b) => a.at - b.at);

  /** The next time at which a key that its rate holds back can start a task. */
  get nextAt(): number {
    return this.#wakes.peek()?.at ?? Infinity;
  }

  /** The reason why a task with this limit cannot start. Holds no key. */
  look(
    keyLimit: KeyLimit,
    now: number,
  ): { by: "key_limit" | "key_rate"; until?: number } | undefined {
    const state = this.#keys.get(keyLimit.key);
    if (!state) return undefined;
    if (state.running >= keyLimit.limit) return { by: "key_limit" };
    const until = keyLimit.rate && state.window ? state.window.nextAt(keyLimit.rate, now) : now;
    return until > now ? { by: "key_rate", until } : undefined;
  }

  /** Whether as many tasks of the key run as this limit allows. */
  isFull({ key, limit }: KeyLimit): boolean {
    return (this.#keys.get(key)?.running ?? 0) >= limit;
  }

  /** Whether a task cannot start. If so, its key is held until `ended` or `due` frees it. */
  holds(keyLimit: KeyLimit, now: number): boolean {
    const held = this.look(keyLimit, now);
    if (!held) return false;
    (this.#keys.get(keyLimit.key) as KeyState).isHeld = true;
    if (held.until !== undefined) this.#wakes.push({ key: keyLimit.key, at: held.until });
    return true;
  }

  started({ key, rate }: KeyLimit, now: number): void {
    let state = this.#keys.get(key);
    if (!state) {
      state = { running: 0, window: undefined, windowMs: 0, isHeld: false };
      this.#keys.set(key, state);
    }
    state.running++;
    if (!rate) return;
    state.window ??= new RateWindow();
    state.window.add(now);
    state.windowMs = Math.max(state.windowMs, rate.windowMs);
  }

  /** Counts the end of a run; true if its key was held, and is free now. */
  ended({ key }: KeyLimit, now: number): boolean {
    const state = this.#keys.get(key);
    if (!state) return false;
    state.running--;
    const wasHeld = state.isHeld;
    state.isHeld = false;
    if (state.running === 0 && (!state.window || state.window.prune(state.windowMs, now))) {
      this.#keys.delete(key);
    }
    return wasHeld;
  }

  /** The keys whose time has come. */
  due(now: number): string[] {
    const keys: string[] = [];
    for (let wake = this.#wakes.peek(); wake && wake.at <= now; wake = this.#wakes.peek()) {
      this.#wakes.pop();
      const state = this.#keys.get(wake.key);
      if (state) state.isHeld = false;
      keys.push(wake.key);
    }
    return keys;
  }

  /** Sets the starts from before the restart. */
  restore(key: string, starts: readonly number[], windowMs: number): void {
    const window = new RateWindow(starts);
    this.#keys.set(key, { running: 0, window, windowMs, isHeld: false });
  }

  /** Forgets keys without running tasks or starts in their windows. */
  prune(now: number): void {
    for (const [key, state] of this.#keys) {
      if (state.running > 0 || !state.window) continue;
      if (state.window.prune(state.windowMs, now)) this.#keys.delete(key);
    }
  }
}

interface OpCount {
  running: number;
  /** The last named limit; `Infinity` once the op has none. */
  limit: number;
}

/** The number of running tasks of each op with a limit. */
class OpLimits {
  readonly #ops = new Map<string, OpCount>();
  /** The last named limits. */
  #named: ReadonlyMap<string, number> = new Map();

  /** Sets the limits from now on. `running`: the ops of all running tasks. */
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
      // Still counted while any run, in case the limit comes back.
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

  /** Whether `op` has a limit. */
  has(op: string): boolean {
    return (this.#ops.get(op)?.limit ?? Infinity) !== Infinity;
  }

  /** The limit of `op` if as many of its tasks run; `undefined` if one more can start. */
  limitOf(op: string): number | undefined {
    const known = this.#ops.get(op);
    return known && known.running >= known.limit ? known.limit : undefined;
  }

  /** The ops of which no task can start now. */
  *full(): Generator<string> {
    for (const [op, { running, limit }] of this.#ops) if (running >= limit) yield op;
  }

  /** Counts a start; true if no further task of `op` can start. */
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

interface OpWindow {
  readonly window: RateWindow;
  /** The last named rate. */
  rate: Rate;
}

/** The start times of tasks of each op with a rate. */
class OpRates {
  readonly #ops = new Map<string, OpWindow>();
  #nextAt = Infinity;

  /** The next time at which one of the ops of the last `full` can start a task. */
  get nextAt(): number {
    return this.#nextAt;
  }

  /** The ops among `ops` of which no task can start now, by the present `rates`. */
  full(
    ops: ReadonlySet<string>,
    rates: ReadonlyMap<string, Rate> | undefined,
    now: number,
  ): readonly string[] {
    this.#nextAt = Infinity;
    if (!rates || rates.size === 0) return NONE;
    const full: string[] = [];
    for (const [op, rate] of rates) {
      const known = ops.has(op) ? this.#ops.get(op) : undefined;
      if (!known) continue;
      known.rate = rate;
      const at = known.window.nextAt(rate, now);
      if (at <= now) continue;
      full.push(op);
      this.#nextAt = Math.min(this.#nextAt, at);
    }
    return full;
  }

  started(op: string, rate: Rate, now: number): void {
    let known = this.#ops.get(op);
    if (!known) this.#ops.set(op, known = { window: new RateWindow(), rate });
    known.window.add(now);
  }

  /** When the next task of `op` can start; `now` or later. */
  nextOf(op: string, now: number): number {
    const known = this.#ops.get(op);
    return known ? known.window.nextAt(known.rate, now) : now;
  }

  /** Sets the starts from before the restart. */
  restore(op: string, starts: readonly number[], windowMs: number): void {
    this.#ops.set(op, { window: new RateWindow(starts), rate: { starts: Infinity, windowMs } });
  }

  /** Forgets ops without starts in their windows. */
  prune(now: number): void {
    for (const [op, { window, rate }] of this.#ops) {
      if (window.prune(rate.windowMs, now)) this.#ops.delete(op);
    }
  }
}

/** The start times of one rate that still count. Exact: no edge of a window lets twice as many through. */
class RateWindow {
  /** Times of starts, the oldest first. */
  #starts: number[];

  constructor(starts: readonly number[] = []) {
    this.#starts = [...starts];
  }

  get starts(): readonly number[] {
    return this.#starts;
  }

  add(now: number): void {
    this.#starts.push(now);
    if (this.#starts.length > 2 * MAX_RATE_STARTS) this.#starts.splice(0, MAX_RATE_STARTS);
  }

  /** The earliest time of the next start: `now` or later. */
  nextAt({ starts, windowMs }: Rate, now: number): number {
    if (this.#starts.length < starts) return now;
    // The start that must leave the window before the next one.
    const blocking = this.#starts[this.#starts.length - starts] as number;
    return Math.max(now, blocking + windowMs);
  }

  /** Forgets starts more than `windowMs` ago; true if none is left. */
  prune(windowMs: number, now: number): boolean {
    const first = this.#starts.findIndex((start) => start + windowMs > now);
    if (first === -1) this.#starts = [];
    else if (first > 0) this.#starts.splice(0, first);
    return this.#starts.length === 0;
  }
}
