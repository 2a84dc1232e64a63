/**
 * The dispatch core of a server without its doors: the loops over a memory engine, on a clock that a test moves by hand,
 * with runners that a test plays. The same seed makes the same run.
 */

import { setImmediate } from "node:timers";
import { Dispatcher } from "../../server/dispatch/dispatcher.ts";
import { Pauses } from "../../server/dispatch/pauses.ts";
import { ResultReports } from "../../server/dispatch/results.ts";
import { createJanitor, createReclaimer, type Ticker } from "../../server/dispatch/upkeep.ts";
import { createWatchdog } from "../../server/dispatch/watchdog.ts";
import { TaskEntry } from "../../server/api/task_entry.ts";
import { openMemoryEngine } from "../../server/engine/memory/memory.ts";
import { DEFAULT_LIMITS } from "../../server/limits.ts";
import { Metrics } from "../../server/metrics.ts";
import { type FinishedTask, TaskEvents } from "../../server/task/task_events.ts";
import { type NewTask, newTask } from "../../server/task/new_task.ts";
import type { Rate } from "../../protocol/text_forms.ts";
import { type EngineFaults, FlakyEngine } from "../faults/flaky_engine.ts";
import { Random } from "../fuzz/random.ts";
import { HandClock } from "../kit/hand_clock.ts";
import { FakeRunner, type FakeRunnerOptions } from "./fake_runner.ts";

export const LEASE_MS = 10_000;
/** Turns of the event loop without a call to the engine, after which nothing more happens by itself. */
const QUIET_TURNS = 5;
/** Turns after which the loops are said to run for ever. */
const MAX_TURNS = 20_000;

export interface DispatchStageOptions {
  readonly seed?: number;
  readonly faults?: EngineFaults;
}

/** One reported end of a task. */
export interface End {
  readonly id: string;
  readonly status: string;
  readonly result: string | undefined;
}

export class DispatchStage implements AsyncDisposable {
  readonly clock: HandClock;
  readonly engine: FlakyEngine;
  readonly events: TaskEvents;
  readonly dispatcher: Dispatcher;
  readonly results: ResultReports;
  readonly pauses: Pauses;
  readonly metrics = new Metrics();
  readonly rates = new Map<string, Rate>();
  /** Replace it to change a limit. */
  limits: ReadonlyMap<string, number> = new Map();
  readonly runners: FakeRunner[] = [];
  /** Ends, as the waiter of each task got them. */
  readonly ends: End[] = [];
  /** Ids of the tasks that were acknowledged. */
  readonly acknowledged = new Set<string>();
  readonly log: string[] = [];
  readonly #entry: TaskEntry;
  readonly #loops: readonly Ticker[];

  constructor({ seed = 1, faults }: DispatchStageOptions = {}) {
    const clock = this.clock = new HandClock(1_800_000_000_000, () => this.settled());
    const { metrics } = this;
    const events = this.events = new TaskEvents(metrics, clock);
    const memory = openMemoryEngine({
      random: () => 0.5,
      ended: (tasks: readonly FinishedTask[]) => events.emit(tasks),
    });
    const engine = this.engine = new FlakyEngine(memory, new Random(seed), {
      untimed: true,
      faults,
    });
    const line = (room: string, message: string) => void this.log.push(`${room}: ${message}`);
    const log = {
      info: line,
      warn: line,
      error: line,
      bug: (room: string, error: unknown) => line(room, `BUG ${error}`),
    };
    this.pauses = new Pauses({
      settings: engine.settings,
      onResumed: () => dispatcher.kick(),
      leased: () => dispatcher.leased(),
    });
    const { pauses, rates } = this;
    const limitsNow = () => this.limits;
    const bounds = {
      rates,
      get limits() {
        return limitsNow();
      },
    };
    const leaseMs = LEASE_MS;
    const dispatcher = this.dispatcher = new Dispatcher({
      engine,
      events,
      clock,
      log,
      leaseMs,
      pauses,
      bounds,
    });
    this.results = new ResultReports({ engine, events, dispatcher, clock, log, leaseMs });
    this.#entry = new TaskEntry({
      engine,
      events,
      dispatch: dispatcher,
      clock,
      metrics,
      limits: DEFAULT_LIMITS,
    });
    const ops = { isDue: false, forget: () => {} };
    this.#loops = [
      createReclaimer({ engine, dispatcher, clock, log, leaseMs }),
      createJanitor({ engine, clock, log, ops, recurringOps: () => [] }),
      createWatchdog({ engine, dispatcher, clock, log, metrics }),
    ];
    dispatcher.start();
    for (const loop of this.#loops) loop.start();
  }

  /** A runner that the dispatcher knows. */
  runner(options?: FakeRunnerOptions): FakeRunner {
    const runner = new FakeRunner(this, options);
    this.runners.push(runner);
    this.dispatcher.attach(runner);
    return runner;
  }

  /** Submits tasks, with a waiter each; resolves when the engine has answered. Ids of the new tasks. */
  async submit(...options: Record<string, unknown>[]): Promise<string[]> {
    const creation = { now: this.clock.now(), serials: this.engine.serials };
    const tasks = options.map(({ op = "square", ...task }) => {
      const message = { op, n: 1, ...(Object.keys(task).length > 0 && { task }) };
      return newTask(message, JSON.stringify(message), creation);
    });
    await this.enter(tasks);
    return tasks.map(({ id }) => id);
  }

  async enter(tasks: readonly NewTask[]): Promise<void> {
    const waiter = {
      closed: false,
      deliver: ({ id, status, result }: FinishedTask) => {
        this.ends.push({ id, status, result });
      },
    };
    const waits = tasks.map((task) => this.events.waitForNew(task, waiter, undefined));
    try {
      const enqueued = await this.#entry.enter(tasks);
      tasks.forEach(({ id }, i) => {
        if (enqueued[i]?.outcome === "created") this.acknowledged.add(id);
      });
    } catch (error) {
      tasks.forEach((task, i) => this.events.unwaitForNew(task, waits[i]!));
      throw error;
    }
    await this.settled();
  }

  statusesOf(id: string): string[] {
    return this.ends.filter((end) => end.id === id).map(({ status }) => status);
  }

  /** Cancels tasks as the API does. */
  async cancel(...ids: string[]): Promise<void> {
    const cancelled = await this.engine.cancel(ids, this.clock.now());
    const leases = cancelled.flatMap(({ lease }) => lease === undefined ? [] : [lease]);
    this.dispatcher.stopTasks(leases, "cancel");
    this.dispatcher.kick();
    await this.settled();
  }

  /** One turn of the event loop. */
  turn(): Promise<void> {
    return new Promise((go) => setImmediate(go));
  }

  /** Resolves when nothing more happens before the clock moves. */
  async settled(): Promise<void> {
    let turns = 0;
    for (let quiet = 0; quiet < QUIET_TURNS; quiet = this.engine.isIdle ? quiet + 1 : 0) {
      await this.turn();
      if (++turns > MAX_TURNS) throw new Error(`the loops do not come to rest: ${this.log.at(-1)}`);
    }
  }

  /** Errors in the log, and standstills. */
  get faults(): string[] {
    return this.log.filter((line) => line.includes("BUG") || line.startsWith("watchdog"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.engine.setFaults();
    await Promise.all([this.dispatcher.stop(), ...this.#loops.map((loop) => loop.stop())]);
    await this.engine.close();
  }
}
