/** The janitor's part of the store thread, backups, and writes that fail. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { faultOf } from "../../../../../server/engine/sqlite/file/sqlite_fault.ts";
import { Store } from "../../../../../server/engine/sqlite/store.ts";
import { type StoredTask, StoreError } from "../../../../../server/engine/journaled/task_store.ts";
import type {
  SweepRequest,
  SweepResult,
} from "../../../../../server/engine/sqlite/file/store_message.ts";
import { OwnCache } from "../../../../kit/own_cache.ts";
import {
  allOrds,
  completed,
  inserts,
  NOW,
  open,
  ords,
  task,
  withPath,
  withStore,
} from "../../../../contract/store_rows.ts";

const DAY_MS = 86_400_000;
const NOTHING_TO_DO: SweepRequest = {
  now: NOW + 1000,
  keepMs: DAY_MS,
  maxKept: 1e9,
  maxBytes: 1e12,
  held: [],
  rows: 1000,
};

/** Sweeps until there is no more to do, and returns how many were dropped by status. */
async function sweepAll(store: Store, ask: Partial<SweepRequest>): Promise<number[]> {
  const removed = [0, 0, 0, 0, 0, 0, 0];
  for (let sweeps = 0;; sweeps++) {
    assert(sweeps < 10_000, "the sweep does not end");
    const swept: SweepResult = await store.call("sweep", { ...NOTHING_TO_DO, ...ask });
    swept.removed.forEach((count, status) => removed[status]! += count);
    if (!swept.more) return removed;
  }
}

function many(from: number, count: number, make: (ord: number) => StoredTask): StoredTask[] {
  return Array.from({ length: count }, (_, i) => make(from + i));
}

Deno.test("final tasks are dropped when they were kept long enough; open and held ones stay", () =>
  withPath(async (path) => {
    await withStore(path, async (store) => {
      await store.call(
        "write",
        inserts([
          completed(1, { finishedAt: NOW - DAY_MS }),
          completed(2, { finishedAt: NOW + 1000 - DAY_MS }),
          completed(3, { finishedAt: NOW + 1001 - DAY_MS }),
          task(4, { runAt: 1 }),
          completed(5, { finishedAt: 1 }),
          completed(6, { finishedAt: 1, dropAt: NOW + 1001 }),
          completed(7, { dropAt: NOW + 1000 }),
          completed(8, { dropAt: NOW, status: 4 }),
          task(9, { status: 1 }),
          task(10, { status: 2 }),
        ]),
      );
      assertEquals(await sweepAll(store, { held: [5, 7] }), [0, 0, 0, 2, 1, 0, 0]);
      assertEquals(await allOrds(store), [3, 4, 5, 6, 7, 9, 10]);
      assertEquals(await sweepAll(store, {}), [0, 0, 0, 2, 0, 0, 0]);
      assertEquals(await allOrds(store), [3, 4, 6, 9, 10]);
    });
    await withStore(path, (_, { counts, next }) => {
      assertEquals([counts, next], [[1, 1, 1, 2, 0, 0, 0], 11]);
    });
  }));

Deno.test("records beyond the limit are dropped, the oldest first, in slices", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      const odd = (ord: number) => ord % 10 === 0 ? task(ord) : completed(ord);
      await store.call("write", inserts(many(1, 1000, odd)));
      assertEquals(await sweepAll(store, { maxKept: 500, rows: 64, held: [2] }), [
        0,
        0,
        0,
        400,
        0,
        0,
        0,
      ]);
      const rest = await allOrds(store);
      assertEquals(rest.filter((ord) => ord % 10 === 0).length, 100);
      // 401 records that are not held stood up to here; one stayed for the held one.
      const gone = many(1, 1000, odd).filter(({ ord }) => !rest.includes(ord));
      assertEquals(gone.length, 400);
      assert(rest.includes(2) && gone.every(({ ord }) => ord <= 446), `${ords(gone).at(-1)}`);
    })
  ));

Deno.test("a sweep ends if all excess records are held", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      await store.call("write", inserts(many(1, 100, completed)));
      const held = Array.from({ length: 100 }, (_, i) => i + 1);
      const removed = await sweepAll(store, { maxKept: 10, maxBytes: 1, rows: 7, held });
      assertEquals(removed[3], 0);
      assertEquals((await sweepAll(store, { maxKept: 10, rows: 7 }))[3], 90);
    })
  ));

Deno.test("many due records that are held do not stop those behind them", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      await store.call(
        "write",
        inserts(many(1, 100, (ord) => completed(ord, { dropAt: NOW + 1 }))),
      );
      const held = Array.from({ length: 90 }, (_, i) => i + 1);
      assertEquals((await sweepAll(store, { rows: 10, held }))[3], 10);
    })
  ));

Deno.test("a file stays below its limit, and gives free room back", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      const payload = "x".repeat(40_000);
      for (let from = 1; from <= 2000; from += 200) {
        await store.call("write", inserts(many(from, 200, (ord) => completed(ord, { payload }))));
      }
      const bytes = async () => {
        const { bytes } = await store.call("backupBegin", null);
        await store.call("backupEnd", null);
        return bytes;
      };
      const full = await bytes();
      assert(full > 80e6, `${full}`);
      const removed = await sweepAll(store, { maxBytes: 10e6, rows: 100 });
      const kept = 2000 - removed[3]!;
      assert(kept > 100 && kept <= 250, `${kept} kept`);
      assertEquals((await allOrds(store))[0], removed[3]! + 1);
      for (let sweeps = 0; sweeps < 60; sweeps++) await store.call("sweep", NOTHING_TO_DO);
      const after = await bytes();
      assert(after < 0.75 * full, `${after} of ${full} bytes`);
    })
  ));

Deno.test("a backup is the file as it was when it began, whatever is committed meanwhile", () =>
  withPath(async (path) => {
    const copy = `${path}.copy`;
    await withStore(path, async (store) => {
      await store.call("write", inserts(many(1, 500, completed)));
      const { bytes, path: source } = await store.call("backupBegin", null);
      assertEquals(source, path);
      const target = await Deno.open(copy, { create: true, write: true });
      for (let at = 0; at < bytes; at += 10_000) {
        const from = 501 + at / 10;
        await store.call("write", inserts(many(from, 1000, completed)));
        await target.write(
          await store.call("backupRead", { at, bytes: Math.min(10_000, bytes - at) }),
        );
      }
      target.close();
      assertEquals(await store.call("backupRead", { at: bytes, bytes: 10 }), new Uint8Array());
      await store.call("backupEnd", null);
      await assertRejectsWith(store, "io");
    });
    await withStore(copy, async (store, { counts }) => {
      assertEquals(counts[3], 500);
      assertEquals(await allOrds(store), ords(many(1, 500, completed)));
    });
    const db = new DatabaseSync(copy);
    assertEquals(db.prepare("PRAGMA integrity_check").get()!.integrity_check, "ok");
    db.close();
  }));

async function assertRejectsWith(store: Store, fault: string): Promise<void> {
  const error = await store.call("backupRead", { at: 0, bytes: 1 }).then(
    () => null,
    (error) => error,
  );
  assert(error instanceof StoreError && error.fault === fault, String(error));
}

Deno.test("faults of SQLite have their names: no room, no disk, damage", () => {
  const db = new DatabaseSync(":memory:");
  db.exec("CREATE TABLE t (a); PRAGMA max_page_count = 3");
  const insert = db.prepare("INSERT INTO t VALUES (?)");
  const full = assertThrows(() => insert.run("x".repeat(100_000)));
  assertEquals(faultOf(full).fault, "full");
  const byExec = assertThrows(() => db.exec("INSERT INTO t VALUES (zeroblob(100000))"));
  assertEquals(faultOf(byExec).fault, "full");
  db.close();
  assertEquals(faultOf(new Error("disk I/O error")).fault, "io");
  assertEquals(faultOf(new Error("database disk image is malformed")).fault, "damaged");
  assertEquals(faultOf(new Error("anything else")).fault, "bug");
});

Deno.test({
  name: "a write that the disk refuses is not kept, and the next one works when there is room",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withPath(async (path) => {
      const script = new URL("./store_limited.ts", import.meta.url).pathname;
      const config = new URL("../../../../../deno.json", import.meta.url).pathname;
      // No file may grow beyond 2 MiB, until this process lifts that.
      const run = `trap '' XFSZ; ulimit -S -f 4096; exec "$0" run --quiet --config "$1" ` +
        `--allow-read --allow-write --allow-env --allow-run --no-prompt "$2" "$3"`;
      using cache = new OwnCache();
      const { code, stdout, stderr } = await new Deno.Command("sh", {
        args: ["-c", run, Deno.execPath(), config, script, path],
        env: cache.env,
      }).output();
      const text = new TextDecoder();
      assertEquals(code, 0, text.decode(stderr));
      const { kept, refused, faults } = JSON.parse(text.decode(stdout));
      assert(refused > 0, "the limit was never met");
      assertEquals(faults.filter((fault: string) => fault !== "io" && fault !== "full"), []);
      const { store, opened } = await open(path, { durability: "full" });
      await store.close();
      assertEquals(opened.counts[3], kept.length * 100);
    }),
});
