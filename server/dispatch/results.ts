/**
 * Takes what worker processes report of their tasks to the engine, and the news of those that are
 * final to whoever waits for them. Always in batches: what one read of a work link brought. Nobody
 * waits here for the engine to have them safe: the link reads on, its room is filled at once, and the
 * news leave when they may.
 */

import { SdError } from "../../protocol/errors.ts";
import type { Status } from "../../protocol/task.ts";
import type { Clock } from "../clock.ts";
import type { Ack, Engine, Lease, Nack } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import type { TaskEvents } from "../task/task_events.ts";
import { charsOf, type TaskLog } from "../task/task_log.ts";
import { UnderWay } from "../task/under_way.ts";
import type { WatchedTask } from "../task/watchers.ts";
import type { Dispatcher } from "./dispatcher.ts";

export interface SettlementOptions {
  readonly engine: Engine;
  readonly events: TaskEvents;
  readonly dispatcher: Pick<Dispatcher, "kick" | "stopTasks">;
  readonly clock: Clock;
  readonly log: Log;
  readonly leaseMs: number;
}

/** A run that ended without a result, and the task as it was in it. */
export interface BrokenRun {
  readonly nack: Nack;
  readonly task: WatchedTask;
}

/** Characters of results and logs that an engine may be busy keeping; more are not read until some are safe. */
const MAX_UNSAFE_CHARS = 32 * 1024 * 1024;
/** What a result costs beside its characters. */
const RESULT_CHARS = 200;

export class ResultReports {
  readonly #options: SettlementOptions;
  /** In characters. */
  readonly #unsafe = new UnderWay();

  constructor(options: SettlementOptions) {
    this.#options = options;
  }

  /** Pending while the engine has too much to keep already: read no more results until then. */
  get room(): Promise<void> | undefined {
    return this.#unsafe.count > MAX_UNSAFE_CHARS
      ? this.#unsafe.downTo(MAX_UNSAFE_CHARS)
      : undefined;
  }

  /** Resolves once all that was reported is with the engine, and told. */
  settled(): Promise<void> {
    return this.#unsafe.downTo(0);
  }

  /** Results. One from a lost lease changes nothing. */
  ack(acks: readonly Ack[]): void {
    const { engine, clock, dispatcher } = this.#options;
    let chars = 0;
    for (const { result, log } of acks) chars += result.length + RESULT_CHARS + sizeOf(log);
    const work = engine.ack(acks, clock.now());
    // The workers have room now, whatever becomes of the results.
    dispatcher.kick();
    void this.#settle(work, chars);
  }

  /** Runs without a result. */
  nack(runs: readonly BrokenRun[]): void {
    const { engine, clock, dispatcher, events } = this.#options;
    const nacks = runs.map(({ nack }) => nack);
    const work = engine.nack(nacks, clock.now());
    // Who watches is told how an attempt ended before the next is handed out.
    if (!events.watchers.any) dispatcher.kick();
    const chars = nacks.reduce((sum, { log }) => sum + RESULT_CHARS + sizeOf(log), 0);
    void this.#settle(work, chars, runs);
  }

  /** A worker process still holds these; it is told which of them it has lost. */
  async renew(leases: readonly Lease[]): Promise<void> {
    const { engine, clock, leaseMs, dispatcher, log } = this.#options;
    try {
      const lost = await engine.renew(leases, clock.awake() + leaseMs);
      if (lost.length > 0) dispatcher.stopTasks(lost, "lost");
    } catch (error) {
      log.bug("dispatcher", error);
    }
  }

  /** Tells of the tasks that are final by it, once they are safe, and of `broken` runs. */
  async #settle(
    work: Promise<(Status | undefined)[] | void>,
    chars: number,
    broken: readonly BrokenRun[] = [],
  ): Promise<void> {
    const { events, dispatcher, log } = this.#options;
    this.#unsafe.begin(chars);
    try {
      const statuses = await work;
      if (statuses && events.watchers.any) this.#tellGoingOn(broken, statuses);
    } catch (error) {
      if (error instanceof SdError) {
        log.warn("dispatcher", `results are not kept: ${error.message}`);
      } else log.bug("dispatcher", error);
    } finally {
      if (broken.length > 0) dispatcher.kick();
      this.#unsafe.end(chars);
    }
  }

  /** Tells of the runs after which a task goes on: it is attempted again, or was not to blame. */
  #tellGoingOn(runs: readonly BrokenRun[], statuses: readonly (Status | undefined)[]): void {
    const { watchers } = this.#options.events;
    runs.forEach(({ nack, task }, i) => {
      const status = statuses[i];
      if (status !== "queued" && status !== "delayed") return;
      if (nack.reason === "failed") {
        watchers.tell("delayed", task, nack.error ? { error: nack.error } : undefined);
      } else {
        watchers.tell("queued", task);
      }
    });
  }
}

function sizeOf(log: TaskLog | undefined): number {
  return log ? charsOf(log) : 0;
}
