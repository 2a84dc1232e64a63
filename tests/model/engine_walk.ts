/**
 * An engine beside a model of it; both get the same events in the same order. The model knows a task's
 * state by the server's own `transition`, and everything else by the promises of `Engine`. After each
 * event the two must agree on every task, and on the ends that each client was sent.
 */

import { assert, assertEquals } from "@std/assert";
import { MAX_DEATHS } from "../../protocol/limits.ts";
import { isFinal, type Status } from "../../protocol/task.ts";
import type { Engine, Nack } from "../../server/engine/engine.ts";
import { leaseAt, numberOf } from "../../server/engine/live/live_task.ts";
import { Metrics } from "../../server/metrics.ts";
import {
  backoffMs,
  initialState,
  type TaskEvent,
  type TaskState,
  transition,
} from "../../server/task/transition.ts";
import { type NewTask, newTask } from "../../server/task/new_task.ts";
import { TaskEvents } from "../../server/task/task_events.ts";
import { type Ends, reclaim } from "../contract/contract_steps.ts";
import type { Random } from "../fuzz/random.ts";
import { WalkClient } from "./walk_client.ts";

const LEASE_MS = 10_000;
const IDS = ["a", "b", "c", "d", "e"];
const OPS = new Set(["square"]);
/** A generator for the engine that always returns the same number, so that backoffs have no jitter. */
export const NO_JITTER = () => 0.5;

/** A task as the model knows it. */
interface Known {
  readonly task: NewTask;
  state: TaskState;
  runAt: number;
  leaseUntil: number;
  finishedAt: number;
  /** The engine looks for expired tasks among new ones, and when it leases. */
  wasLeasedOrRetried: boolean;
}

export class EngineWalk {
  #engine: Engine;
  readonly #random: Random;
  readonly #events = new TaskEvents(new Metrics());
  readonly #clients = [new WalkClient(), new WalkClient()];
  readonly #known = new Map<string, Known>();
  /** Every lease so far, live or lost. */
  readonly #leases: { id: string; lease: number }[] = [];
  readonly #trail: string[] = [];
  #now = 1_800_000_000_000;

  /** Closes the engine and opens its data again; only for an engine that stores data. */
  readonly #reopen: ((engine: Engine) => Promise<Engine>) | undefined;

  /** The ends that the engine reports. */
  readonly #ends: Ends;

  constructor(
    { engine, ends }: { engine: Engine; ends: Ends },
    random: Random,
    reopen?: (engine: Engine) => Promise<Engine>,
  ) {
    this.#engine = engine;
    this.#ends = ends;
    this.#random = random;
    this.#reopen = reopen;
  }

  /** The engine as it is now. */
  get engine(): Engine {
    return this.#engine;
  }

  /** Applies `count` random events. Throws as soon as the engine and the model differ. */
  async run(count: number): Promise<void> {
    try {
      for (let i = 0; i < count; i++) {
        await this.#step();
        await this.#compare();
      }
    } catch (error) {
      throw new Error(`after ${this.#trail.slice(-25).join(" · ")}`, { cause: error });
    }
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const steps: (() => Promise<void>)[] = [
      () => this.#submit(),
      () => this.#lease(),
      () => this.#lease(),
      () => this.#ack(),
      () => this.#nack(),
      () => this.#nack(),
      () => this.#renew(),
      () => this.#reclaim(),
      () => this.#cancel(),
      () => this.#requeue(),
      () => this.#prune(),
      () => this.#wait(),
      () => this.#pass(),
      () => this.#pass(),
      ...(this.#reopen ? [() => this.#restart()] : []),
    ];
    await random.pick(steps)();
  }

  #log(what: string): void {
    this.#trail.push(what);
  }

  #pass(): Promise<void> {
    const ms = this.#random.pick([1, 10, 100, 500, 2000, LEASE_MS, 60_000]);
    this.#now += ms;
    this.#log(`${ms} ms pass`);
    return Promise.resolve();
  }

  /** Clients that wait ask again, so they need no notice. */
  async #restart(): Promise<void> {
    this.#log("restart");
    this.#engine = await this.#reopen!(this.#engine);
    for (const known of this.#known.values()) {
      known.state = transition(known.state, { type: "restart" }) ?? known.state;
    }
    // After a restart the server numbers its leases from the start.
    this.#leases.length = 0;
  }

  async #submit(): Promise<void> {
    const random = this.#random;
    const id = random.pick(IDS);
    const options = {
      id,
      attempts: random.int(1, 3),
      backoff: random.pick([0, 100, 5000]),
      keep: random.pick([1000, 86_400_000]),
      ...(random.chance(0.3) ? { delay: random.pick([50, 400, 3000]) } : {}),
      ...(random.chance(0.3) ? { expires: random.pick([100, 1000, 20_000]) } : {}),
    };
    const message = { op: "square", n: random.int(1, 2), task: options };
    const { serials } = this.#engine;
    const task = newTask(message, JSON.stringify(message), { now: this.#now, serials });
    this.#log(`submit ${task.payload}`);
    const client = random.pick(this.#clients);
    const known = this.#known.get(id);
    const [enqueued] = await this.#engine.enqueue([task], this.#now);
    if (!known) {
      const state = initialState(task.runAt > this.#now);
      assertEquals([enqueued?.outcome, enqueued?.status], ["created", state.status]);
      this.#known.set(id, {
        task,
        state,
        runAt: task.runAt,
        leaseUntil: 0,
        finishedAt: 0,
        wasLeasedOrRetried: false,
      });
      this.#submitterWaits(client, task);
      return;
    }
    const isSame = JSON.parse(known.task.payload).n === message.n;
    assertEquals(enqueued?.outcome, isSame ? "exists" : "conflict");
    assertEquals(enqueued?.status, known.state.status);
    const isOver = isFinal(known.state.status);
    assertEquals(enqueued?.finished !== undefined, isSame && isOver);
    if (isSame && !isOver) this.#submitterWaits(client, task);
  }

  #submitterWaits(client: WalkClient, task: NewTask): void {
    this.#events.waitForNew(task, client, undefined);
    client.waits(task.id);
  }

  async #lease(): Promise<void> {
    const limit = this.#random.int(1, 3);
    // A limit of the op; workers of another version can name another one.
    const most = this.#random.pick([1, 2, Infinity, Infinity]);
    const limits = new Map(most === Infinity ? [] : [["square", most]]);
    this.#log(`lease ${limit}, ${most} may run`);
    for (const known of this.#known.values()) {
      if (known.state.status === "delayed" && known.runAt <= this.#now) {
        this.#move(known, { type: "due" });
      }
    }
    const request = { ops: OPS, limits, limit, leaseUntil: this.#now + LEASE_MS };
    const ran = this.#running;
    // Tasks that an engine has to read first are in memory then.
    await this.#engine.lease({ ...request, ops: new Set() }, this.#now);
    for (const suspects of [false, true]) {
      const { tasks, nextDueAt } = await this.#engine.lease(
        { ...request, suspects },
        this.#now,
      );
      assert(tasks.length <= limit, "no more than asked for");
      for (const { id, lease: handle, attempt } of tasks) {
        const lease = numberOf(handle);
        const known = this.#find(id);
        assert(known.task.expiresAt > this.#now, `${id} is too late to be leased`);
        assert(!this.#leases.some((one) => one.lease === lease), `lease ${lease} was given before`);
        this.#move(known, { type: "lease", lease });
        assertEquals(known.state.attempt, attempt);
        known.leaseUntil = this.#now + LEASE_MS;
        known.wasLeasedOrRetried = true;
        this.#leases.push({ id, lease });
      }
      await this.#expireAll();
      const due = [...this.#known.values()].filter(({ state }) => state.status === "delayed")
        .map(({ runAt }) => runAt);
      assert(nextDueAt <= Math.min(Infinity, ...due), "no delayed task is overslept");
      assert(this.#running <= Math.max(ran, most), "no more than the limit of the op");
      if (tasks.length < limit && this.#running < most) this.#assertDrained(suspects);
    }
  }

  get #running(): number {
    return [...this.#known.values()].filter(({ state }) => state.status === "running").length;
  }

  /** Checks that every queued task that can run was leased, or has expired. */
  #assertDrained(suspects: boolean): void {
    const left = [...this.#known].filter(([, { state }]) =>
      state.status === "queued" && state.deaths === MAX_DEATHS - 1 === suspects
    );
    assertEquals(left.map(([id]) => id), [], "nothing that may run is left in the queue");
  }

  async #ack(): Promise<void> {
    const one = this.#someLease();
    if (!one) return;
    this.#log(`ack ${one.lease} of ${one.id}`);
    const known = this.#known.get(one.id);
    const next = known && transition(known.state, { type: "complete", lease: one.lease });
    await this.#engine.ack([{ lease: leaseAt(one.lease), result: "1" }], this.#now);
    const finished = this.#ends.take();
    assertEquals(
      finished.map(({ id, status }) => [id, status]),
      next ? [[one.id, "completed"]] : [],
    );
    if (next) this.#move(known, { type: "complete", lease: one.lease });
    this.#events.emit(finished);
  }

  async #nack(): Promise<void> {
    const one = this.#someLease();
    if (!one) return;
    const { id, lease } = one;
    const reason = this.#random.pick<Nack["reason"]>(["failed", "stopped", "released", "died"]);
    const last = this.#random.chance(0.2);
    this.#log(`nack ${lease} of ${id}: ${reason}${last ? ", the last" : ""}`);
    const error = { code: "task_error", message: "no" } as const;
    const handle = leaseAt(lease);
    const nack: Nack = reason === "failed"
      ? { lease: handle, reason, error, last }
      : { lease: handle, reason };
    const [status] = await this.#engine.nack([nack], this.#now);
    const finished = this.#ends.take();
    const known = this.#known.get(id);
    const event = known && eventOf(nack, known);
    if (!known || !event || !transition(known.state, event)) {
      assertEquals([status, finished], [undefined, []], "a report under a lost lease is refused");
      return;
    }
    const { attempt } = known.state;
    this.#move(known, event);
    if (known.state.status === "delayed") {
      known.runAt = this.#now + backoffMs(known.task.rules.backoffMs, attempt, NO_JITTER());
    }
    assertEquals(status, known.state.status);
    this.#assertNews(finished, known);
    this.#events.emit(finished);
  }

  async #renew(): Promise<void> {
    const leases = this.#leases.slice(-6).map(({ lease }) => lease);
    this.#log("renew the last leases");
    const lost = (await this.#engine.renew(leases.map(leaseAt), this.#now + LEASE_MS)).map(
      numberOf,
    );
    const live = [...this.#known.values()].filter(({ state }) => leases.includes(state.lease));
    assertEquals(lost, leases.filter((one) => !live.some(({ state }) => state.lease === one)));
    for (const known of live) known.leaseUntil = this.#now + LEASE_MS;
  }

  async #reclaim(): Promise<void> {
    this.#log("reclaim");
    const over = [...this.#known.values()].filter(({ state, leaseUntil }) =>
      state.status === "running" && leaseUntil <= this.#now
    );
    const leases = over.map(({ state }) => state.lease);
    const lost = (await reclaim(this.#engine, this.#now, this.#now)).map(numberOf);
    const finished = this.#ends.take();
    assertEquals(lost.toSorted((a, b) => a - b), leases.toSorted((a, b) => a - b));
    for (const known of over) this.#move(known, { type: "lose", lease: known.state.lease });
    assertEquals(
      finished.map(({ id, status }) => `${id} ${status}`).sort(),
      over.filter(({ state }) => isFinal(state.status))
        .map(({ task, state }) => `${task.id} ${state.status}`).sort(),
    );
    this.#events.emit(finished);
  }

  async #cancel(): Promise<void> {
    const id = this.#random.pick(IDS);
    this.#log(`cancel ${id}`);
    const known = this.#known.get(id);
    const [cancelled] = await this.#engine.cancel([id], this.#now);
    if (!known) return assertEquals(cancelled?.outcome, "not_found");
    if (isFinal(known.state.status)) {
      assertEquals([cancelled?.outcome, cancelled?.status], ["final", known.state.status]);
      return;
    }
    this.#move(known, { type: "cancel" });
    const isRunning = known.state.status === "running";
    assertEquals(cancelled?.outcome, isRunning ? "running" : "cancelled");
    if (isRunning) assertEquals(cancelled?.lease, leaseAt(known.state.lease));
    const finished = this.#ends.take();
    this.#assertNews(finished, known);
    this.#events.emit(finished);
  }

  async #requeue(): Promise<void> {
    const id = this.#random.pick(IDS);
    this.#log(`retry ${id}`);
    const known = this.#known.get(id);
    const [requeued] = await this.#engine.requeue([id], this.#now);
    if (!known) return assertEquals(requeued?.outcome, "not_found");
    const next = transition(known.state, { type: "retry" });
    assertEquals(requeued?.outcome, next ? "queued" : "refused");
    if (!next) return;
    this.#move(known, { type: "retry" });
    known.wasLeasedOrRetried = true;
  }

  async #prune(): Promise<void> {
    this.#log("prune");
    await this.#engine.prune(this.#now);
    await this.#expireAll();
    for (const [id, { task, state, finishedAt, wasLeasedOrRetried }] of this.#known) {
      const isOver = isFinal(state.status);
      if (isOver && finishedAt + task.rules.keepMs <= this.#now) this.#known.delete(id);
      else if (!isOver && !wasLeasedOrRetried) {
        assert(task.expiresAt > this.#now, `${id} is too late, and nobody was told`);
      }
    }
  }

  #wait(): Promise<void> {
    const [id, known] = this.#random.pick([...this.#known, ["", undefined] as const]);
    if (!known || isFinal(known.state.status)) return Promise.resolve();
    this.#log(`wait for ${id}`);
    const client = this.#random.pick(this.#clients);
    this.#events.wait(id, client);
    client.waits(id);
    return Promise.resolve();
  }

  /** Moves the tasks whose ends the engine reports now, once they are committed. */
  async #expireAll(): Promise<void> {
    const expired = await this.#ends.committed(this.#engine);
    for (const { id } of expired) this.#expire(id);
    this.#events.emit(expired);
  }

  #expire(id: string): void {
    const known = this.#find(id);
    assert(known.task.expiresAt <= this.#now, `${id} is expired too early`);
    this.#move(known, { type: "expire" });
  }

  #assertNews(finished: readonly { id: string; status: Status }[], { task, state }: Known): void {
    assertEquals(
      finished.map(({ id, status }) => [id, status]),
      isFinal(state.status) ? [[task.id, state.status]] : [],
    );
  }

  #move(known: Known, event: TaskEvent): void {
    const next = transition(known.state, event);
    assert(next, `${known.task.id} is ${known.state.status}: ${event.type} must be refused`);
    known.state = next;
    if (!isFinal(next.status)) return;
    known.finishedAt = this.#now;
    for (const client of this.#clients) client.mustBeTold(known.task.id, next.status);
  }

  /** A random lease: a live one more often than a lost one. */
  #someLease(): { id: string; lease: number } | undefined {
    const running = [...this.#known].filter(([, { state }]) => state.lease > 0)
      .map(([id, { state }]) => ({ id, lease: state.lease }));
    const all = this.#random.chance(0.7) && running.length > 0 ? running : this.#leases.slice(-12);
    return all.length === 0 ? undefined : this.#random.pick(all);
  }

  #find(id: string): Known {
    const known = this.#known.get(id);
    assert(known, `${id} is dropped already`);
    return known;
  }

  async #compare(): Promise<void> {
    const records = await this.#engine.get(IDS);
    const expected = IDS.map((id) => this.#known.get(id)?.state);
    assertEquals(
      records.map((one) =>
        one && [one.id, one.status, one.attempt, one.lease && numberOf(one.lease)]
      ),
      expected.map((one, i) => one && [IDS[i]!, one.status, one.attempt, one.lease || undefined]),
    );
    const { tasks, ops } = await this.#engine.stats();
    for (const [status, count] of Object.entries(tasks)) {
      assertEquals(count, expected.filter((one) => one?.status === status).length, status);
    }
    const { queued, running } = tasks;
    assertEquals(
      ops.map((one) => [one.op, one.queued, one.running]),
      queued + running === 0 ? [] : [["square", queued, running]],
    );
    for (const client of this.#clients) client.check();
  }
}

function eventOf({ lease: handle, reason, last }: Nack, { task, state }: Known): TaskEvent {
  const lease = numberOf(handle);
  switch (reason) {
    case "failed":
      return { type: "fail", lease, again: !last && state.attempt < task.rules.attempts };
    case "stopped":
      return { type: "stop", lease };
    case "released":
      return { type: "release", lease };
    case "lost":
      return { type: "lose", lease };
    case "died":
      return { type: "die", lease };
  }
}
