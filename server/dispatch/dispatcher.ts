/**
 * The dispatcher hands queued tasks to worker processes that have room for them. It is one loop. Every
 * change that can start a task (a new task, a worker, room) calls `kick`, and any number of kicks during a round cause one
 * more round. A delayed task kicks it when it becomes due. Tasks of paused ops stay in the queue.
 */

import { setImmediate } from "node:timers";
import type { Progress } from "../../protocol/task.ts";
import type { Clock } from "../clock.ts";
import type { Engine, Lease, Leased } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import type { TaskEvents } from "../task/task_events.ts";
import type { OpDirectory } from "./op_directory.ts";
import type { TaskLog } from "../task/task_log.ts";
import type { Pauses } from "./pauses.ts";
import { Quarantine } from "./quarantine.ts";
import type { Runner } from "./runner.ts";

interface DispatcherOptions {
  readonly engine: Engine;
  readonly events: TaskEvents;
  readonly clock: Clock;
  readonly log: Log;
  readonly leaseMs: number;
  readonly pauses: Pick<Pauses, "leasable">;
  /** The rates and limits that ops have. */
  readonly bounds: Pick<OpDirectory, "rates" | "limits">;
}

/** Most tasks leased for a runner before the next runner has its turn. */
const TURN_TASKS = 128;
/** Pause after the engine failed to lease, in ms. */
const RETRY_MS = 1000;
/** Rounds in a row after which timers and sockets have their turn. */
const ROUNDS_A_TURN = 32;
/** Rounds in a row that hand out nothing and ask for another; more are a fault of sd. */
const MAX_IDLE_ROUNDS = 1000;
/** Longest wait for a due time, in ms: a clock that jumps ahead is noticed within it. */
const LOOK_MS = 1000;

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #runners: Runner[] = [];
  readonly #quarantine: Quarantine;
  #started = false;
  #again = false;
  #handedOut = 0;
  /** A round of the loop asked for another; kicks from outside are not counted. */
  #roundAsks = false;
  #loop: Promise<void> | undefined;
  #lease: Promise<unknown> = Promise.resolve();
  /** Resolves when the engine has fetched more tasks. */
  #more: Promise<void> | undefined;
  #dueTimer: (() => void) | undefined;
  #dueAt = Infinity;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#quarantine = new Quarantine(() => options.clock.now());
  }

  start(): void {
    this.#started = true;
    this.kick();
  }

  /** Leases nothing more; resolves when no lease is under way. */
  async stop(): Promise<void> {
    this.#started = false;
    this.#dueTimer?.();
    this.#dueTimer = undefined;
    this.#dueAt = Infinity;
    await this.#loop;
  }

  attach(runner: Runner): void {
    this.#runners.push(runner);
    this.kick();
  }

  detach(runner: Runner): void {
    const at = this.#runners.indexOf(runner);
    if (at >= 0) this.#runners.splice(at, 1);
    this.#quarantine.leave(runner);
  }

  /** Tasks handed out since the start. */
  get handedOut(): number {
    return this.#handedOut;
  }

  /** Ops for which a runner waits that would be given a task now. */
  idleOps(): ReadonlySet<string> {
    const { pauses } = this.#options;
    const idle = this.#runners.filter((runner) =>
      runner.room > 0 && runner.accepts && !this.#quarantine.spares(runner)
    );
    return new Set(idle.flatMap(({ ops }) => [...pauses.leasable(ops)]));
  }

  get runners(): readonly Runner[] {
    return this.#runners;
  }

  /** Starts a round, or one more round after the present one. Called after each change that can start a task. */
  kick(): void {
    this.#again = true;
    if (!this.#started || this.#loop) return;
    this.#loop = this.#run().finally(() => {
      this.#loop = undefined;
      if (this.#again) this.kick();
    });
  }

  /** Resolves when no lease is under way that was begun before. */
  async leased(): Promise<void> {
    // If it failed, nothing was leased, and the loop has logged it.
    await this.#lease.catch(() => undefined);
  }

  /** Stops the tasks of `leases`, wherever they run. */
  stopTasks(leases: readonly Lease[], reason: "cancel" | "lost"): void {
    for (const runner of this.#runners) runner.stop(leases, reason);
  }

  /**
   * Cuts off the runners that hold any of `leases`, which ran out: each ends its runs itself, and gets nothing more.
   * Returns the leases that no runner holds.
   */
  cutHolders(leases: readonly Lease[], why: string): Lease[] {
    const held = new Set<Lease>();
    for (const runner of [...this.#runners]) {
      const its = leases.filter((lease) => runner.holds(lease));
      if (its.length > 0) runner.cutOff(why, its);
      for (const lease of its) held.add(lease);
    }
    return leases.filter((lease) => !held.has(lease));
  }

  progressOf(lease: Lease): Progress | undefined {
    return this.#ofHolder((runner) => runner.progressOf(lease));
  }

  /** The log so far of the run under `lease`. */
  logOf(lease: Lease): TaskLog | undefined {
    return this.#ofHolder((runner) => runner.logOf(lease));
  }

  /** The answer of the one runner that has one. */
  #ofHolder<T>(ask: (runner: Runner) => T | undefined): T | undefined {
    for (const runner of this.#runners) {
      const answer = ask(runner);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  async #run(): Promise<void> {
    // The caller of `kick` has more to do in this turn: the tasks of one read are enqueued together.
    await undefined;
    try {
      let idleRounds = 0;
      for (let rounds = 1; this.#again && this.#started; rounds++) {
        this.#again = this.#roundAsks = false;
        const handedOut = await this.#round();
        if (this.#roundAsks) this.#again = true;
        idleRounds = handedOut === 0 && this.#roundAsks ? idleRounds + 1 : 0;
        if (idleRounds >= MAX_IDLE_ROUNDS) return this.#giveUpRounds();
        // Promises alone would keep this loop running before any timer and any socket.
        if (rounds % ROUNDS_A_TURN === 0) await new Promise<void>((go) => setImmediate(go));
      }
      if (this.#quarantine.nextMs !== Infinity) {
        this.#kickAt(this.#options.clock.now() + Math.ceil(this.#quarantine.nextMs));
      }
    } catch (error) {
      this.#options.log.bug("dispatcher", error);
      this.#kickAt(this.#options.clock.now() + RETRY_MS);
    }
  }

  /** Each runner has its turn; resolves with how many tasks were handed out. */
  async #round(): Promise<number> {
    let handedOut = 0;
    // A start that a limit or a rate has just freed is for a suspect that waits for it, before all other tasks.
    const spared = this.#runners.filter((runner) => this.#quarantine.spares(runner));
    const others = this.#runners.filter((runner) => !spared.includes(runner));
    // A copy: a runner may come or go while the engine is asked.
    for (const runner of [...spared, ...others]) handedOut += await this.#serve(runner);
    const first = this.#runners.shift();
    if (first) this.#runners.push(first);
    return handedOut;
  }

  /** Stops a loop that asks itself for rounds without end; it goes on later, so that the server can work. */
  #giveUpRounds(): void {
    this.#again = this.#roundAsks = false;
    const runners = this.#runners.map(({ pid, room, held, accepts }) =>
      `${pid}: room ${room}, holds ${held}${accepts ? "" : ", accepts nothing"}`
    );
    this.#options.log.bug(
      "dispatcher",
      new Error(
        `${MAX_IDLE_ROUNDS} rounds handed out nothing and asked for another; the next look is in ` +
          `${RETRY_MS} ms. Worker processes: ${runners.join("; ") || "none"}`,
      ),
    );
    this.#kickAt(this.#options.clock.now() + RETRY_MS);
  }

  /** Resolves with how many tasks the runner was given. */
  async #serve(runner: Runner): Promise<number> {
    if (!this.#runners.includes(runner)) return 0;
    const allowed = this.#quarantine.allows(runner);
    const suspects = allowed === "suspect";
    const limit = Math.min(runner.room, suspects ? 1 : TURN_TASKS);
    if (allowed === "nothing" || limit <= 0 || !this.#started) return 0;
    const { engine, events, clock, leaseMs, pauses, bounds } = this.#options;
    const leasable = pauses.leasable(runner.ops);
    const ops = suspects ? leasable : this.#leftBySuspects(leasable);
    const lease = engine.lease(
      {
        ops,
        rates: bounds.rates,
        limits: bounds.limits,
        versions: runner.versions,
        limit,
        aheadMs: clock.aheadMs,
        leaseUntil: clock.awake() + leaseMs,
        suspects,
      },
      clock.now(),
    );
    this.#lease = lease;
    const leased = await lease;
    if (!this.#runners.includes(runner)) {
      await this.#giveBack(leased);
      return 0;
    }
    if (leased.tasks.length > 0) runner.run(leased.tasks);
    this.#handedOut += leased.tasks.length;
    if (events.watchers.any) {
      for (const task of leased.tasks) events.watchers.publish("started", task);
    }
    if (suspects) {
      const gotOne = leased.tasks.length > 0;
      this.#quarantine.settle(runner, { gotOne, waits: leased.suspectOps.size > 0 });
      // It takes other tasks again.
      if (!this.#quarantine.spares(runner)) this.#roundAsks = true;
    } else if (this.#quarantine.need(leased.suspectOps, this.#runners)) {
      this.#roundAsks = true;
    }
    if (leased.tasks.length === limit) this.#roundAsks = true;
    if (leased.nextDueAt !== Infinity) this.#kickAt(leased.nextDueAt);
    if (leased.more) this.#kickWhen(leased.more);
    return leased.tasks.length;
  }

  /** The ops whose next start, as a limit or a rate allows it, is not for a suspect. */
  #leftBySuspects(ops: ReadonlySet<string>): ReadonlySet<string> {
    const { limits, rates } = this.#options.bounds;
    let left: Set<string> | undefined;
    for (const op of this.#quarantine.waiting()) {
      if (ops.has(op) && (limits.has(op) || rates.has(op))) (left ??= new Set(ops)).delete(op);
    }
    return left ?? ops;
  }

  /** Gives back tasks that were leased for a runner that has left: they are next again. */
  async #giveBack({ tasks }: Leased): Promise<void> {
    const { engine, clock } = this.#options;
    const nacks = tasks.map(({ lease }) => ({ lease, reason: "released" as const }));
    await engine.nack(nacks, clock.now());
    this.#roundAsks = true;
  }

  /** Replies to leases carry the same promise until it resolves. */
  #kickWhen(more: Promise<void>): void {
    if (more === this.#more) return;
    this.#more = more;
    void more.then(() => this.kick());
  }

  #kickAt(time: number): void {
    if (time >= this.#dueAt || !this.#started) return;
    this.#dueTimer?.();
    this.#dueAt = time;
    const { clock } = this.#options;
    this.#dueTimer = clock.after(Math.min(time - clock.now(), LOOK_MS), () => {
      this.#dueAt = Infinity;
      this.kick();
    });
  }
}
