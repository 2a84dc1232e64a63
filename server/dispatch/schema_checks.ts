/**
 * Has the arguments of submits checked by worker processes, which have the schemas. The process that came last
 * is asked, since it is the newest; where it goes, or is not in time, another one. What nobody can check is
 * let through: the worker that runs the task checks once more. Nobody waits here for long.
 */

import { MAX_CHECKED_TOGETHER } from "../../protocol/limits.ts";
import type { SchemaFault } from "../../protocol/work_message.ts";
import type { Clock } from "../clock.ts";
import { UnderWay } from "../task/under_way.ts";
import type { OpDirectory } from "./op_directory.ts";
import type { Runner, UncheckedSubmit } from "./runner.ts";

export interface SchemaChecksOptions {
  readonly ops: Pick<OpDirectory, "runnersOf">;
  readonly clock: Clock;
}

/** For one process to answer; also how long another is waited for when the last with an op has gone. */
const CHECK_MS = 2000;
/** For all that are asked about one submit. */
const ALL_CHECKS_MS = 2 * CHECK_MS;
/** Characters that are being checked; more wait, so that those in time stay in time. */
const MAX_CHECKING_CHARS = 4 * 1024 * 1024;

/** Submits of one read, and what is known of them so far. */
interface Round {
  readonly submits: readonly UncheckedSubmit[];
  readonly faults: (SchemaFault | null)[];
  readonly until: number;
  /** Who did not answer. */
  readonly asked: Set<Runner>;
}

export class SchemaChecks {
  readonly #options: SchemaChecksOptions;
  /** In characters. */
  readonly #checking = new UnderWay();
  /** Who left an order unanswered for too long, until they answer it. */
  readonly #overdue = new Set<Runner>();
  /** Of ops that nobody has any more: since when, where that is not long ago. */
  readonly #lostAt = new Map<string, number>();
  /** What ends each wait for an answer. */
  readonly #answerWaits = new Set<() => void>();
  /** What ends each wait for a process that has the op. */
  readonly #runnerWaits = new Set<() => void>();
  #stopped = false;

  constructor(options: SchemaChecksOptions) {
    this.#options = options;
  }

  /** Of each submit its fault; null where it has none, or nobody could tell. */
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

  /** A worker process has come: who waits for one looks again. */
  joined(runner: Runner): void {
    for (const op of runner.ops) this.#lostAt.delete(op);
    for (const end of [...this.#runnerWaits]) end();
  }

  /** A worker process has gone; the directory knows. */
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

  /** Whatever is not checked by now is let through. */
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

  /** Waits for a process that has the ops of `places`, where the last one went a moment ago. */
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

  /** What `answer` is, where it comes within `ms` and before the stop. */
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
