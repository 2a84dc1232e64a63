/** A damaged store is refused, or its damaged rows are named; it never returns a row that was not written. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { ClientError } from "../../../../../net/client_error.ts";
import { say } from "../../../../../cli/talk.ts";
import { StoreError } from "../../../../../server/engine/journaled/task_store.ts";
import type { DamagedRow } from "../../../../../server/engine/sqlite/file/store_message.ts";
import { TaskFile } from "../../../../../server/engine/sqlite/file/task_file.ts";
import {
  allOrds,
  ANY_TASK,
  completed,
  inserts,
  NOW,
  open,
  ords,
  PLENTY,
  task,
  withPath,
  withStore,
} from "../../../../contract/store_rows.ts";

const FRAME_BYTES = 24 + 4096;

/** Does `sql` to a closed store, as damage would. */
function damage(path: string, sql: string): void {
  const db = new DatabaseSync(path);
  db.exec(sql);
  db.close();
}

async function flip(path: string, at: number, bit = 0): Promise<void> {
  const bytes = await Deno.readFile(path);
  bytes[at]! ^= 1 << bit;
  await Deno.writeFile(path, bytes);
}

/** Puts at `path` the remains of a crash after `commits` commits of one task each, all of them in the log. */
async function crashed(path: string, commits: number): Promise<void> {
  const live = `${path}.live`;
  await withStore(live, async (store) => {
    for (let ord = 1; ord <= commits; ord++) {
      await store.call("write", inserts([ord % 2 ? task(ord) : completed(ord)]));
    }
    await Deno.copyFile(live, path);
    await Deno.copyFile(`${live}-wal`, `${path}-wal`);
  }, { durability: "full" });
}

async function tasksIn(path: string): Promise<number[]> {
  let found: number[] = [];
  await withStore(path, async (store) => {
    found = await allOrds(store);
  }, { durability: "full" });
  return found;
}

function refused(path: string, text: string): Promise<ClientError> {
  return assertRejects(() => open(path, { durability: "full" }), ClientError, text);
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

Deno.test("after a crash every commit is there", () =>
  withPath(async (path) => {
    await crashed(path, 20);
    assertEquals(await tasksIn(path), upTo(20));
  }));

Deno.test("a log with a torn end is opened without the torn commit", () =>
  withPath(async (path) => {
    await crashed(path, 20);
    const { size } = await Deno.stat(`${path}-wal`);
    await Deno.truncate(`${path}-wal`, size - 100);
    assertEquals(await tasksIn(path), upTo(19));
    const other = `${path}.other`;
    await crashed(other, 20);
    await flip(`${other}-wal`, size - 1);
    assertEquals(await tasksIn(other), upTo(19));
  }));

Deno.test("a log damaged in its middle is refused, and opened once it is cut as the message says", () =>
  withPath(async (path) => {
    await crashed(path, 20);
    const { size } = await Deno.stat(`${path}-wal`);
    const middle = 32 + Math.floor(size / FRAME_BYTES / 2) * FRAME_BYTES;
    // In a page, in the number of a page, in a checksum, in a salt.
    for (const at of [24 + 900, 3, 17, 9]) {
      await flip(`${path}-wal`, middle + at);
      const { hint } = await refused(path, "-wal is damaged after");
      await flip(`${path}-wal`, middle + at);
      const bytes = Number(/truncate -s (\d+) /.exec(hint!)?.[1]);
      assert(bytes > 0 && bytes <= middle, `cut at ${bytes}, damaged at ${middle}`);
    }
    await flip(`${path}-wal`, middle + 100);
    const { hint } = await refused(path, "commits after that place would be lost");
    await Deno.truncate(`${path}-wal`, Number(/truncate -s (\d+) /.exec(hint!)?.[1]));
    const left = await tasksIn(path);
    assert(left.length > 2 && left.length < 20, `${left}`);
    assertEquals(left, upTo(left.length));
  }));

Deno.test("a log whose header is damaged is not taken for an empty one", () =>
  withPath(async (path) => {
    await crashed(path, 20);
    for (const at of [0, 9, 14, 17, 25]) {
      await flip(`${path}-wal`, at);
      await refused(path, "-wal is damaged after 0 bytes");
      await flip(`${path}-wal`, at);
    }
    assertEquals(await tasksIn(path), upTo(20));
  }));

Deno.test("with `normal` durability, a log damaged in its middle ends there", () =>
  withPath(async (path) => {
    await crashed(path, 20);
    const { size } = await Deno.stat(`${path}-wal`);
    await flip(`${path}-wal`, Math.floor(size / 2));
    const { store } = await open(path, { durability: "normal" });
    await store.close();
  }));

Deno.test("a file that is cut off is refused", () =>
  withPath(async (path) => {
    await withStore(path, async (store) => {
      await store.call("write", inserts(upTo(500).map((ord) => task(ord))));
    });
    const { size } = await Deno.stat(path);
    const whole = await Deno.readFile(path);
    for (const bytes of [size - 1, size - 4096, 4096, 200]) {
      await Deno.writeFile(path, whole.subarray(0, bytes));
      await refused(path, "it is cut off");
    }
    await Deno.writeFile(path, whole.subarray(0, 50));
    await refused(path, "not a store of sd");
    await Deno.writeFile(path, whole);
    await withStore(path, (_, { counts }) => assertEquals(counts[0], 500));
  }));

Deno.test("counts that contradict the indexes, or themselves, are refused", async () => {
  for (
    const sql of [
      "UPDATE counts SET queued = queued + 1",
      "UPDATE counts SET next = 3",
      "DELETE FROM tasks WHERE ord = 5",
      "UPDATE tasks SET status = 4 WHERE ord = 5",
      "DELETE FROM counts",
    ]
  ) {
    await withPath(async (path) => {
      await withStore(
        path,
        (store) => store.call("write", inserts(upTo(9).map((ord) => task(ord)))),
      );
      damage(path, sql);
      await refused(path, "it is damaged");
    });
  }
});

Deno.test("a damaged row is named by find, left out of pages and reported once; the others are returned", () =>
  withPath(async (path) => {
    const given = { id: "mine", given: 1 };
    await withStore(path, (store) =>
      store.call(
        "write",
        inserts([
          ...upTo(6).map((ord) => task(ord, { expiresAt: NOW + ord })),
          ...[7, 8].map((ord) => task(ord, { status: 1 })),
          ...[9, 10].map((ord) => task(ord, { status: 2 })),
          completed(11),
          completed(12, given),
        ]),
      ));
    damage(
      path,
      `UPDATE tasks SET payload = 'other' WHERE ord = 2; UPDATE tasks SET attempt = 9 WHERE ord = 3;
      UPDATE tasks SET seq = 9007199254740995 WHERE ord = 4;
      UPDATE tasks SET runAt = runAt - 5 WHERE ord = 7;
      UPDATE tasks SET deaths = 1 WHERE ord = 9;
      UPDATE tasks SET result = '5' WHERE ord IN (11, 12)`,
    );
    const told: DamagedRow[] = [];
    await withStore(path, async (store) => {
      const lane = { priority: 0, key: null, op: "square", seq: 0, maxChars: 1e6 };
      assertEquals(ords(await store.call("lane", { ...lane, limit: 2 })), [1, 5]);
      assertEquals(told.map(({ ord }) => ord), [2, 3]);
      assertEquals(ords(await store.call("lane", { ...lane, limit: 9 })), [1, 5, 6]);
      assertEquals(ords(await store.call("due", { runAt: 0, ord: 0, ...PLENTY })), [8]);
      assertEquals(ords(await store.call("waiting", { ord: 0, ...PLENTY })), [10]);
      assertEquals(ords(await store.call("expired", { now: NOW + 9, ...PLENTY })), [1, 5, 6]);
      const ask = { ord: 1e9, oldestFirst: false, statuses: [], ...ANY_TASK, ...PLENTY };
      const { tasks, next } = await store.call("list", ask);
      assertEquals([ords(tasks), next], [[10, 8, 6, 5, 1], null]);
      assertEquals(told.map(({ ord }) => ord).toSorted((a, b) => a - b), [2, 3, 4, 7, 9, 11, 12]);
      assertEquals(told.find(({ ord }) => ord === 12)?.id, "mine");
      for (const [ord, id] of [[2, task(2).id], [4, task(4).id], [11, task(11).id], [12, "mine"]]) {
        const error = await assertRejects(() => store.call("find", { ids: [`${id}`] }), StoreError);
        assertEquals(error.fault, "damaged");
        assert(error.message.includes(`task number ${ord} is damaged`), error.message);
      }
      assertEquals(await store.call("find", { ids: [task(1).id] }), [
        task(1, { expiresAt: NOW + 1 }),
      ]);
    }, { onDamaged: (rows) => told.push(...rows) });
  }));

Deno.test("bits flipped anywhere in the file or its log: refused, named, or answered rightly", async () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  say(`seed ${seed}`);
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
  const commits = 60;
  await withPath(async (path) => {
    await crashed(path, commits);
    const [file, log] = [await Deno.readFile(path), await Deno.readFile(`${path}-wal`)];
    let refusals = 0;
    let named = 0;
    for (let round = 0; round < 150; round++) {
      const inLog = random(3) > 0;
      const [bytes, target] = inLog ? [log, `${path}-wal`] : [file, path];
      await Deno.writeFile(path, file);
      await Deno.writeFile(`${path}-wal`, log);
      await flip(target, random(bytes.length), random(8));
      let store: TaskFile;
      try {
        store = new TaskFile({ path, durability: "full", now: NOW });
      } catch (error) {
        assert(error instanceof ClientError, `round ${round}: ${error}`);
        refusals++;
        continue;
      }
      try {
        for (const ord of upTo(commits)) {
          const truth = ord % 2 ? task(ord) : completed(ord);
          try {
            const [found] = store.answer("find", { ids: [truth.id] });
            // The end of the log is torn: it looks like a crash before the acknowledgement.
            if (inLog && ord === commits && found === null) continue;
            assertEquals(found, truth, `round ${round}, task ${ord}`);
          } catch (error) {
            if (!(error instanceof Error) || error.name === "AssertionError") throw error;
            named++;
          }
        }
      } finally {
        store.close();
      }
    }
    assert(refusals > 0, `${refusals} refused, ${named} named`);
  });
});
