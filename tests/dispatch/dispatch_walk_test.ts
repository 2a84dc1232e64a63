/**
 * Random walks over the dispatch core. Calls to the engine are late and fail; runners join, die, fall silent and leave; ops
 * are paused and limited. Whenever the loops rest, no task has two holders and no runner is over its room. After the last
 * fault, every acknowledged task ends, and each exactly once.
 */

import { assert, assertEquals } from "@std/assert";
import { newSeed, Random } from "../fuzz/random.ts";
import { DispatchStage, LEASE_MS } from "./dispatch_stage.ts";
import type { FakeRunner } from "./fake_runner.ts";

const OPS = ["square", "echo", "resize"];
const STEPS = 120;
/** Seconds of the clock in which all tasks must have ended after the walk. */
const DRAIN_S = 600;

class DispatchWalk {
  readonly stage: DispatchStage;
  readonly #random: Random;
  readonly #silent = new Set<FakeRunner>();
  readonly #trail: string[] = [];

  constructor(seed: number, share: number) {
    this.#random = new Random(seed);
    this.stage = new DispatchStage({ seed, faults: { share } });
  }

  get trail(): string {
    return this.#trail.slice(-20).join(" · ");
  }

  async run(): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      await this.#step();
      await this.stage.settled();
      this.#check();
    }
  }

  /** Nothing fails any more, and one runner that takes everything is alive: all tasks must end. */
  async drain(): Promise<void> {
    const { stage } = this;
    stage.engine.setFaults();
    stage.limits = new Map();
    this.#silent.clear();
    await this.#try(() => stage.pauses.resume());
    stage.runner({ ops: OPS, capacity: 50 });
    for (let second = 0; second < DRAIN_S && this.#open().length > 0; second++) {
      for (const runner of this.#alive()) runner.complete();
      await this.#pass(1000);
    }
    assertEquals(this.#open(), [], "acknowledged tasks have not ended");
    const counts = new Map<string, number>();
    for (const { id } of stage.ends) counts.set(id, (counts.get(id) ?? 0) + 1);
    assertEquals([...counts].filter(([, count]) => count > 1), [], "tasks have ended twice");
    assertEquals(stage.metrics.finished, stage.ends.length, "each end is reported once");
    assertEquals(stage.metrics.standstills, 0, stage.faults.join());
  }

  #open(): string[] {
    const ended = new Set(this.stage.ends.map(({ id }) => id));
    return [...this.stage.acknowledged].filter((id) => !ended.has(id));
  }

  #alive(): FakeRunner[] {
    return this.stage.runners.filter((runner) => !runner.isGone && !this.#silent.has(runner));
  }

  #check(): void {
    const held = this.stage.runners.flatMap(({ tasks }) => tasks.map(({ id }) => id));
    assertEquals(held.length, new Set(held).size, "a task has two holders");
    for (const runner of this.stage.runners) assert(runner.room >= 0, "a runner is over its room");
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const { stage } = this;
    const runner = this.#alive().length > 0 ? random.pick(this.#alive()) : undefined;
    const task = runner && runner.held > 0 ? random.pick(runner.tasks) : undefined;
    const steps: Record<string, () => unknown> = {
      submit: () => this.#try(() => stage.submit(...this.#newTasks())),
      complete: () => task && runner!.complete([task]),
      "complete all": () => runner?.complete(),
      fail: () => task && runner!.break(task, "failed"),
      release: () => task && runner!.break(task, "released"),
      cancel: () => this.#cancel(),
      join: () =>
        this.#alive().length < 4 &&
        stage.runner({
          ops: OPS.filter(() => random.chance(0.7)),
          capacity: random.int(1, 8),
        }),
      die: () => random.chance(0.3) && runner?.die(),
      leave: () => random.chance(0.3) && runner?.leave(),
      "fall silent": () => random.chance(0.3) && runner && this.#silent.add(runner),
      pause: () => this.#try(() => stage.pauses.pause(random.pick(OPS))),
      resume: () => this.#try(() => stage.pauses.resume(random.pick(OPS))),
      limit: () => {
        stage.limits = new Map(OPS.filter(() => random.chance(0.3)).map((op) => [op, 2]));
        stage.dispatcher.kick();
      },
      pass: () => this.#pass(random.pick([10, 200, 1000, LEASE_MS / 2])),
    };
    const name = random.pick([...Object.keys(steps), "submit", "complete", "complete all", "pass"]);
    this.#trail.push(name);
    await steps[name]!();
  }

  #newTasks(): Record<string, unknown>[] {
    const random = this.#random;
    return Array.from({ length: random.pick([1, 3, 30]) }, () => ({
      op: random.pick(OPS),
      ...(random.chance(0.2) && { delay: random.int(1, 5000) }),
      ...(random.chance(0.2) && { priority: random.int(-3, 3) }),
      ...(random.chance(0.2) && { key: random.pick(["a", "b"]), limit: 2 }),
      ...(random.chance(0.2) && { attempts: 3, backoff: 500 }),
      ...(random.chance(0.1) && { expires: random.int(1000, 20_000) }),
    }));
  }

  async #cancel(): Promise<void> {
    const open = this.#open();
    if (open.length === 0) return;
    const id = this.#random.pick(open);
    await this.#try(() => this.stage.cancel(id));
    // A decent worker stops the run.
    for (const runner of this.#alive()) {
      const cancelled = new Set(
        runner.stopped.filter(({ reason }) => reason === "cancel").map(({ lease }) => lease),
      );
      for (const task of runner.tasks) if (cancelled.has(task.lease)) runner.break(task, "stopped");
    }
  }

  /** Time in which runners that are not silent keep their leases. */
  async #pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1000) {
      for (const runner of this.#alive()) await runner.renew();
      await this.stage.clock.pass(Math.min(left, 1000));
    }
  }

  /** A call that can fail: then nothing of it has happened. */
  async #try(call: () => Promise<unknown>): Promise<void> {
    try {
      await call();
    } catch (error) {
      if (!(error instanceof Error && error.message.includes("injected fault"))) throw error;
    }
  }
}

async function walkAll(walks: number, share: number): Promise<void> {
  const first = newSeed();
  for (let seed = first; seed < first + walks; seed++) {
    const walk = new DispatchWalk(seed, share);
    await using stage = walk.stage;
    try {
      await walk.run();
      await walk.drain();
      if (share === 0) assertEquals(stage.faults, []);
      else assert(stage.engine.failed > 0, "no call has failed");
    } catch (error) {
      throw new Error(`with SD_SEED=${seed}, after ${walk.trail}`, { cause: error });
    }
  }
}

Deno.test("on random walks every acknowledged task ends once, on a late engine", async () => {
  await walkAll(30, 0);
});

Deno.test("on random walks every acknowledged task ends once, on an engine that is late and fails", async () => {
  await walkAll(30, 0.1);
});
