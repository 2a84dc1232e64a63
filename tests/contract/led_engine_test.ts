/**
 * The journaled engine on a store that servers share keeps the contract of engines, also while the store still counts. And
 * once another server leads it is silent: nothing settles, no end is reported, and no client is refused.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import { SdError } from "../../protocol/errors.ts";
import type { EndedSink, Engine } from "../../server/engine/engine.ts";
import { openJournaledEngine } from "../../server/engine/journaled/journaled_engine.ts";
import { UNCOUNTED } from "../../server/engine/journaled/stored_counts.ts";
import {
  type StoreCounts,
  StoreError,
  type TaskStore,
} from "../../server/engine/journaled/task_store.ts";
import { DEFAULT_RULES } from "../../server/task/new_task.ts";
import { type MemoryLead, SharedMemory } from "../faults/memory_store.ts";
import { until } from "../kit/until.ts";
import { Ends, leaseIds, leaseOne, NOW, submit, task } from "./contract_steps.ts";
import { testEngine } from "./engine_contract.ts";
import { patient } from "./sqlite_files.ts";

interface OpenOptions {
  readonly lead?: MemoryLead;
  readonly counting?: Promise<StoreCounts>;
  readonly ended?: EndedSink;
  readonly report?: (message: string) => void;
  readonly maxQueued?: number;
  /** What the engine has for its store. */
  readonly store?: TaskStore;
}

async function open(memory: SharedMemory, options: OpenOptions = {}): Promise<Engine> {
  const { lead = memory.lead(), counting, ended = () => {}, report = throwing } = options;
  return patient(
    await openJournaledEngine({
      name: "memory of a test",
      store: options.store ?? lead,
      opened: lead.opened(counting),
      now: NOW,
      ended,
      report,
      random: () => 0.5,
      maxQueued: options.maxQueued ?? Infinity,
      sweeper: lead.sweeper(DEFAULT_RULES.keepMs),
    }),
  );
}

function throwing(message: string): never {
  throw new Error(message);
}

testEngine({
  name: "shared store",
  open: (_random, ended) => open(new SharedMemory(), { ended }),
});
testEngine({
  name: "shared store, counted late",
  open: (random, ended) => {
    const memory = new SharedMemory();
    const lead = memory.lead();
    const counting = Promise.withResolvers<StoreCounts>();
    const { counts } = memory;
    let left = random.int(0, 4);
    const store: TaskStore = {
      lost: lead.lost,
      call: (name, ask) => {
        if (left-- === 0) counting.resolve(counts);
        return lead.call(name, ask);
      },
      close: () => lead.close(),
    };
    return open(memory, { lead, store, ended, counting: counting.promise });
  },
});

/** A store that was left with two queued tasks, a delayed and a completed one. */
async function left(): Promise<SharedMemory> {
  const memory = new SharedMemory();
  const engine = await open(memory);
  await submit(engine, task(engine), task(engine), task(engine, { op: "echo" }));
  await submit(engine, task(engine, { task: { delay: 60_000 } }));
  const { lease } = await leaseOne(engine);
  await engine.ack([{ lease, result: "16" }], NOW);
  await engine.close();
  return memory;
}

Deno.test("while a store counts, tasks are leased and swept, and no number is below 0", async () => {
  const memory = await left();
  const { counts } = memory;
  const counting = Promise.withResolvers<StoreCounts>();
  const engine = await open(memory, { counting: counting.promise });
  assertEquals((await leaseIds(engine)).length, 2);
  assertEquals((await engine.prune(NOW + 10 * DEFAULT_RULES.keepMs)).removed, 1);
  const early = (await engine.stats()).tasks;
  assertEquals([early.queued, early.running, early.completed], [0, 2, 0]);
  counting.resolve(counts);
  await until("the counts are there", async () => (await engine.stats()).tasks.delayed === 1);
  const { tasks, ops } = await engine.stats();
  assertEquals([tasks.queued, tasks.running, tasks.completed], [0, 2, 0]);
  assertEquals(ops.map(({ op, queued, running }) => [op, queued, running]).toSorted(), [
    ["echo", 0, 1],
    ["square", 0, 1],
  ]);
  await engine.close();
});

Deno.test("the limit of queued tasks counts the stored ones once they are counted", async () => {
  const memory = await left();
  const { counts } = memory;
  const counting = Promise.withResolvers<StoreCounts>();
  const engine = await open(memory, { counting: counting.promise, maxQueued: 4 });
  const outcome = async () => (await engine.enqueue([task(engine)], NOW))[0]?.outcome;
  assertEquals(await outcome(), "created");
  counting.resolve(counts);
  await until("the counts are there", async () => (await engine.stats()).tasks.queued === 3);
  assertEquals(await outcome(), "full");
  await engine.close();
});

Deno.test("a store that cannot count is reported once, and its tasks run", async () => {
  const reports: string[] = [];
  const engine = await open(await left(), {
    counting: Promise.reject(new Error("the connection was cut")),
    report: (message) => void reports.push(message),
  });
  assertEquals((await leaseIds(engine)).length, 2);
  assertEquals(reports, [`${UNCOUNTED}: the connection was cut`]);
  assertEquals((await engine.stats()).tasks.queued, 0);
  await engine.close();
});

Deno.test("once another server leads, nothing settles and no end is reported until the engine is closed", async () => {
  const memory = await left();
  const ends = new Ends();
  const engine = await open(memory, { ended: ends.sink });
  const { lease, id } = await leaseOne(engine);
  memory.lead();
  let settled = 0;
  const calls = [
    engine.ack([{ lease, result: "1" }], NOW),
    engine.enqueue([task(engine)], NOW),
    engine.cancel([id], NOW),
    engine.get([id]),
    engine.list({ limit: 10 }),
    engine.stats(),
    engine.prune(NOW),
    engine.settings.save("name", "value"),
    engine.outbox?.read(0, 10),
    engine.lease({ ops: new Set(["echo"]), limit: 1, leaseUntil: NOW }, NOW),
  ];
  const outcomes = calls.map((call) => call?.finally(() => settled++));
  assert(await engine.lost);
  const late = engine.stats().finally(() => settled++);
  await delay(20);
  // What was asked before the engine could know may have been answered from memory; what needs the store was not.
  const before = settled;
  const ack = assertRejects(() => outcomes[0] as Promise<unknown>, SdError, "leads no more");
  const refused = assertRejects(() => outcomes[1] as Promise<unknown>, SdError, "leads no more");
  await engine.close();
  await Promise.all([ack, refused]);
  await assertRejects(() => late, SdError, "leads no more");
  await Promise.allSettled(outcomes);
  assert(before <= 3, "a lease, counts and a cancel of a running task need no store");
  assertEquals(ends.take(), []);
});

Deno.test("a write whose fate is unknown is neither reported as made nor as failed", async () => {
  const memory = new SharedMemory();
  const lead = memory.lead();
  const lost = Promise.withResolvers<string>();
  const reports: string[] = [];
  // The write is made, and its answer never comes, as when the connection is cut behind it.
  const store: TaskStore = {
    lost: lost.promise,
    call: async (name, ask) => {
      const answer = await lead.call(name, ask);
      return name === "write" ? await new Promise(() => {}) : answer;
    },
    close: () => lead.close(),
  };
  const engine = await open(memory, {
    lead,
    store,
    report: (message) => void reports.push(message),
  });
  let settled = false;
  const submitted = engine.enqueue([task(engine)], NOW).finally(() => settled = true);
  submitted.catch(() => undefined);
  await until("the row is there", () => memory.rows.size === 1);
  lost.resolve("the lease ran out");
  assertEquals(await engine.lost, "the lease ran out");
  await delay(20);
  assertEquals([settled, reports], [false, []]);
  await engine.close();
  await assertRejects(() => submitted, SdError, "the lease ran out");
  const next = await open(memory);
  assertEquals((await leaseIds(next)).length, 1, "the new leader has the task");
  await next.close();
});

Deno.test("a submit is not refused if the look for its id lost its connection once", async () => {
  const memory = new SharedMemory();
  const lead = memory.lead();
  let failures = 1;
  const store: TaskStore = {
    lost: lead.lost,
    call: (name, ask) =>
      name === "find" && failures-- > 0
        ? Promise.reject(new StoreError("io", "the connection was lost"))
        : lead.call(name, ask),
    close: () => lead.close(),
  };
  const engine = await open(memory, { lead, store });
  const one = task(engine, { task: { id: "mine" } });
  assertEquals((await engine.enqueue([one], NOW))[0]?.outcome, "created");
  assertEquals(failures, -1, "it looked twice");
  failures = 2;
  const two = task(engine, { task: { id: "other" } });
  await assertRejects(() => engine.enqueue([two], NOW), SdError, "the connection was lost");
  await engine.close();
});

Deno.test("an engine whose lead is lost while it opens rejects", async () => {
  const memory = await left();
  const lead = memory.lead();
  memory.lead();
  await assertRejects(() => open(memory, { lead }), SdError, "leads no more");
});

Deno.test("an end with a route is in the outbox with its commit, and stays until it is done", async () => {
  const memory = new SharedMemory();
  const first = await open(memory);
  let calls = 0;
  const unwatch = first.outbox?.watch(() => calls++);
  const [routed, plain] = [{ ...task(first), route: '{"to":"a"}' }, task(first)];
  await submit(first, routed, plain);
  for (let i = 0; i < 2; i++) {
    const { lease } = await leaseOne(first);
    await first.ack([{ lease, result: "16" }], NOW);
  }
  const body = `{"task_id":"${routed.id}","status":"completed","result":16}`;
  const rows = [{ n: 1, route: '{"to":"a"}', body }];
  assertEquals([await first.outbox?.read(0, 10), calls], [rows, 1]);
  unwatch?.();
  await first.close();
  const second = await open(memory);
  assertEquals(await second.outbox?.read(0, 10), rows);
  await second.outbox?.done([1]);
  assertEquals(await second.outbox?.read(0, 10), []);
  await second.close();
});
