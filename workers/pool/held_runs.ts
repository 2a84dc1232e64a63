/**
 * The runs that go on while this process has no server, and everything that they report meanwhile. The next hello names
 * them. The server answers which of them it has taken up again: their reports are sent then, the others are dropped.
 * `Outage` is the time without a server: it ends the runs if that lasts too long. `PoolProcess` owns one, and writes its
 * reports to it.
 *
 * Invariant: a run is here from the loss of its link until the next server has answered, or until it is lost. The
 * reports of any other run are dropped.
 */

import { awake } from "../../net/awake_clock.ts";
import type { OpSpec } from "../../protocol/op_spec.ts";
import {
  type HeldLease,
  type LeasedTaskMessage,
  leaseOf,
  resultJsonOf,
} from "../../protocol/work_message.ts";

/** Most characters of kept reports: beyond it, a run that reports more is lost, and runs again elsewhere. */
const MAX_KEPT_CHARS = 64 * 1024 * 1024;
/** Kept characters above which log lines stay with their workers. */
const MAX_LOG_CHARS = 4 * 1024 * 1024;

const decoder = new TextDecoder();

/** A task that a worker has begun: its line, and when it began, in ms since 1970. */
export interface BegunTask {
  readonly line: string;
  readonly startedAt: number;
}

interface Run {
  readonly hold: HeldLease;
  /** Its key or its op has a limit: another server must not start others while it runs unseen. */
  readonly isLimited: boolean;
  /** Its reports in their order; of its progress only the last. */
  lines: string[];
}

class HeldRuns {
  readonly #runs = new Map<number, Run>();
  #chars = 0;

  /** The number of runs; some of them have ended. */
  get size(): number {
    return this.#runs.size;
  }

  get isFull(): boolean {
    return this.#chars > MAX_LOG_CHARS;
  }

  /** The link of these tasks is lost. `ops`: of this process. */
  begin(tasks: readonly BegunTask[], ops: readonly OpSpec[]): void {
    const limited = new Set(ops.flatMap(({ op, limit }) => limit === undefined ? [] : op));
    for (const { line, startedAt } of tasks) {
      const { lease, attempt, id, submit } = JSON.parse(line) as LeasedTaskMessage;
      if (this.#runs.has(lease)) continue;
      const { limit } = (submit.task ?? {}) as { limit?: number };
      const hold: HeldLease = [id, attempt, startedAt, lease];
      const isLimited = limit !== undefined || limited.has(submit.op);
      this.#runs.set(lease, { hold, isLimited, lines: [] });
    }
  }

  /** Whole lines with their newlines. */
  write(bytes: Uint8Array): void {
    if (this.#runs.size === 0) return;
    for (const line of decoder.decode(bytes).split("\n")) this.line(line);
  }

  line(text: string): void {
    const lease = leaseOf(text);
    const run = this.#runs.get(lease);
    if (!run) return;
    if (isProgress(text)) {
      run.lines = run.lines.filter((line) => !isProgress(line) || this.#less(line));
    }
    run.lines.push(text);
    this.#chars += text.length;
    if (this.#chars > MAX_KEPT_CHARS) this.#forget(lease, run);
  }

  /** For the next hello. */
  get holds(): HeldLease[] {
    return [...this.#runs.values()].map(({ hold }) => hold);
  }

  /** The leases of runs with a limit. */
  get limited(): number[] {
    return [...this.#runs].flatMap(([lease, { isLimited }]) => isLimited ? lease : []);
  }

  /** Forgets runs: they are lost. */
  drop(leases: readonly number[]): void {
    for (const lease of leases) {
      const run = this.#runs.get(lease);
      if (run) this.#forget(lease, run);
    }
  }

  /**
   * The server has taken up the runs `adopted`. Returns their reports, the leases of the other runs, and the leases among
   * `adopted` that are lost here. Nothing is here any more then.
   */
  settle(adopted: readonly number[]): { lines: string[]; lost: number[]; unknown: number[] } {
    const valid = new Set(adopted);
    const lost = [...this.#runs.keys()].filter((lease) => !valid.has(lease));
    const unknown = adopted.filter((lease) => !this.#runs.has(lease));
    const lines = adopted.flatMap((lease) => this.#runs.get(lease)?.lines ?? []);
    this.clear();
    return { lines, lost, unknown };
  }

  clear(): void {
    this.#runs.clear();
    this.#chars = 0;
  }

  #forget(lease: number, { lines }: Run): void {
    for (const line of lines) this.#less(line);
    this.#runs.delete(lease);
  }

  /** Always false. */
  #less(line: string): false {
    this.#chars -= line.length;
    return false;
  }
}

/** Time between two looks at the deadlines of an outage, in ms. */
const LOOK_MS = 50;
/**
 * How long runs with a limit go on while a server may be there that does not know of them, in ms. It may start others of
 * the same limit.
 */
const UNSEEN_MS = 1500;

interface OutageListener {
  /** Stops these runs: they are lost. */
  stop(leases: readonly number[]): void;
  stopAll(): void;
}

interface OutageTerms {
  /** How long runs go on without a server, in ms. */
  readonly holdMs: number;
  /** How long the server had been silent when its link was lost, in ms. */
  readonly silentMs: number;
  /** The ops of this process. */
  readonly ops: readonly OpSpec[];
}

export class Outage {
  readonly runs = new HeldRuns();
  readonly #listener: OutageListener;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** By the clock of awake time. */
  #endsAt = Infinity;
  /** By the monotonic clock: while this process is stopped, a server can start others. */
  #limitedEndAt = Infinity;

  constructor(listener: OutageListener) {
    this.#listener = listener;
  }

  /** The link is lost, and these tasks go on. */
  begin(tasks: readonly BegunTask[], { holdMs, silentMs, ops }: OutageTerms): void {
    this.runs.begin(tasks, ops);
    this.#endsAt = awake.now() + holdMs - silentMs;
    this.refused();
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#look();
  }

  /** No process listens where the server was: no other is started there. */
  refused(): void {
    this.#limitedEndAt = performance.now() + UNSEEN_MS;
  }

  /** A server is there, which has taken up the runs `adopted`; see `HeldRuns.settle`. */
  end(adopted: readonly number[]): ReturnType<HeldRuns["settle"]> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    return this.runs.settle(adopted);
  }

  #look(): void {
    if (awake.now() >= this.#endsAt) {
      clearInterval(this.#timer);
      this.runs.clear();
      this.#listener.stopAll();
    } else if (performance.now() >= this.#limitedEndAt) {
      const { limited } = this.runs;
      this.runs.drop(limited);
      this.#listener.stop(limited);
    }
  }
}

function isProgress(line: string): boolean {
  return resultJsonOf(line) === undefined && /^\{"lease":\d+,"progress":/.test(line);
}
