/**
 * The loops of a server on a clock that jumps at random, beside a model. The model knows only how much time has really
 * passed and the readings of the wall clock. It does not know how the server keeps time.
 */

import { setImmediate } from "node:timers";
import { assert, assertEquals } from "@std/assert";
import { atWall } from "../../server/api/views.ts";
import { Dispatcher } from "../../server/dispatch/dispatcher.ts";
import { createJanitor, createReclaimer } from "../../server/dispatch/upkeep.ts";
import type { Runner } from "../../server/dispatch/runner.ts";
import { Scheduler } from "../../server/dispatch/scheduler.ts";
import { ResultReports } from "../../server/dispatch/results.ts";
import { CronBook } from "../../server/engine/cron_book.ts";
import type { Engine, Lease, LeasedTask } from "../../server/engine/engine.ts";
import { Metrics } from "../../server/metrics.ts";
import { newCronTask } from "../../server/task/cron_task.ts";
import { newTask } from "../../server/task/new_task.ts";
import { TaskEvents } from "../../server/task/task_events.ts";
import type { Random } from "../fuzz/random.ts";
import { HandClock } from "../kit/hand_clock.ts";

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const START = Date.parse("2026-11-24T00:30:00.250Z");
const LEASE_MS = 30 * SECOND;
const OP = "square";
const CRON = "minutely";
/** Longest delay of a start, in ms: the longest wait for a look, and some rounding. */
const LATE_MS = 3 * SECOND;
/** What a restart may add to that: the time of the file is so old at most. */
const RESTART_MS = 31 * SECOND;
/** Largest error of the wall clock that is shown, and of server time, in ms. */
const DRIFT_MS = SECOND + 1, DRIFT_SHARE = 0.001;

interface Known {
  readonly id: string;
  /** When it was submitted, in real time. */
  readonly submitted: number;
  readonly jumpedBefore: number;
  readonly setBacksBefore: number;
  readonly restartsBefore: number;
  readonly delay: number;
  readonly at: number | undefined;
  readonly expires: number;
  /** Since when the wall clock has said that it is due; real time. */
  dueSince: number | undefined;
  starts: number;
}

export interface ClockWalkOptions {
  readonly random: Random;
  readonly open: (wall: number) => Promise<Engine>;
  /** What is opened again has what was there. */
  readonly isDurable: boolean;
}

/** A worker process: runs each task for some seconds, renews as a real one does, unless it is frozen. */
class WalkRunner implements Runner {
  readonly ops = new Set([OP]);
  readonly specs = new Map();
  readonly versions = new Map();
  readonly pool = undefined;
  readonly pid = 1;
  readonly workers = 4;
  readonly isSingle = false;
  readonly tasks = new Map<Lease, { readonly id: string; readonly until: number }>();
  isFrozen = false;

  constructor(
    readonly started: (task: LeasedTask) => number,
    readonly wasCut: (runner: WalkRunner, leases: readonly Lease[]) => void,
  ) {}

  get accepts(): boolean {
    return !this.isFrozen;
  }

  get room(): number {
    return this.isFrozen ? 0 : 1000 - this.tasks.size;
  }

  get held(): number {
    return this.tasks.size;
  }

  heldOps() {
    return new Map([[OP, this.tasks.size]]);
  }

  run(tasks: readonly LeasedTask[]): void {
    for (const task of tasks) {
      this.tasks.set(task.lease, { id: task.id, until: this.started(task) });
    }
  }

  holds(lease: Lease): boolean {
    return this.tasks.has(lease);
  }

  progressOf() {
    return undefined;
  }

  logOf() {
    return undefined;
  }

  stop(leases: readonly Lease[]): void {
    for (const lease of leases) this.tasks.delete(lease);
  }

  cutOff(): void {
    this.isFrozen = true;
    const leases = [...this.tasks.keys()];
    this.tasks.clear();
    this.wasCut(this, leases);
  }

  check() {
    return Promise.resolve(undefined);
  }
}

export class ClockWalk {
  readonly #options: ClockWalkOptions;
  readonly #random: Random;
  readonly clock: HandClock;
  readonly #known = new Map<string, Known>();
  readonly #cronIds = new Set<string>();
  readonly steps: string[] = [];
  /** Its tasks make the dispatcher look: without them, it has to do so by itself. */
  readonly #hasCron: boolean;
  /** Otherwise the clock only jumps ahead: then it is known what a jump has to end. */
  readonly #isSetBack: boolean;
  /** What went wrong inside of a loop. */
  readonly #faults: unknown[] = [];
  /** How much time has really passed, and how far the wall clock jumped ahead and back. */
  #real = 0;
  #wall = START;
  #jumped = 0;
  #setBacks = 0;
  #restarts = 0;
  /** When the last jump, stop or restart was, in real time. */
  #disturbedAt = 0;
  #serial = 0;
  #engine!: Engine;
  #loops!: {
    readonly dispatcher: Dispatcher;
    readonly reports: ResultReports;
    readonly scheduler: Scheduler;
    readonly stop: () => Promise<void>;
  };
  #runner!: WalkRunner;

  constructor(options: ClockWalkOptions) {
    this.#options = options;
    this.#random = options.random;
    this.#isSetBack = options.random.chance(0.5);
    this.#hasCron = options.random.chance(0.5);
    this.clock = new HandClock(START, () => this.#settled());
  }

  async run(steps: number): Promise<void> {
    try {
      this.#engine = await this.#options.open(this.#wall);
      this.#startLoops();
      if (this.#hasCron) await this.#makeCron();
      for (let i = 0; i < steps; i++) {
        await this.#step();
        await this.#check();
      }
    } catch (error) {
      throw new Error(`after ${this.steps.join("; ")}`, { cause: error });
    } finally {
      await this.#loops.stop();
      await this.#engine.close();
    }
  }

  async #makeCron(): Promise<void> {
    const line = JSON.stringify({ op: OP, task: { id: CRON, cron: "* * * * *" } });
    const cron = newCronTask(JSON.parse(line), line, {
      now: this.clock.wall(),
      serials: this.#engine.serials,
    });
    await new CronBook(this.#engine.settings, () => {}).save(cron);
    this.#loops.scheduler.wake();
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const kinds = ["submit", "submit", "submit", "pass", "pass", "pass", "jump", "stop", "freeze"];
    if (this.#options.isDurable) kinds.push("restart");
    switch (random.pick(kinds)) {
      case "submit":
        return await this.#submit();
      case "pass":
        return await this.#pass(
          random.pick([
            random.int(100, 5000),
            random.int(1, this.#options.isDurable ? 60 : 180) * SECOND,
          ]),
        );
      case "jump":
        return await this.#jump();
      case "stop":
        return await this.#stop(random.pick([random.int(1, 20), random.int(20, 600)]) * SECOND);
      case "freeze":
        return await this.#freeze();
      case "restart":
        return await this.#restart();
    }
  }

  async #submit(): Promise<void> {
    const random = this.#random;
    const id = `t${++this.#serial}`;
    const kind = random.pick(["now", "delay", "delay", "at"]);
    const delay = kind === "delay" ? random.int(1, 200) * SECOND : 0;
    const at = kind === "at" ? this.#wall + random.int(-10, 200) * SECOND : undefined;
    const expires = random.chance(0.3) ? random.int(1, 100) * SECOND : Infinity;
    this.#log(`submit ${id} delay ${delay} at ${at} expires ${expires}`);
    const options = {
      id,
      ...(delay > 0 && { delay }),
      ...(at !== undefined && { at: new Date(at).toISOString() }),
      ...(expires !== Infinity && { expires }),
    };
    const message = { op: OP, task: options };
    const { clock } = this;
    const { serials } = this.#engine;
    const creation = { now: clock.now(), aheadMs: clock.aheadMs, serials };
    const task = newTask(message, JSON.stringify(message), creation);
    this.#known.set(id, {
      id,
      submitted: this.#real,
      jumpedBefore: this.#jumped,
      setBacksBefore: this.#setBacks,
      restartsBefore: this.#restarts,
      delay,
      at,
      expires,
      dueSince: undefined,
      starts: 0,
    });
    const enqueued = this.#engine.enqueue([task], clock.now());
    this.#loops.dispatcher.kick();
    await enqueued;
    this.#loops.dispatcher.kick();
    await this.#settled();
  }

  async #pass(ms: number): Promise<void> {
    this.#log(`pass ${ms}`);
    // A step back by less than the drift is not seen.
    const from = Math.max(this.#wall + DRIFT_MS, ...[...this.#cronIds].map(timeOf));
    for (let left = ms; left > 0;) {
      const step = Math.min(left, 250);
      await this.clock.pass(step);
      this.#real += step;
      this.#wall += step;
      left -= step;
      this.#work();
      this.#noteDue();
    }
    await this.#settled();
    // Every minute that begins and ends in it has its task, unless it was had before.
    for (
      let time = ceilMinute(from + 1);
      this.#hasCron && time <= this.#wall - 2 * LATE_MS;
      time += MINUTE
    ) {
      assert(this.#cronIds.has(cronId(time)), `the task for ${cronId(time)} is missing`);
    }
  }

  async #jump(): Promise<void> {
    const most = this.#random.pick([2 * SECOND, 2 * HOUR, 2 * HOUR, 30 * DAY]);
    const ms = this.#random.int(this.#isSetBack ? -most : 0, most);
    this.#log(`jump ${ms}`);
    this.#wall += ms;
    if (ms > 0) this.#jumped += ms;
    else this.#setBacks++;
    await this.clock.jump(ms);
    this.#disturbed();
  }

  /** All processes are stopped. */
  async #stop(ms: number): Promise<void> {
    this.#log(`stop ${ms}`);
    this.#real += ms;
    this.#wall += ms;
    this.#disturbed();
    await this.clock.stop(ms);
    // The renewals of a process that goes on come a moment later.
    await this.#pass(250);
  }

  /** The worker process is silent for longer than its leases; another takes its place. */
  async #freeze(): Promise<void> {
    this.#log("freeze");
    const frozen = this.#runner;
    frozen.isFrozen = true;
    this.#runner = this.#newRunner();
    this.#loops.dispatcher.attach(this.#runner);
    await this.#pass(LEASE_MS + 5 * SECOND);
    assertEquals(frozen.held, 0, "the leases of a frozen process run out");
    // It held nothing when it froze, so there was nothing to run out.
    this.#loops.dispatcher.detach(frozen);
  }

  async #restart(): Promise<void> {
    const downMs = this.#random.int(0, 5) * SECOND;
    this.#log(`restart ${downMs}`);
    await this.#loops.stop();
    await this.#engine.close();
    this.#restarts++;
    this.#real += downMs;
    this.#wall += downMs;
    this.#disturbed();
    this.clock.restart(downMs);
    this.#engine = await this.#options.open(this.#wall);
    this.clock.reach(this.#engine.lastAt ?? 0);
    this.#startLoops();
    await this.#settled();
  }

  /** Renewals and results of the worker process. */
  #work(): void {
    const { reports } = this.#loops;
    const runner = this.#runner;
    if (runner.held === 0) return;
    const over = [...runner.tasks].filter(([, { until }]) => until <= this.#real);
    for (const [lease] of over) runner.tasks.delete(lease);
    if (over.length > 0) reports.ack(over.map(([lease]) => ({ lease, result: "1" })));
    void reports.renew([...runner.tasks.keys()]);
  }

  #started({ id, attempt }: LeasedTask): number {
    assertEquals(attempt, 1, `${id}: no attempt is used up by a clock`);
    const known = this.#known.get(id);
    if (known) {
      known.starts++;
      if (known.starts === 1) this.#checkStart(known);
    }
    return this.#real + this.#random.int(0, 20) * SECOND;
  }

  /** Not too early, as far as anybody can know. */
  #checkStart({ id, submitted, jumpedBefore, delay, at, expires }: Known): void {
    const passed = this.#real - submitted + this.#jumped - jumpedBefore;
    // It is called within a step of 250 ms, and wall time may be shown late by the drift.
    const slack = 250 + DRIFT_MS;
    assert(
      passed >= delay - slack,
      `${id} was started ${passed} ms after its submit, not ${delay}`,
    );
    assert(at === undefined || this.#wall >= at - slack, `${id} was started before its time`);
    const least = (this.#real - submitted) * (1 - DRIFT_SHARE) - this.#lateOf(submitted);
    assert(expires > least - slack, `${id} was started ${least} ms after its submit`);
  }

  #noteDue(): void {
    for (const known of this.#known.values()) {
      if (known.at !== undefined && this.#wall >= known.at + DRIFT_MS) {
        known.dueSince ??= this.#real;
      }
    }
  }

  #disturbed(): void {
    this.#disturbedAt = this.#real;
    for (const known of this.#known.values()) known.dueSince = undefined;
  }

  /** What restarts may have added since. */
  #lateOf(submitted: number): number {
    const known = [...this.#known.values()].find((one) => one.submitted === submitted);
    return LATE_MS + (this.#restarts - (known?.restartsBefore ?? 0)) * (RESTART_MS + 5 * SECOND);
  }

  async #check(): Promise<void> {
    if (this.#faults.length > 0) throw this.#faults[0];
    const ids = [...this.#known.keys()];
    const records = await this.#engine.get(ids);
    for (const [i, known] of [...this.#known.values()].entries()) {
      const record = records[i];
      if (!record) {
        assert(this.#jumped > 0, `${known.id} is gone before its time`);
        this.#known.delete(known.id);
        continue;
      }
      assertEquals(record.deaths, 0, `${known.id}: nothing has died`);
      this.#checkStamps(atWall(record, this.clock.aheadMs));
      const { status } = record;
      if (status === "completed") {
        assert(known.starts > 0);
        this.#known.delete(known.id);
      } else if (status === "expired") {
        const passed = this.#real - known.submitted + this.#jumped - known.jumpedBefore;
        assert(passed >= known.expires - DRIFT_MS, `${known.id} expired after ${passed} ms`);
        this.#known.delete(known.id);
      } else {
        assert(["queued", "delayed", "running"].includes(status), `${known.id} is ${status}`);
        const isCalm = this.#real - this.#disturbedAt >= LATE_MS;
        if (status !== "running" && isCalm) this.#checkWait(known);
      }
    }
  }

  #checkStamps(record: { createdAt: number; startedAt: number; finishedAt: number }): void {
    const { createdAt, startedAt, finishedAt } = record;
    const stamps = [createdAt, startedAt, finishedAt].filter((ms) => ms !== 0);
    assertEquals(stamps, stamps.toSorted((a, b) => a - b), "stamps are in order");
    assert(stamps.every((ms) => ms <= this.#wall + DRIFT_MS), "no stamp is in the future");
  }

  /** Nothing waits longer than it must. */
  #checkWait(known: Known): void {
    const { id, submitted, delay, at, expires, dueSince } = known;
    const late = this.#lateOf(submitted);
    let passed = (this.#real - submitted) * (1 - DRIFT_SHARE);
    // What jumped ahead counts as well, unless it made up for a step back.
    if (this.#setBacks === 0) passed += this.#jumped - known.jumpedBefore;
    const told = `${id}, ${passed} ms after its submit`;
    assert(passed <= expires + late, `${told}, has not expired`);
    if (at === undefined) assert(passed <= delay + late, `${told}, was not started`);
    else assert(dueSince === undefined || this.#real - dueSince <= late, `${told}, is due`);
  }

  #newRunner(): WalkRunner {
    return new WalkRunner((task) => this.#started(task), (runner, leases) => {
      this.#loops.dispatcher.detach(runner);
      this.#loops.reports.nack(leases.map((lease) => ({
        nack: { lease, reason: "released" },
        task: { id: "", op: OP, attempt: 1 },
      })));
      if (runner === this.#runner) throw new Error("a process that lives was cut off");
    });
  }

  #startLoops(): void {
    const { clock } = this;
    const engine = this.#engine;
    const log = {
      info() {},
      warn() {},
      error: (_room: string, message: string) => void this.#faults.push(new Error(message)),
      bug: (_room: string, error: unknown) => void this.#faults.push(error),
    };
    const events = new TaskEvents(new Metrics(), clock);
    const bounds = { rates: new Map(), limits: new Map() };
    const pauses = { leasable: (ops: ReadonlySet<string>) => ops };
    const shared = { engine, events, clock, log, leaseMs: LEASE_MS };
    const dispatcher = new Dispatcher({ ...shared, pauses, bounds });
    const reports = new ResultReports({ ...shared, dispatcher });
    const reclaimer = createReclaimer({ ...shared, dispatcher });
    const janitor = createJanitor({
      ...shared,
      ops: { isDue: false, forget() {} },
      recurringOps: () => [],
    });
    const scheduler = new Scheduler({
      book: new CronBook(engine.settings, (message) => assert(false, message)),
      clock,
      log,
      serials: engine.serials,
      submit: async (tasks) => {
        for (const { id } of tasks) this.#cronIds.add(id);
        const enqueued = await engine.enqueue(tasks, clock.now());
        dispatcher.kick();
        return enqueued;
      },
    });
    this.#runner = this.#newRunner();
    dispatcher.attach(this.#runner);
    for (const loop of [dispatcher, reclaimer, janitor, scheduler]) loop.start();
    this.#loops = {
      dispatcher,
      reports,
      scheduler,
      stop: async () => {
        for (const loop of [scheduler, dispatcher, reclaimer, janitor]) await loop.stop();
        await reports.settled();
      },
    };
  }

  /** Once all that needs no timer is done, the store's answers included. */
  async #settled(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (this.#options.isDurable) await this.#engine.list({ limit: 1 });
    }
  }

  #log(step: string): void {
    this.steps.push(step);
  }
}

function cronId(time: number): string {
  return `${CRON}:${new Date(time).toISOString().slice(0, 19)}Z`;
}

function timeOf(id: string): number {
  return Date.parse(id.slice(CRON.length + 1));
}

function ceilMinute(ms: number): number {
  return Math.ceil(ms / MINUTE) * MINUTE;
}
