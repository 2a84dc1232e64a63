/** What grows with what is asked for, and not with all that there is: counted in calls and steps, never in time. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { SdError } from "../../../../protocol/errors.ts";
import { MAX_CRONS } from "../../../../protocol/limits.ts";
import { cronTakers } from "../../../../server/api/cron_transfer.ts";
import { Transfer } from "../../../../server/api/export_import.ts";
import { CronBook } from "../../../../server/engine/cron_book.ts";
import type { Engine, Listed, ListRequest } from "../../../../server/engine/engine.ts";
import { listPage } from "../../../../server/engine/live/query.ts";
import { LiveTask } from "../../../../server/engine/live/live_task.ts";
import { LiveTasks } from "../../../../server/engine/live/live_tasks.ts";
import { openMemoryEngine } from "../../../../server/engine/memory/memory.ts";
import { FileSweeper } from "../../../../server/engine/sqlite/file_sweeper.ts";
import { RateKeeper } from "../../../../server/engine/journaled/kept_times.ts";
import { type Store } from "../../../../server/engine/sqlite/store.ts";
import { StoreError } from "../../../../server/engine/journaled/task_store.ts";
import { StartLimits } from "../../../../server/engine/live/start_limits.ts";
import { SerialMap } from "../../../../server/task/serial_map.ts";
import { Serials } from "../../../../server/task/task_id.ts";
import type { TaskLog } from "../../../../server/task/task_log.ts";
import { Wait, WaitsById, WaitTable } from "../../../../server/task/task_events.ts";
import { leaseMany, NOW, submit, task } from "../../../contract/contract_steps.ts";
import { CronStage } from "../../../kit/cron_stage.ts";

/** The engine, with the calls of `get` counted. */
function counting(engine: Engine): { engine: Engine; gets: string[][] } {
  const gets: string[][] = [];
  const counted = new Proxy(engine, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (name === "get") gets.push(args[0] as string[]);
        return Reflect.apply(value, target, args);
      };
    },
  });
  return { engine: counted, gets };
}

Deno.test("an export asks for the logs of many tasks at a time, and has all of them", async () => {
  const { engine, gets } = counting(openMemoryEngine());
  const count = 400;
  await submit(engine, ...Array.from({ length: count }, (_, n) => task(engine, { n })));
  const leased = await leaseMany(engine, count);
  const saying = (text: string): TaskLog => [
    { n: 1, at: NOW, attempt: 1, retries: 0, level: "info", text },
  ];
  const acks = leased.map(({ lease }, n) => ({ lease, result: "1", log: saying(`said ${n}`) }));
  await engine.ack(acks, NOW);
  const clock = { aheadMs: 0 };
  const transfer = new Transfer({ engine, entry: undefined as never, takers: [], clock });
  const texts: string[] = [];
  for (let cursor: string | undefined, pages = 0; pages < 100; pages++) {
    const page = await transfer.exportPage(cursor === undefined ? {} : { cursor });
    texts.push(...page.records.map((record) => JSON.stringify(record)));
    if (page.cursor === null) break;
    cursor = page.cursor;
  }
  assertEquals(texts.length, count);
  for (let n = 0; n < count; n++) assert(texts[n]!.includes(`"said ${n}"`), texts[n]);
  assert(gets.length <= 16, `${gets.length} calls for ${count} tasks`);
  assertEquals(gets.flat().length, count);
});

Deno.test("one of many waits on the same task is dropped in one step", () => {
  const table = new WaitTable(new WaitsById());
  let steps = 0;
  const waits = Array.from({ length: 5000 }, (_, ref) => {
    const wait = new Wait("a", { closed: false, deliver() {} }, ref);
    let next: Wait | undefined;
    Object.defineProperty(wait, "next", {
      get: () => (steps++, next),
      set: (value: Wait | undefined) => void (next = value),
    });
    table.add("id", wait);
    return wait;
  });
  const dropped = waits.filter((_, i) => i % 3 !== 0);
  for (const wait of dropped) assert(table.remove("id", wait));
  assert(!table.remove("id", waits[1]!));
  assert(steps < 3 * waits.length, `${steps} steps`);
  const left: unknown[] = [];
  for (let wait = table.take("id"); wait; wait = wait.next) left.push(wait.ref);
  assertEquals(left, waits.map(({ ref }) => ref).filter((ref) => Number(ref) % 3 === 0).reverse());
  assert(!table.remove("id", waits[0]!));
  assertEquals(table.size, 0);
});

Deno.test("numbers come in their order, up and down, from any place, whatever was added and dropped", () => {
  const map = new SerialMap<number>();
  const all = [5, 6, 63, 64, 65, 127, 128, 1000, 1001, 5000, 70, 2 ** 40].sort((a, b) => a - b);
  for (const number of [...all.slice(4), ...all.slice(0, 4)]) map.set(number, number);
  const ask = (from: number, down: boolean) => [...map.inOrder(from, { down })];
  const expect = (kept: number[]) => {
    for (const from of [0, 4, 5, 64, 66, 71, 999, 1001, 6000, Number.MAX_SAFE_INTEGER]) {
      assertEquals(ask(from, false), kept.filter((n) => n > from), `up from ${from}`);
      assertEquals(ask(from, true), kept.filter((n) => n < from).reverse(), `down from ${from}`);
    }
  };
  expect(all);
  for (const number of [64, 1000, 1001, 5000]) map.take(number);
  const rest = all.filter((n) => ![64, 1000, 1001, 5000].includes(n));
  expect(rest);
  for (const number of [1001, 300, 2 ** 41]) map.set(number, number);
  expect([...rest, 1001, 300, 2 ** 41].sort((a, b) => a - b));
  map.clear();
  expect([]);
});

Deno.test("a page of a list takes as many steps as it holds tasks, however many there are", () => {
  const hooks = { changed() {}, ended() {}, said() {}, takesOver: () => false };
  const live = new LiveTasks({ hooks, serials: new Serials(), random: () => 0 });
  const tasks = Array.from({ length: 20_000 }, (_, n) => new LiveTask(task(live, { n })));
  for (const one of tasks) live.index.add(one);
  let looks = 0;
  const page = (request: ListRequest): Listed => {
    const steps = listPage(live, request);
    for (looks = 0;; looks++) {
      const step = steps.next();
      if (step.done) return step.value;
    }
  };
  const newest = page({ limit: 10 });
  assertEquals(newest.tasks.map(({ id }) => id), tasks.slice(-10).reverse().map(({ id }) => id));
  assert(looks <= 11, `${looks} looks for 10 tasks`);
  const next = page({ limit: 2, cursor: newest.cursor!, op: "square" });
  assertEquals(next.tasks.map(({ id }) => id), tasks.slice(-12, -10).reverse().map(({ id }) => id));
  assert(looks <= 3, `${looks} looks for 2 tasks`);
  const oldest = page({ limit: 3, oldestFirst: true, cursor: String(tasks[999]!.serial) });
  assertEquals(oldest.tasks.map(({ id }) => id), tasks.slice(1000, 1003).map(({ id }) => id));
  assert(looks <= 4, `${looks} looks for 3 tasks`);
  assertEquals(page({ limit: 10, op: "rare" }), { tasks: [], cursor: undefined });
});

Deno.test("recurring tasks that are due at one time are saved at one time", async () => {
  const engine = openMemoryEngine();
  const { settings } = engine;
  let underWay = 0, most = 0, saves = 0;
  const save = settings.save.bind(settings);
  settings.save = async (name, value) => {
    most = Math.max(most, ++underWay);
    saves++;
    // As long as a commit takes.
    await Promise.resolve().then(() => {});
    underWay--;
    await save(name, value);
  };
  const stage = new CronStage({ engine });
  for (let i = 0; i < 100; i++) await stage.create({ id: `n${i}`, cron: "0 * * * *" });
  [most, saves] = [0, 0];
  await stage.clock.pass(30 * 60_000);
  assertEquals(stage.submitted.length, 100);
  assertEquals([most, saves], [100, 100]);
  await stage.scheduler.stop();
});

Deno.test("imported settings are saved at one time, each once, and no more than the limit", async () => {
  const from = new CronStage();
  const many = MAX_CRONS + 2;
  for (let i = 0; i < MAX_CRONS; i++) await from.create({ id: `n${i}`, cron: "0 * * * *" });
  await from.scheduler.stop();
  const value = (id: string) => from.engine.settings.get(`cron/${id}`) as string;
  const records = Array.from({ length: many }, (_, i) => {
    const id = `n${i}`;
    const own = i < MAX_CRONS ? value(id) : value("n0").replaceAll("n0", id);
    return { sd: 1, setting: `cron/${id}`, value: own };
  });
  records.push(records[3]!, { sd: 1, setting: "cron/n4", value: value("n5") });

  const engine = openMemoryEngine();
  const { settings } = engine;
  let underWay = 0, most = 0;
  // None ends before the last one has begun, or it is clear that they do not come together.
  const all = Promise.withResolvers<void>();
  const timer = setTimeout(all.resolve, 30_000);
  const save = settings.save.bind(settings);
  settings.save = async (name, value) => {
    most = Math.max(most, ++underWay);
    if (most === MAX_CRONS) all.resolve();
    await all.promise;
    underWay--;
    await save(name, value);
  };
  const book = new CronBook(settings, (message) => assert(false, message));
  const takers = cronTakers({ settings, serials: engine.serials, book, scheduler: { wake() {} } });
  const clock = { aheadMs: 0 };
  const transfer = new Transfer({ engine, entry: undefined as never, takers, clock });
  const answer = await transfer.importRecords(records);
  clearTimeout(timer);
  assertEquals([answer.imported, answer.existed], [MAX_CRONS, 1]);
  const bad = answer.bad.map(({ record }) => record);
  assertEquals(bad, [MAX_CRONS + 1, MAX_CRONS + 2, MAX_CRONS + 4]);
  assertEquals([book.list().length, most], [MAX_CRONS, MAX_CRONS]);
});

Deno.test("an import is refused as a whole if the disk has no room for its settings", async () => {
  const full = new SdError("storage_full", "no room");
  let begun = 0;
  const taker = {
    prefix: "n",
    take() {
      if (begun++ === 0) return Promise.reject(full);
      // Long enough for the import to let others have their turn, in which a stray rejection would show.
      for (const end = performance.now() + 20; performance.now() < end;);
      return Promise.reject(full);
    },
  };
  const engine = openMemoryEngine();
  const clock = { aheadMs: 0 };
  const transfer = new Transfer({ engine, entry: undefined as never, takers: [taker], clock });
  const records = ["n1", "n2", "n3", "n2"].map((setting) => ({ sd: 1, setting, value: "1" }));
  await assertRejects(() => transfer.importRecords(records), SdError, "no room");
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert(begun >= 2);
});

Deno.test("a sweep names the held records when they have changed, and again after a failure", async () => {
  const hooks = { changed() {}, ended() {}, said() {}, takesOver: () => false };
  const live = new LiveTasks({ hooks, serials: new Serials(), random: () => 0 });
  const asked: (readonly number[] | null)[] = [];
  let isFull = false;
  const store = {
    call(_: string, { held }: { held: readonly number[] | null }) {
      asked.push(held);
      if (isFull) return Promise.reject(new StoreError("full", "no room"));
      return Promise.resolve({ removed: [], used: 0, more: false });
    },
  } as unknown as Store;
  const reports: string[] = [];
  const report = (message: string) => void reports.push(message);
  const sweeper = new FileSweeper({ store, maxKept: 10, maxBytes: 10, report });
  const child = (parent: number) =>
    live.add(
      new LiveTask(task(live, { task: { after: [`p${parent}`] } })),
      [{ serial: parent, status: "queued", result: undefined }],
      NOW,
    );
  const sweep = () =>
    sweeper.sweep(NOW, {
      version: live.dependencies.version,
      ords: () => live.dependencies.parentSerials(),
    });
  await sweep();
  await sweep();
  child(7);
  isFull = true;
  for (let i = 0; i < 3; i++) await sweep();
  isFull = false;
  await sweep();
  await sweep();
  assertEquals(asked, [[], null, [7], [7], [7], [7], null]);
  assertEquals(reports, ["old records cannot be dropped: no room"]);
});

Deno.test("a start of a full rate writes a piece of its window, and a restart knows the whole window", async () => {
  const stored = new Map<string, string>();
  let chars = 0;
  const keep = (name: string, value: string | null) => {
    chars += value?.length ?? 0;
    if (value === null) stored.delete(name);
    else stored.set(name, value);
    return Promise.resolve();
  };
  const serials = new Serials();
  const rate = { starts: 10_000, windowMs: 60_000 };
  const starting = (at: number) => {
    const one = new LiveTask(task({ serials }, { task: { key: "k/1", rate: "10000/1m" } }));
    one.startedAt = at;
    return one;
  };
  const keeper = new RateKeeper(new StartLimits(() => []), keep);
  for (let i = 0; i < 10_000; i++) keeper.started([starting(NOW + i)], new Map([["square", rate]]));
  await Promise.resolve();
  assert(chars < 10_000 * 4000, `${chars} characters for 10,000 starts`);
  const gate = new StartLimits(() => []);
  const again = new RateKeeper(gate, keep);
  const other = ["paused/op/x", "true"] as const;
  assertEquals(again.restore([...stored, other], NOW + 10_000), [other]);
  const keyLimit = { key: "k/1", limit: Infinity, rate };
  assertEquals(gate.keys.look(keyLimit, NOW + 10_000)?.until, NOW + 60_000);
  assertEquals(gate.keys.look(keyLimit, NOW + 60_000), undefined);
  again.started([starting(NOW + 60_000)], undefined);
  assertEquals(gate.opRates.nextOf("square", NOW + 10_000), NOW + 10_000);
  again.prune(NOW + 120_001);
  assertEquals([...stored], []);
});

Deno.test("pieces of a rate that could not be written or dropped are tried again with the next", async () => {
  const stored = new Map<string, string>();
  let isFull = true;
  const keeper = new RateKeeper(new StartLimits(() => []), (name, value) => {
    if (isFull) return Promise.reject(new Error("no room"));
    if (value === null) stored.delete(name);
    else stored.set(name, value);
    return Promise.resolve();
  });
  const serials = new Serials();
  const rate = { starts: 10, windowMs: 1000 };
  const start = async (at: number) => {
    const one = new LiveTask(task({ serials }, {}));
    one.startedAt = at;
    keeper.started([one], new Map([["square", rate]]));
    await new Promise((resolve) => setTimeout(resolve, 0));
  };
  for (let i = 0; i < 150; i++) await start(NOW + i);
  assertEquals(stored.size, 0);
  isFull = false;
  await start(NOW + 150);
  assertEquals([...stored.values()].flatMap((text) => JSON.parse(text).starts).length, 151);
  isFull = true;
  keeper.prune(NOW + 5000);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert(stored.size > 0);
  isFull = false;
  keeper.prune(NOW + 5001);
  assertEquals(stored.size, 0);
});

Deno.test("a map that was walked in order once does not grow with the numbers that have come and gone", () => {
  const map = new SerialMap<number>();
  map.set(1, 1);
  assertEquals([...map.inOrder(0, { down: false })], [1]);
  const { push } = Array.prototype;
  let longest = 0;
  Array.prototype.push = function (...values) {
    longest = Math.max(longest, this.length);
    return push.apply(this, values);
  };
  try {
    for (let serial = 2; serial < 100_000; serial++) {
      map.set(serial, serial);
      map.take(serial - 1);
    }
  } finally {
    Array.prototype.push = push;
  }
  assert(longest < 100, `${longest} numbers`);
  assertEquals([...map.inOrder(0, { down: false })], [99_999]);
});
