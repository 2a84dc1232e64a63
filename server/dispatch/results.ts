/**
 * Reports of worker processes on their way to the engine, in batches: the reports of one read of a work link. The link
 * does not wait for the commit: it reads on, and its free places are filled at once. The engine itself reports the ends,
 * once they are committed.
 */

import { SdError } from "../../protocol/errors.ts";
import type { Status } from "../../protocol/task.ts";
import type { Clock } from "../clock.ts";
import type { HeldRun } from "../engine/adoption.ts";
import type { Ack, Engine, Lease, LeasedTask, Nack } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import type { TaskEvents } from "../task/task_events.ts";
import { charsOf, type TaskLog } from "../task/task_log.ts";
import { UnderWay } from "../task/under_way.ts";
import type { WatchedTask } from "../task/watchers.ts";
import type { Dispatcher } from "./dispatcher.ts";

interface ResultReportsOptions {
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

/** Most characters of results and logs that wait for their commit; beyond it no link is read. */
const MAX_UNCOMMITTED_CHARS = 32 * 1024 * 1024;
/** Fixed cost of a result, in characters. */
const RESULT_CHARS = 200;

export class ResultReports {
  readonly #options: ResultReportsOptions;
  /** In characters. */
  readonly #uncommitted = new UnderWay();

  /** The server ends its links: that is no fault of a task. */
  isStopping = false;

  constructor(options: ResultReportsOptions) {
    this.#options = options;
  }

  /** Pending while too much waits for its commit: read no more results until it resolves. */
  get room(): Promise<void> | undefined {
    return this.#uncommitted.count > MAX_UNCOMMITTED_CHARS
      ? this.#uncommitted.downTo(MAX_UNCOMMITTED_CHARS)
      : undefined;
  }

  /** Resolves once every report so far is committed and its news are out. */
  settled(): Promise<void> {
    return this.#uncommitted.downTo(0);
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
    // Watchers hear how an attempt ended before the next one is handed out.
    if (!events.watchers.any) dispatcher.kick();
    const chars = nacks.reduce((sum, { log }) => sum + RESULT_CHARS + sizeOf(log), 0);
    void this.#settle(work, chars, runs);
  }

  /** Another server may take the place of this one, while this one does not know it. */
  get isShared(): boolean {
    return this.#options.engine.lost !== undefined;
  }

  /**
   * Goes on with runs of a worker process whose link was lost. Resolves with the task of each, `undefined` if it is lost.
   * `versions`: of the ops, as the process has them.
   */
  async adopt(
    runs: readonly HeldRun[],
    versions: ReadonlyMap<string, string>,
  ): Promise<(LeasedTask | undefined)[]> {
    const { engine, clock, leaseMs, events } = this.#options;
    const leaseUntil = clock.awake() + leaseMs;
    const tasks = await engine.adopt({ runs, leaseUntil, versions }, clock.now());
    if (events.watchers.any) {
      for (const task of tasks) if (task) events.watchers.publish("started", task);
    }
    return tasks;
  }

  /** Extends leases that a worker process still holds; it must stop tasks whose leases are lost. */
  async renew(leases: readonly Lease[]): Promise<void> {
    const { engine, clock, leaseMs, dispatcher, log } = this.#options;
    try {
      const lost = await engine.renew(leases, clock.awake() + leaseMs);
      if (lost.length > 0) dispatcher.stopTasks(lost, "lost");
    } catch (error) {
      log.bug("dispatcher", error);
    }
  }

  /** Waits for `work`, then reports to watchers how the tasks of `broken` runs go on. */
  async #settle(
    work: Promise<(Status | undefined)[] | void>,
    chars: number,
    broken: readonly BrokenRun[] = [],
  ): Promise<void> {
    const { events, dispatcher, log } = this.#options;
    this.#uncommitted.begin(chars);
    try {
      const statuses = await work;
      if (statuses && events.watchers.any) this.#publishGoingOn(broken, statuses);
    } catch (error) {
      if (error instanceof SdError) {
        log.warn("dispatcher", `results are not kept: ${error.message}`);
      } else log.bug("dispatcher", error);
    } finally {
      if (broken.length > 0) dispatcher.kick();
      this.#uncommitted.end(chars);
    }
  }

  /** Reports runs after which a task goes on: it is attempted again, or was not to blame. */
  #publishGoingOn(runs: readonly BrokenRun[], statuses: readonly (Status | undefined)[]): void {
    const { watchers } = this.#options.events;
    runs.forEach(({ nack, task }, i) => {
      const status = statuses[i];
      if (status !== "queued" && status !== "delayed") return;
      if (nack.reason === "failed") {
        watchers.publish("delayed", task, nack.error ? { error: nack.error } : undefined);
      } else {
        watchers.publish("queued", task);
      }
    });
  }
}

function sizeOf(log: TaskLog | undefined): number {
  return log ? charsOf(log) : 0;
}
