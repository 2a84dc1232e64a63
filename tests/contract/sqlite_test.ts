/** The sqlite engine keeps the contract of engines, also when next to nothing of it fits in memory. */

import { setImmediate } from "node:timers";
import { assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import { SdError } from "../../protocol/errors.ts";
import type { PagerSizes } from "../../server/engine/journaled/pager.ts";
import type { Engine, LeasedTask } from "../../server/engine/engine.ts";
import { openEngine } from "../../server/engine/open.ts";
import { Ends, leaseIds, leaseMany, leaseOne, NOW, submit, task } from "./contract_steps.ts";
import { testEngine } from "./engine_contract.ts";
import { testReopening, TINY, UNORDERED_KEYS } from "./reopen_contract.ts";
import { calendarTask, leaseAt } from "./time_contract.ts";
import { FullDisk, openFlakySqlite, openTestSqlite } from "./sqlite_files.ts";

testEngine({
  name: "sqlite",
  open: (_random, ended) => inNewFolder((path) => openTestSqlite(path, {}, NOW, ended)),
});
testEngine({
  name: "sqlite, queue on disk",
  open: (_random, ended) => inNewFolder((path) => openTestSqlite(path, TINY, NOW, ended)),
  lacks: UNORDERED_KEYS,
});
testEngine({
  name: "sqlite, late store",
  open: (random, ended) =>
    inNewFolder(async (path) => (await openFlakySqlite(path, random, { ended })).engine),
});

/** Opens a new file, which is removed with its folder when the engine is closed. */
async function inNewFolder(open: (path: string) => Promise<Engine>): Promise<Engine> {
  const folder = await Deno.makeTempDir();
  const engine = await open(`${folder}/sd.db`);
  const close = engine.close.bind(engine);
  engine.close = async () => {
    await close();
    await Deno.remove(folder, { recursive: true });
  };
  return engine;
}

/** Runs `before` on a new file, closes it, and runs `after` on what it left. */
async function reopened<T>(
  before: (engine: Engine) => Promise<T>,
  after: (engine: Engine, left: T) => Promise<void>,
  sizes: Partial<PagerSizes> = {},
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/sd.db`;
  try {
    const first = await openTestSqlite(path, sizes);
    const left = await before(first);
    await first.close();
    const second = await openTestSqlite(path, sizes);
    await after(second, left);
    await second.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

testReopening({ name: "sqlite", reopened });

Deno.test("a file keeps the latest time of its server, and knows which of its times are wall clock times", async () => {
  const wall = NOW - 3_600_000;
  await reopened(async (engine) => {
    const at = calendarTask(engine, wall + 60_000, NOW - wall);
    const child = calendarTask(engine, wall + 60_000, NOW - wall, { after: [at.id] });
    await engine.enqueue([at, child, task(engine, { task: { delay: 60_000 } })], NOW);
    await engine.prune(NOW + 777);
    return at.id;
  }, async (engine, at) => {
    assertEquals(engine.lastAt, NOW + 777);
    // Read from disk by server time, due by the wall clock.
    const aheadMs = NOW - wall;
    assertEquals(await leaseAt(engine, NOW + 59_999, aheadMs), [[], NOW + 60_000]);
    const [ids] = await leaseAt(engine, NOW + 60_000, aheadMs);
    assertEquals([ids.length, ids.includes(at)], [2, true]);
  });
});

Deno.test("where the end of a task is published survives a restart", async () => {
  await reopened(async (engine) => {
    const routed = { ...task(engine), route: '{"to":"replies"}' };
    await submit(engine, routed, task(engine));
    return routed.id;
  }, async (engine, id) => {
    const { tasks } = await engine.list({ limit: 10 });
    assertEquals(tasks.map((one) => [one.id === id, one.route]), [
      [false, undefined],
      [true, '{"to":"replies"}'],
    ]);
  });
});

Deno.test("after a restart numbers go on above all places in the queue, whatever another engine has given", async () => {
  await reopened(async (engine) => {
    const ids = await submit(engine, ...[1, 2, 3].map((n) => task(engine, { n })));
    await engine.cancel([ids[0]!], NOW);
    await engine.requeue([ids[0]!], NOW);
    return ids;
  }, async (engine, ids) => {
    const other = await openEngine("memory:");
    assertEquals(task(other).serial, 1, "it knows nothing of the file");
    const next = task(engine);
    assertEquals(next.serial, 5, "three tasks, and one that went to the end of the queue");
    await submit(engine, next);
    assertEquals(await leaseIds(engine), [ids[1]!, ids[2]!, ids[0]!, next.id]);
    assertEquals(task(other).serial, 2);
    await other.close();
  });
});

Deno.test("a task that leaves memory while other tasks are read from disk is still found", async () => {
  const folder = await Deno.makeTempDir();
  const ends = new Ends();
  const engine = await openTestSqlite(`${folder}/sd.db`, {}, NOW, ends.sink);
  try {
    const first = task(engine, { task: { id: "first" } });
    await submit(engine, first);
    const { lease } = await leaseOne(engine);
    const acking = engine.ack([{ lease, result: "16" }], NOW);
    // Its end is on its way to the disk; when the answer to what is asked now comes, it is gone from here.
    await nextTurn();
    const again = engine.enqueue(
      [
        task(engine, { task: { id: "first" } }),
        task(engine, { task: { id: "second", after: ["first"] } }),
      ],
      NOW,
    );
    assertEquals(ends.take(), [], "nothing is reported before its commit");
    await acking;
    assertEquals(ends.take().map(({ id }) => id), ["first"]);
    const [exists, after] = await again;
    assertEquals([exists?.outcome, exists?.finished?.result], ["exists", "16"]);
    assertEquals([after?.outcome, after?.status], ["created", "queued"]);
    const cancelled = await engine.cancel(["first", "second", "nobody"], NOW);
    assertEquals(cancelled.map(({ outcome }) => outcome), ["final", "cancelled", "not_found"]);
  } finally {
    await engine.close();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a task is rolled back if the end of its parent could not be committed", async () => {
  const folder = await Deno.makeTempDir();
  const disk = new FullDisk();
  const ends = new Ends();
  const engine = await disk.open(`${folder}/sd.db`, ends.sink);
  try {
    const after = (id: string, ...parents: string[]) =>
      task(engine, { task: { id, after: parents } });
    const full = disk.fill();
    const submits = [engine.enqueue([task(engine, { task: { id: "parent" } })], NOW)];
    const { lease } = await leaseWhenQueued(engine);
    const acking = engine.ack([{ lease, result: "16" }], NOW);
    submits.push(
      engine.enqueue([after("child", "parent"), task(engine, { task: { id: "other" } })], NOW),
    );
    submits.push(engine.enqueue([after("grandchild", "child")], NOW));
    const child = await leaseWhenQueued(engine);
    assertEquals(child.id, "child");
    while ((await engine.stats()).tasks.delayed === 0) await nextTurn();
    full.refuse();
    const outcomes = (await Promise.all(submits)).flat().map(({ outcome }) => outcome);
    assertEquals(outcomes, ["uncommitted", "uncommitted", "created", "uncommitted"]);
    await acking;
    await engine.ack([{ lease: child.lease, result: "16" }], NOW);
    assertEquals(await ends.committed(engine), [], "no end of a task that was not kept");
    const { tasks } = await engine.list({ limit: 10 });
    assertEquals(tasks.map(({ id, status }) => [id, status]), [["other", "queued"]]);
    const again = await engine.enqueue(
      [task(engine, { task: { id: "parent" } }), after("child", "parent")],
      NOW,
    );
    assertEquals(again.map(({ status }) => status), ["queued", "delayed"]);
    assertEquals(disk.reports.length, 2, disk.reports.join());
  } finally {
    await engine.close();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a task is reported as committed while its end cannot be committed", async () => {
  const folder = await Deno.makeTempDir();
  const disk = new FullDisk();
  const ends = new Ends();
  const engine = await disk.open(`${folder}/sd.db`, ends.sink);
  try {
    const mine = () => task(engine, { task: { id: "mine" } });
    await submit(engine, mine());
    const { lease } = await leaseOne(engine);
    const full = disk.fill();
    const acking = engine.ack([{ lease, result: "16" }], NOW);
    const again = engine.enqueue([mine()], NOW);
    full.refuse();
    const [exists] = await again;
    assertEquals([exists?.outcome, exists?.status, exists?.finished], [
      "exists",
      "queued",
      undefined,
    ]);
    assertEquals(ends.take(), [], "its end is not committed yet");
    await acking;
    assertEquals(ends.take().map(({ id }) => id), ["mine"]);
    const [final] = await engine.enqueue([mine()], NOW);
    assertEquals([final?.outcome, final?.finished?.result], ["exists", "16"]);
  } finally {
    await engine.close();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a page that comes while the end of an expired task is committed is not missed", () =>
  reopened(async (engine) => {
    const expiring = task(engine, { n: 1, task: { expires: 1000, wait: false } });
    const [, second] = await submit(
      engine,
      expiring,
      task(engine, { n: 2, task: { wait: false } }),
    );
    return second;
  }, async (engine, second) => {
    assertEquals(await leaseIds(engine, 1, NOW + 2000), [second]);
  }, TINY));

Deno.test("a failed write of the time on a full disk ends nothing, and a later one is kept", async () => {
  const folder = await Deno.makeTempDir();
  const disk = new FullDisk();
  const path = `${folder}/sd.db`;
  const engine = await disk.open(path);
  try {
    await submit(engine, task(engine, { task: { delay: 3_600_000 } }));
    disk.fill().refuse();
    await engine.prune(NOW + 40_000);
    // A rejection that nothing handles would end the process, and this test.
    while (disk.reports.length === 0) await nextTurn();
    await engine.prune(NOW + 80_000);
    disk.fill().refuse();
  } finally {
    await engine.close();
  }
  const again = await openTestSqlite(path);
  assertEquals(again.lastAt, NOW + 80_000);
  await again.close();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("while too much waits for the disk nothing is leased, and the next try comes soon", async () => {
  const folder = await Deno.makeTempDir();
  const disk = new FullDisk();
  const engine = await disk.open(`${folder}/sd.db`);
  try {
    await submit(engine, ...Array.from({ length: 1200 }, (_, n) => task(engine, { n })));
    const running = await leaseMany(engine, 1100);
    const full = disk.fill();
    const acking = engine.ack(running.map(({ lease }) => ({ lease, result: "1" })), NOW);
    full.refuse();
    while (disk.reports.length === 0) await nextTurn();
    const request = { ops: new Set(["square"]), limit: 1, leaseUntil: NOW + 60_000 };
    const { tasks, nextDueAt } = await engine.lease(request, NOW);
    assertEquals([tasks.length, nextDueAt < NOW + 1000], [0, true], `next look at ${nextDueAt}`);
    await acking;
    assertEquals((await engine.lease(request, NOW)).tasks.length, 1);
  } finally {
    await engine.close();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a disk with room again is noticed, even if nothing is left to write", async () => {
  const folder = await Deno.makeTempDir();
  const disk = new FullDisk();
  const engine = await disk.open(`${folder}/sd.db`);
  try {
    await submit(engine, task(engine, { task: { id: "kept" } }));
    disk.isFull = true;
    const [refused] = await engine.enqueue([task(engine)], NOW);
    assertEquals(refused?.outcome, "uncommitted");
    await assertRejects(() => engine.cancel(["kept"], NOW), SdError, "no room");
    disk.isFull = false;
    while (disk.reports.length < 2) await delay(20);
    const [cancelled] = await engine.cancel(["kept"], NOW);
    assertEquals(cancelled?.outcome, "cancelled");
  } finally {
    await engine.close();
    await Deno.remove(folder, { recursive: true });
  }
});

async function leaseWhenQueued(engine: Engine): Promise<LeasedTask> {
  for (;;) {
    const [leased] = await leaseMany(engine, 1);
    if (leased) return leased;
    await nextTurn();
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
