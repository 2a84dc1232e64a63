/**
 * Servers take the lead from each other on one store, at any moment, while the one before goes on without knowing it. By a
 * seed, with late answers. The account is kept from what clients were answered and from the ends that were reported: no
 * acknowledged task is lost, no task ends twice or with two results, and what a server without the lead says counts nowhere.
 */

import { setImmediate } from "node:timers";
import { assert, assertEquals } from "@std/assert";
import type { Engine, LeasedTask } from "../../server/engine/engine.ts";
import { openJournaledEngine } from "../../server/engine/journaled/journaled_engine.ts";
import {
  type StoreCounts,
  StoreError,
  type TaskStore,
} from "../../server/engine/journaled/task_store.ts";
import { copyOf, NOW, task } from "../contract/contract_steps.ts";
import { LateCalls } from "../faults/late_calls.ts";
import { SharedMemory } from "../faults/memory_store.ts";
import { newSeed, Random } from "../fuzz/random.ts";

const WALKS = Deno.env.get("SD_LONG") ? 2000 : 25;
const STEPS = 150;
const OPS = new Set(["square"]);
const OUTCOMES = ["created", "exists"];

/** One server that leads, or believes it does. */
interface Leader {
  readonly name: number;
  readonly engine: Engine;
  readonly running: LeasedTask[];
  readonly calls: Set<Promise<unknown>>;
}

class TakeoverWalk {
  readonly #random: Random;
  readonly #memory = new SharedMemory();
  readonly #leaders: Leader[] = [];
  /** Ids of tasks that a client was answered are kept. */
  readonly #acknowledged = new Set<string>();
  /** Ends that were reported, by id. */
  readonly #ended = new Map<string, string>();
  /** Results whose `ack` resolved, by id. */
  readonly #recorded = new Map<string, Set<string>>();
  /** Ends that were reported more than once; a sink must not throw. */
  readonly #again: string[] = [];
  #count = 0;
  takeovers = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  async run(): Promise<void> {
    await this.#takeOver();
    for (let step = 0; step < STEPS; step++) {
      if (this.#random.chance(0.05)) {
        // The leader is in the middle of something.
        const before = this.#leaders.at(-1)!;
        for (let calls = this.#random.int(0, 6); calls > 0; calls--) this.#step(before);
        await this.#takeOver();
        for (let calls = this.#random.int(0, 2); calls > 0; calls--) this.#step(before);
      }
      // Most calls go to the leader, some to one that was.
      const leader = this.#random.chance(0.75)
        ? this.#leaders.at(-1)!
        : this.#random.pick(this.#leaders);
      this.#step(leader);
      for (let turns = this.#random.int(0, 4); turns > 0; turns--) await turn();
      if (this.#leaders.length > 1 && this.#random.chance(0.05)) {
        await this.#end(this.#leaders.shift()!);
      }
    }
    await this.#takeOver();
    while (this.#leaders.length > 1) await this.#end(this.#leaders.shift()!);
    await this.#drain(this.#leaders[0]!);
    this.#check();
    await this.#end(this.#leaders[0]!);
  }

  async #takeOver(): Promise<void> {
    const name = ++this.takeovers;
    const lead = this.#memory.lead();
    const late = new LateCalls(this.#random.fork(), { inOrder: true, untimed: true });
    const { counts } = this.#memory;
    const counting = this.#random.chance(0.5) ? Promise.withResolvers<StoreCounts>() : undefined;
    let isFull = false;
    const store: TaskStore = {
      lost: lead.lost,
      call: (name, ask) => {
        counting?.resolve(counts);
        isFull = name === "write" && this.#random.chance(0.05);
        const fault = isFull ? new StoreError("full", "no room") : undefined;
        return late.call(() => fault ? Promise.reject(fault) : lead.call(name, ask));
      },
      close: () => late.settled().then(() => lead.close()),
    };
    const engine = await openJournaledEngine({
      name: "memory of a test",
      store,
      opened: lead.opened(counting?.promise),
      now: NOW,
      sweeper: lead.sweeper(),
      report: () => {},
      random: () => 0.5,
      sizes: { lane: 3, page: 2, all: 6, few: 1, chars: 2000, delayed: 2 },
      ended: (tasks) => {
        for (const { id, status, result } of tasks) {
          if (this.#ended.has(id)) {
            this.#again.push(`server ${name} reports the end of ${id} again`);
          }
          this.#ended.set(id, `${status} ${result}`);
        }
      },
    });
    this.#leaders.push({ name, engine, running: [], calls: new Set() });
  }

  #step(leader: Leader): void {
    const { engine, running } = leader;
    const kind = this.#random.int(0, 9);
    if (kind < 4) return this.#submit(leader);
    if (kind < 7) {
      const request = { ops: OPS, limit: this.#random.int(1, 4), leaseUntil: NOW };
      return this.#call(leader, engine.lease(request, NOW), ({ tasks }) => {
        running.push(...tasks.map(copyOf));
      });
    }
    const one = running.splice(this.#random.int(0, running.length), 1)[0];
    if (!one) return;
    if (kind === 9) {
      return this.#call(leader, engine.nack([{ lease: one.lease, reason: "lost" }], NOW), () => {});
    }
    const result = `"${one.id} by ${leader.name}"`;
    this.#call(leader, engine.ack([{ lease: one.lease, result }], NOW), () => {
      const results = this.#recorded.get(one.id) ?? new Set();
      this.#recorded.set(one.id, results.add(`completed ${result}`));
    });
  }

  #submit(leader: Leader): void {
    const isGiven = this.#random.chance(0.5);
    // A client whose connection was cut submits the same task to the next leader.
    const id = `given-${this.#random.int(0, 40)}`;
    const one = task(leader.engine, {
      n: ++this.#count,
      ...(isGiven ? { n: 4, task: { id } } : {}),
    });
    this.#call(leader, leader.engine.enqueue([one], NOW), ([enqueued]) => {
      if (OUTCOMES.includes(enqueued!.outcome)) this.#acknowledged.add(one.id);
      else assertEquals(enqueued!.outcome, "uncommitted");
    });
  }

  #call<T>(leader: Leader, call: Promise<T>, answered: (answer: T) => void): void {
    const done = call.then(answered, (error) => {
      // Only a leader that was closed rejects.
      assert(leader.calls.size === 0 || /no room|leads no more/.test(error.message), error);
    });
    leader.calls.add(done);
    void done.finally(() => leader.calls.delete(done)).catch(() => {});
  }

  async #end({ engine, calls }: Leader): Promise<void> {
    await engine.close();
    await Promise.all(calls);
  }

  async #drain({ engine }: Leader): Promise<void> {
    for (let idle = 0; idle < 50;) {
      const { tasks, more } = await engine.lease({ ops: OPS, limit: 5, leaseUntil: NOW }, NOW);
      const acks = tasks.map(({ lease, id }) => ({ lease, result: `"${id} at last"` }));
      if (acks.length > 0) await engine.ack(acks, NOW).catch(() => {});
      else if (more) await more;
      idle = acks.length > 0 ? 0 : idle + 1;
      await turn();
    }
    await engine.get([]);
  }

  #check(): void {
    assertEquals(this.#again, []);
    const rows = new Map([...this.#memory.rows.values()].map((row) => [row.id, row]));
    assertEquals(rows.size, this.#memory.rows.size, "no id is there twice");
    for (const id of this.#acknowledged) {
      const row = rows.get(id);
      assert(row, `task ${id} was acknowledged and is lost`);
      assertEquals(row.status, 3, `task ${id} ends`);
    }
    for (const [id, end] of this.#ended) {
      assertEquals(
        end,
        `completed ${rows.get(id)?.result}`,
        `the reported end of ${id} is the kept one`,
      );
    }
  }
}

function turn(): Promise<void> {
  return new Promise((go) => setImmediate(go));
}

Deno.test("whoever takes the lead and whenever: no acknowledged task is lost, and none ends twice", async () => {
  const first = newSeed();
  let takeovers = 0;
  for (let i = 0; i < WALKS; i++) {
    const walk = new TakeoverWalk(new Random(first + i));
    try {
      await walk.run();
    } catch (error) {
      throw new Error(`with SD_SEED=${first + i}`, { cause: error });
    }
    takeovers += walk.takeovers;
  }
  assert(takeovers > 3 * WALKS);
});
