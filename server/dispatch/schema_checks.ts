/**
 * Checks of arguments before a submit is accepted. Worker processes have the schemas, so the newest process with the op
 * is asked; if it leaves or is late, another one is. A submit that no process checks in `ALL_CHECKS_MS` is let through,
 * since the worker that runs the task checks again. `submit_check.ts` calls it.
 */

import { MAX_CHECKED_TOGETHER } from "../../protocol/limits.ts";
import type { SchemaFault } from "../../protocol/work_message.ts";
import type { Clock } from "../clock.ts";
import { UnderWay } from "../task/under_way.ts";
import type { OpDirectory } from "./op_directory.ts";
import type { Runner, UncheckedSubmit } from "./runner.ts";

interface SchemaChecksOptions {
  readonly ops: Pick<OpDirectory, "runnersOf">;
  readonly clock: Clock;
}

/** Longest wait for an answer, and for another process once the last with an op has left, in ms. */
const CHECK_MS = 2000;
/** Longest check of a submit, in ms, however many processes are asked. */
const ALL_CHECKS_MS = 2 * CHECK_MS;
/** Most characters that are checked at a time; further submits wait, so that checks stay in time. */
const MAX_CHECKING_CHARS = 4 * 1024 * 1024;

/** The submits of one read, with their faults so far. */
interface Round {
  readonly submits: readonly UncheckedSubmit[];
  readonly faults: (SchemaFault | null)[];
  readonly until: number;
  /** Runners that did not answer. */
  readonly asked: Set<Runner>;
}

export class SchemaChecks {
  readonly #options: SchemaChecksOptions;
  /** In characters. */
  readonly #checking = new UnderWay();
  /** Runners that are late with an answer, until it comes. */
  readonly #overdue = new Set<Runner>();
  /** Ops that no runner has any more, with the time since when; old entries are removed. */
  readonly #lostAt = new Map<string, number>();
  /** Ends each wait for an answer. */
  readonly #answerWaits = new Set<() => void>();
  /** Ends each wait for a process with the op. */
  readonly #runnerWaits = new Set<() => void>();
  #stopped = false;

  constructor(options: SchemaChecksOptions) {
    this.#options = options;
  }

  /** The fault of each submit; null if it has none, or if no process could check it. */
  async check(submits: readonly UncheckedSubmit[]): Promise<(SchemaFault | null)[]> {
    const chars = submits.reduce((sum, [, line]) => sum + line.length, 0);
    while (this.#checking.count > MAX_CHECKING_CHARS) {
      await this.#checking.downTo(MAX_CHECKING_CHARS);
    }
    this.#checking.begin(chars);
    const faults = submits.map(() => null);
    const until = this.#options.clock.awake() + ALL_CHECKS_MS;
    const round: Round = { submits, faults, until, asked: new Set() };
    await this.#settle(round, submits.map((_, place) => place));
    this.#checking.end(chars);
    return round.faults;
  }

  /** Looks again at submits that wait for a process: one has come. */
  joined(runner: Runner): void {
    for (const op of runner.ops) this.#lostAt.delete(op);
    for (const end of [...this.#runnerWaits]) end();
  }

  /** Notes that a worker process has left; the directory knows already. */
  left(runner: Runner): void {
    const { ops, clock } = this.#options;
    const now = clock.awake();
    this.#overdue.delete(runner);
    for (const [op, lostAt] of this.#lostAt) {
      if (lostAt + CHECK_MS <= now) this.#lostAt.delete(op);
    }
    for (const { op, schema } of runner.specs.values()) {
      if (schema && ops.runnersOf(op).length === 0) this.#lostAt.set(op, now);
    }
  }

  /** Lets every submit through that is not checked by now. */
  stop(): void {
    this.#stopped = true;
    for (const end of [...this.#runnerWaits, ...this.#answerWaits]) end();
  }

  /** Settles the submits at `places`. */
  async #settle(round: Round, places: readonly number[]): Promise<void> {
    if (this.#stopped || places.length === 0) return;
    const byRunner = new Map<Runner, number[]>();
    const lost: number[] = [];
    for (const place of places) {
      const [op] = round.submits[place]!;
      const runner = this.#choose(op, round.asked);
      if (!runner) lost.push(place);
      else if (!byRunner.get(runner)?.push(place)) byRunner.set(runner, [place]);
    }
    const asking = [...byRunner].flatMap(([runner, all]) =>
      inParts(all, MAX_CHECKED_TOGETHER).map((part) => this.#askOf(runner, round, part))
    );
    await Promise.all([...asking, this.#awaitRunner(round, lost)]);
  }

  #choose(op: string, asked: ReadonlySet<Runner>): Runner | undefined {
    return this.#options.ops.runnersOf(op).find((runner) =>
      runner.specs.get(op)?.schema && !asked.has(runner) && !this.#overdue.has(runner)
    );
  }

  async #askOf(runner: Runner, round: Round, places: readonly number[]): Promise<void> {
    const waitMs = Math.min(CHECK_MS, round.until - this.#options.clock.awake());
    if (waitMs <= 0) return;
    const answer = runner.check(places.map((place) => round.submits[place]!));
    const faults = await this.#answerOf(runner, answer, waitMs);
    if (faults) {
      places.forEach((place, i) => round.faults[place] = faults[i] ?? null);
    } else {
      round.asked.add(runner);
      await this.#settle(round, places);
    }
  }

  /** Waits for a process with the ops of `places`, if the last one left a moment ago. */
  async #awaitRunner(round: Round, places: readonly number[]): Promise<void> {
    const now = this.#options.clock.awake();
    const waiting: number[] = [];
    let waitMs = round.until - now;
    for (const place of places) {
      const lostAt = this.#lostAt.get(round.submits[place]![0]);
      if (lostAt === undefined || lostAt + CHECK_MS <= now) continue;
      waiting.push(place);
      waitMs = Math.min(waitMs, lostAt + CHECK_MS - now);
    }
    if (waiting.length === 0 || waitMs <= 0) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        this.#runnerWaits.delete(end);
        cancel();
        resolve();
      };
      const cancel = this.#options.clock.after(waitMs, end);
      this.#runnerWaits.add(end);
    });
    await this.#settle(round, waiting);
  }

  /** The value of `answer`; `undefined` if it does not come within `ms` and before the stop. */
  #answerOf<T>(runner: Runner, answer: Promise<T>, ms: number): Promise<T | undefined> {
    return new Promise((resolve) => {
      const end = (value?: T) => {
        this.#answerWaits.delete(end);
        cancel();
        resolve(value);
      };
      const cancel = this.#options.clock.after(ms, () => {
        this.#overdue.add(runner);
        void answer.then(() => this.#overdue.delete(runner));
        end();
      });
      this.#answerWaits.add(end);
      void answer.then(end);
    });
  }
}

function inParts<T>(all: readonly T[], size: number): (readonly T[])[] {
  const parts: (readonly T[])[] = [];
  for (let at = 0; at < all.length; at += size) parts.push(all.slice(at, at + size));
  return parts;
}
