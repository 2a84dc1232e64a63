/**
 * A backlog beyond every page and horizon, on a store that answers late and fails at times: tasks are submitted,
 * leased, ended and cancelled at random, many of these at a time. Then the store works again and one idle worker
 * takes each task that it is given. Every acknowledged task must be final in the end: none can stand still. The
 * oracle knows the interface of engines and nothing of pages.
 */

import { setImmediate } from "node:timers";
import { assert, assertEquals } from "@std/assert";
import { isFinal } from "../../protocol/task.ts";
import type { EndedSink, Engine, Lease, LeasedTask, Nack } from "../../server/engine/engine.ts";
import { type NewTask, newTask } from "../../server/task/new_task.ts";
import { Ends, NOW } from "../contract/contract_steps.ts";
import type { Random } from "../fuzz/random.ts";

const OPS = ["square", "echo", "hash"];
const LEASE_UNTIL = NOW + 1_000_000_000;
/** Number of empty leases in a row after which no task is due. */
const QUIET = 5;

/** An engine, and how to end the faults of its store. */
export interface Walked {
  readonly engine: Engine;
  mend(): void;
}

export class BacklogWalk {
  readonly #random: Random;
  readonly #open: () => Promise<Walked>;
  #walked: Walked;
  readonly #ends: Ends;
  #now = NOW;
  #ids = 0;
  /** Tasks whose submit was answered with `created`. */
  readonly #acknowledged = new Set<string>();
  /** Tasks that were not kept. */
  readonly #refused = new Set<string>();
  /** Tasks that can have more than one end. */
  readonly #retried = new Set<string>();
  #leases: Lease[] = [];
  readonly #underWay = new Set<Promise<void>>();

  private constructor(random: Random, open: () => Promise<Walked>, walked: Walked, ends: Ends) {
    this.#random = random;
    this.#open = open;
    this.#walked = walked;
    this.#ends = ends;
  }

  /** `open` opens the data of the engine before, on a store with faults. */
  static async start(
    random: Random,
    open: (ended: EndedSink) => Promise<Walked>,
  ): Promise<BacklogWalk> {
    const ends = new Ends();
    const reopen = () => open(ends.sink);
    return new BacklogWalk(random, reopen, await reopen(), ends);
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  async run(steps: number): Promise<void> {
    const random = this.#random;
    for (let step = 0; step < steps; step++) {
      // Phases with many submits and with few.
      const isFlood = Math.floor(step / 60) % 2 === 0;
      const todo: (() => Promise<void>)[] = [
        () => this.#submit(),
        () => isFlood ? this.#submit() : this.#lease(),
        () => isFlood ? this.#submit() : this.#lease(),
        () => this.#lease(),
        () => this.#ack(),
        () => this.#ack(),
        () => this.#nack(),
        () => this.#cancel(),
        () => this.#requeue(),
        () => this.#prune(),
      ];
      this.#begin(random.pick(todo)());
      if (random.chance(0.4)) this.#now += random.int(0, 40);
      if (random.chance(0.3)) await turn();
      if (random.chance(0.01)) await this.#restart();
    }
    await this.#settle();
  }

  /** The store works again: one worker with all ops takes every task that it is given. */
  async drain(): Promise<void> {
    this.#walked.mend();
    await this.#endRuns();
    for (let quiet = 0; quiet < QUIET;) {
      const gave = await this.#serve(false) + await this.#serve(true);
      quiet = gave > 0 ? 0 : quiet + 1;
    }
    const ids = [...this.#acknowledged];
    const records = await this.#walked.engine.get(ids);
    const standing = records.flatMap((record, i) => {
      if (record && isFinal(record.status)) return [];
      return [`${ids[i]} ${record?.op} ${record?.status} priority ${record?.rules.priority}`];
    });
    assertEquals(standing, [], "beside an idle worker nothing stands still");
    await this.#checkEnds();
  }

  /** Checks that each acknowledged task has ended once, and no refused one has. */
  async #checkEnds(): Promise<void> {
    const times = new Map<string, number>();
    for (const { id } of await this.#ends.committed(this.#walked.engine)) {
      times.set(id, (times.get(id) ?? 0) + 1);
    }
    const timesOf = (ids: Iterable<string>) => [...ids].map((id) => [id, times.get(id) ?? 0]);
    const once = [...this.#acknowledged].filter((id) => !this.#retried.has(id));
    assertEquals(timesOf(once), once.map((id) => [id, 1]), "each end is reported once");
    assertEquals(
      timesOf(this.#retried).filter(([, count]) => count === 0),
      [],
      "a task that is run again has ended before",
    );
    assertEquals(
      timesOf(this.#refused).filter(([, count]) => count !== 0),
      [],
      "a task that was not kept has no end",
    );
  }

  async close(): Promise<void> {
    await this.#walked.engine.close();
  }

  /** Leases and completes once; lets time pass if every task waits for it. */
  async #serve(suspects: boolean): Promise<number> {
    const { engine } = this.#walked;
    const request = { ops: new Set(OPS), limit: 7, leaseUntil: LEASE_UNTIL, suspects };
    const { tasks, nextDueAt, more } = await engine.lease(request, this.#now);
    await engine.ack(tasks.map(({ lease }) => ({ lease, result: "1" })), this.#now);
    if (tasks.length > 0) return tasks.length;
    if (more) {
      await more;
      return 1;
    }
    if (nextDueAt === Infinity || suspects) return 0;
    this.#now = Math.max(this.#now + 1, nextDueAt);
    return 1;
  }

  /** A failed commit fails the calls that wait for it; that is a normal step. */
  #begin(step: Promise<void>): void {
    const done = step.catch((error) => {
      assert(/room/.test(String(error)), `${error}`);
    }).finally(() => this.#underWay.delete(done));
    this.#underWay.add(done);
  }

  async #settle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  async #restart(): Promise<void> {
    await this.#settle();
    this.#walked.mend();
    await this.#endRuns();
    await this.#walked.engine.close();
    this.#leases = [];
    this.#walked = await this.#open();
  }

  /** Returns all running tasks. */
  async #endRuns(): Promise<void> {
    const nacks = this.#leases.map((lease) => ({ lease, reason: "released" as const }));
    this.#leases = [];
    await this.#walked.engine.nack(nacks, this.#now);
  }

  #task(): NewTask {
    const random = this.#random;
    const parents = random.chance(0.08) ? [...this.#acknowledged].slice(-random.int(1, 2)) : [];
    const key = random.chance(0.3)
      ? { key: `k${random.int(1, 3)}`, ...(random.chance(0.5) ? { limit: random.int(1, 2) } : {}) }
      : {};
    const options = {
      ...(random.chance(0.5) ? { id: `t${++this.#ids}` } : {}),
      ...(random.chance(0.3) ? { priority: random.int(-1, 1) } : {}),
      ...(random.chance(0.25) ? { delay: random.pick([5, 20, 20, 60, 3000]) } : {}),
      ...(random.chance(0.1) ? { expires: random.pick([5, 100, 5000]) } : {}),
      ...(random.chance(0.5) ? { wait: false } : {}),
      ...(parents.length > 0 ? { after: parents } : {}),
      ...key,
      attempts: random.int(1, 3),
      backoff: random.pick([0, 1, 50]),
    };
    const { serials } = this.#walked.engine;
    const message = { op: random.pick(OPS), data: "x".repeat(random.int(0, 50)), task: options };
    return newTask(message, JSON.stringify(message), { now: this.#now, serials });
  }

  async #submit(): Promise<void> {
    const tasks = Array.from({ length: this.#random.int(1, 8) }, () => this.#task());
    const answers = await this.#walked.engine.enqueue(tasks, this.#now);
    answers.forEach(({ outcome }, i) => {
      const { id } = tasks[i] as NewTask;
      if (outcome === "created") this.#acknowledged.add(id);
      else this.#refused.add(id);
    });
  }

  async #lease(): Promise<void> {
    const random = this.#random;
    const ops = new Set(OPS.filter(() => random.chance(0.7)));
    const request = {
      ops,
      limit: random.int(1, 6),
      leaseUntil: LEASE_UNTIL,
      suspects: random.chance(0.1),
      ...(random.chance(0.3) ? { limits: new Map([["echo", random.int(1, 3)]]) } : {}),
    };
    const { tasks } = await this.#walked.engine.lease(request, this.#now);
    // An engine returns its own records, so they are read at once.
    this.#leases.push(...tasks.map(({ lease }: LeasedTask) => lease));
  }

  async #ack(): Promise<void> {
    const acks = this.#takeLeases().map((lease) => ({ lease, result: "1" }));
    await this.#walked.engine.ack(acks, this.#now);
  }

  async #nack(): Promise<void> {
    const reason = this.#random.pick<Nack["reason"]>(["failed", "released", "died", "stopped"]);
    const error = { code: "task_error", message: "no" } as const;
    const nacks = this.#takeLeases().map((lease) => ({ lease, reason, error }));
    await this.#walked.engine.nack(nacks, this.#now);
  }

  async #cancel(): Promise<void> {
    const ids = this.#someIds();
    for (const { lease } of await this.#walked.engine.cancel(ids, this.#now)) {
      if (lease !== undefined) this.#leases.push(lease);
    }
  }

  async #requeue(): Promise<void> {
    const ids = this.#someIds();
    for (const id of ids) this.#retried.add(id);
    await this.#walked.engine.requeue(ids, this.#now);
  }

  async #prune(): Promise<void> {
    await this.#walked.engine.prune(this.#now);
  }

  #takeLeases(): Lease[] {
    const count = this.#random.int(1, 5);
    const at = this.#random.int(0, Math.max(0, this.#leases.length - count));
    return this.#leases.splice(at, count);
  }

  #someIds(): string[] {
    if (this.#acknowledged.size === 0) return [];
    const all = [...this.#acknowledged];
    return Array.from({ length: this.#random.int(1, 3) }, () => this.#random.pick(all));
  }
}

function turn(): Promise<void> {
  return new Promise((go) => setImmediate(go));
}
