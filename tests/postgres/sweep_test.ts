/** Old records of a PostgreSQL engine are dropped, slices of them whole, and everything else stays where reads find it. */

import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { LOG_KIND, type StoredTask } from "../../server/engine/journaled/task_store.ts";
import { SliceSweeper } from "../../server/engine/postgres/sweep.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { OwnSchema, withPostgres } from "../kit/services.ts";
import { cellsOf, taskRow, updateOf, writeOf } from "./rows.ts";
import { takeLead, type TestLead } from "./test_lead.ts";

const NOW = 1_800_000_000_000;
const PAGE = { limit: 5000, maxChars: 1e9 };
const KEEP_MS = 10_000;

/** All that a store should have, and a store. */
class Stage {
  readonly rows = new Map<number, StoredTask>();
  readonly held = new Set<number>();
  now = NOW;
  /** The next serial number. */
  next: number;
  #version = 0;
  #sweeper: SliceSweeper;

  constructor(public lead: TestLead, readonly random: Random, readonly maxKept: number) {
    this.next = lead.opened.next;
    this.#sweeper = this.#newSweeper();
  }

  #newSweeper(): SliceSweeper {
    const { lead: { store, schema }, maxKept } = this;
    const report = (message: string) => {
      throw new Error(message);
    };
    return new SliceSweeper({ store, schema, maxKept, report, keepMs: KEEP_MS });
  }

  /** Another lead goes on with what there is. */
  goOn(lead: TestLead): void {
    this.lead = lead;
    this.next = lead.opened.next;
    this.#sweeper = this.#newSweeper();
  }

  async insert(n: number): Promise<void> {
    const rows = Array.from({ length: n }, () =>
      taskRow(this.next, {
        key: this.random.chance(0.3) ? `key ${this.random.int(0, 3)}` : null,
        expiresAt: this.random.chance(0.2) ? this.now + this.random.int(0, KEEP_MS) : null,
        ...this.#state(this.random.int(0, 2)),
      }));
    const attachments = rows.filter(() => this.random.chance(0.2))
      .map(({ ord }) => [ord, LOG_KIND, `[[1,${ord},1,0,0,"a"]]`] as const);
    await this.lead.store.call(
      "write",
      writeOf({ inserts: rows.flatMap(cellsOf), attachments }),
    );
    for (const row of rows) this.rows.set(row.ord, row);
  }

  #state(status: number): Partial<StoredTask> {
    const keep = this.random.int(0, 2 * KEEP_MS);
    return {
      status,
      seq: this.next++,
      runAt: this.now + this.random.int(0, 9),
      finishedAt: status >= 3 ? this.now : 0,
      dropAt: status >= 3 && this.random.chance(0.3) ? this.now + keep : null,
    };
  }

  /** Changes of any tasks, at times in the same moment as a sweep. */
  async change(): Promise<void> {
    const updates = [...this.rows.values()].filter(() => this.random.chance(0.3)).map((row) => {
      const after = { ...row, ...this.#state(this.random.chance(0.8) ? 3 : 0) };
      this.rows.set(row.ord, after);
      return updateOf(after, row.status);
    });
    await this.lead.store.call("write", writeOf({ updates: updates.flat() }));
  }

  #isFree({ ord, status }: StoredTask): boolean {
    return status >= 3 && !this.held.has(ord);
  }

  /** Sweeps until there is nothing to do, and looks whether the right ones are gone. */
  async sweep(during: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const changing = during();
    for (let sweeps = 0, more = true; more || sweeps < 2; sweeps++) {
      const swept = await this.#sweeper.sweep(this.now, {
        version: ++this.#version,
        ords: () => [...this.held],
      });
      more = swept.more;
      await changing;
      const there = await this.#there();
      let removed = 0;
      for (const row of [...this.rows.values()]) {
        if (there.has(row.ord)) continue;
        assert(this.#isFree(row), `record ${JSON.stringify(row)} had to stay`);
        this.rows.delete(row.ord);
        removed++;
      }
      assertEquals(swept.removed.reduce((sum, n) => sum + n, 0), removed, "the counts are right");
      assertEquals(there.size, this.rows.size);
    }
    const free = [...this.rows.values()].filter((row) => this.#isFree(row));
    const final = [...this.rows.values()].filter(({ status }) => status >= 3);
    assert(final.length <= this.maxKept || free.length === 0, "not more are kept than may be");
    for (const row of free) {
      assert((row.dropAt ?? row.finishedAt + KEEP_MS) > this.now - 1000, "an old record is kept");
    }
  }

  async #there(): Promise<Set<number>> {
    const { rows } = this;
    const ids = [...rows.values()].map(({ id }) => id);
    const found = await this.lead.store.call("find", { ids });
    return new Set(found.flatMap((row) => row === null ? [] : row.ord));
  }

  /** Looks whether each read has what it should have. */
  async check(): Promise<void> {
    const { store } = this.lead;
    const all = [...this.rows.values()].sort((a, b) => a.ord - b.ord);
    const found = await store.call("find", { ids: all.map(({ id }) => id) });
    assertEquals(found, all);
    const list = await store.call("list", {
      ord: Number.MAX_SAFE_INTEGER,
      oldestFirst: false,
      statuses: [],
      op: null,
      key: null,
      createdSince: 0,
      limit: 900,
      maxChars: 1e9,
    });
    assertEquals(list.tasks, all.toReversed().slice(0, 900));
    const due = await store.call("due", { runAt: 0, ord: 0, ...PAGE });
    const isDue = all.filter(({ status }) => status === 1);
    assertEquals(due, isDue.sort((a, b) => a.runAt - b.runAt || a.ord - b.ord));
    const waiting = await store.call("waiting", { ord: 0, ...PAGE });
    assertEquals(waiting, all.filter(({ status }) => status === 2));
    const late = all.filter(({ status, expiresAt }) =>
      status < 3 && expiresAt !== null && expiresAt <= this.now
    );
    const expired = await store.call("expired", { now: this.now, ...PAGE });
    const expiry = (a: StoredTask, b: StoredTask) => a.expiresAt! - b.expiresAt! || a.ord - b.ord;
    assertEquals(expired, late.sort(expiry));
    for (const key of [null, "key 0", "key 1"]) {
      const lane = await store.call("lane", { priority: 0, key, op: "square", seq: 0, ...PAGE });
      const inLane = all.filter((row) => row.status === 0 && row.key === key);
      assertEquals(lane, inLane.sort((a, b) => a.seq - b.seq));
    }
  }
}

Deno.test(
  withPostgres("sweeps drop old records and too many of them, and slices whole, in any history"),
  async () => {
    const seed = newSeed();
    const random = new Random(seed);
    for (let run = 0; run < (Deno.env.get("SD_LONG") ? 20 : 1); run++) {
      await using schema = new OwnSchema();
      const sliceRows = 2 ** random.int(3, 6);
      let lead = await takeLead(schema.url, sliceRows);
      const stage = new Stage(lead, random, random.int(0, 60));
      for (let step = 0; step < 15; step++) {
        const n = random.int(1, 60);
        await stage.insert(n);
        await stage.change();
        for (const ord of stage.rows.keys()) if (random.chance(0.02)) stage.held.add(ord);
        for (const ord of stage.held) if (random.chance(0.1)) stage.held.delete(ord);
        stage.now += random.int(0, KEEP_MS / 2);
        await stage.sweep(random.chance(0.3) ? () => stage.change() : undefined);
        if (random.chance(0.2)) {
          lead.session.reconnect("a test");
          await delay(random.int(0, 20));
        }
        if (random.chance(0.1)) {
          await lead.store.close();
          lead = await takeLead(schema.url);
          await lead.opened.counting;
          stage.goOn(lead);
        }
        await stage.check();
      }
      // All end, and none is held: next to nothing may be left of the old slices.
      stage.held.clear();
      const updates = [...stage.rows.values()].map((row) => {
        const after = { ...row, status: 3, finishedAt: stage.now, dropAt: null };
        stage.rows.set(row.ord, after);
        return updateOf(after, row.status);
      });
      await lead.store.call("write", writeOf({ updates: updates.flat() }));
      stage.now += KEEP_MS + 60_000;
      await stage.sweep();
      assertEquals(stage.rows.size, 0);
      await stage.check();
      const slices = Number(
        await schema.sql(
          "select count(*) from pg_tables where schemaname = " +
            `'${schema.name}' and tablename like 'task\\_%'`,
        ),
      );
      assert(slices <= 3, `${slices} slices of ${sliceRows} are left, seed ${seed}`);
      assertEquals(await schema.sql("select count(*) from attachment"), "0");
      await lead.store.close();
    }
  },
);

Deno.test(
  withPostgres("a slice that is being read is dropped later, and commits go on"),
  async () => {
    await using schema = new OwnSchema();
    const lead = await takeLead(schema.url, 16);
    const { opened: { next }, store } = lead;
    const stage = new Stage(lead, new Random(newSeed()), 1000);
    await stage.insert(100);
    const slice = Math.floor(next / 16);
    const reading = schema.sql(
      `begin; select count(*) from task_${slice}; select pg_sleep(1); end`,
    );
    while (
      await schema.sql(
        `select count(*) from pg_locks where relation = 'task_${slice}'::regclass and mode = 'AccessShareLock'`,
      ) === "0"
    ) await delay(10);
    await stage.sweep();
    const isThere = () => schema.sql(`select to_regclass('task_${slice}') is not null`);
    assertEquals(await isThere(), "t");
    await stage.insert(10);
    await reading;
    stage.now += 30_001;
    stage.rows.forEach((row) => stage.held.add(row.ord));
    await stage.sweep();
    assertEquals(await isThere(), "f");
    await stage.check();
    await store.close();
  },
);
