/** The claims of the store contract about finding tasks, and about pages and their limits. */

import { assert, assertEquals } from "@std/assert";
import type { StoredTask, TaskCalls, TaskStore } from "../../server/engine/journaled/task_store.ts";
import type { StoreTest } from "./store_contract.ts";
import { ANY_TASK, completed, inserts, NOW, ords, PLENTY, task } from "./store_rows.ts";

const LANE = { priority: 0, key: null, op: "square", seq: 0 };
const LAST = Number.MAX_SAFE_INTEGER;

export const PAGE_TESTS: Record<string, StoreTest> = {
  async "a task is found by the server's id and by a client's, also one that looks like the server's"(
    { open },
  ) {
    const { store } = await open();
    const made = task(1);
    const given = task(2, { id: "mine", given: 1 });
    const like = task(3, { id: task(77).id, given: 1 });
    const unlike = task(4, { id: "MINE", given: 1 });
    await store.call("write", inserts([made, given, like, unlike]));
    const ids = [like.id, "mine", "nobody", made.id, "MINE", task(5).id, "mine"];
    assertEquals(await store.call("find", { ids }), [like, given, null, made, unlike, null, given]);
    assertEquals(await store.call("find", { ids: [] }), []);
  },

  async "a lane is read by seq from a place on, up to a limit of rows and of characters"(
    { open },
  ) {
    const { store } = await open();
    const tasks = [5, 3, 1, 2, 4].map((ord) =>
      task(ord, { seq: 100 - ord, payload: "x".repeat(100) })
    );
    await store.call("write", inserts([...tasks, task(6, { op: "echo" }), task(7, { key: "k" })]));
    const read = async (more: object) =>
      ords(await store.call("lane", { ...LANE, ...PLENTY, ...more }));
    assertEquals(await read({}), [5, 4, 3, 2, 1]);
    assertEquals(await read({ seq: 96 }), [3, 2, 1]);
    assertEquals(await read({ limit: 2 }), [5, 4]);
    assertEquals(await read({ maxChars: 250 }), [5, 4]);
    assertEquals(await read({ maxChars: 1 }), [5], "the first row always comes");
    assertEquals(await read({ seq: 99 }), []);
  },

  async "the parts of a lane are compared exactly"({ open }) {
    const { store } = await open();
    const lanes = [
      { priority: 0, key: null, op: "a" },
      { priority: 0, key: "", op: "a" },
      { priority: 0, key: "a", op: "" },
      { priority: 1, key: null, op: "a" },
      { priority: -1, key: null, op: "a" },
      { priority: 0, key: null, op: "A" },
      { priority: 0, key: null, op: "a " },
      { priority: 0, key: "null", op: "a" },
      { priority: 0, key: ":", op: "a" },
      { priority: 0, key: "\u00e4", op: "a" },
      // The same letter to the eye.
      { priority: 0, key: "a\u0308", op: "a" },
    ];
    await store.call("write", inserts(lanes.map((lane, i) => task(i + 1, lane))));
    const { opened } = await open();
    assertEquals(opened.lanes.length, lanes.length);
    const { store: again } = await open();
    for (const [i, lane] of lanes.entries()) {
      const rows = await again.call("lane", { ...lane, seq: 0, ...PLENTY });
      assertEquals(ords(rows), [i + 1], JSON.stringify(lane));
    }
  },

  async "delayed tasks are read page by page, also many with the same time, each once and in order"(
    { open },
    random,
  ) {
    const { store } = await open();
    const tasks = Array.from(
      { length: 300 },
      (_, i) => task(i + 1, { status: 1, runAt: NOW + random.pick([0, 1, 1, 1, 2]) }),
    );
    await store.call("write", inserts([...tasks, task(999)]));
    const seen: StoredTask[] = [];
    for (let place = { runAt: -1, ord: -1 };;) {
      const page = await store.call("due", { ...place, limit: random.int(1, 60), maxChars: 1e6 });
      const last = page.at(-1);
      if (!last) break;
      seen.push(...page);
      place = { runAt: last.runAt, ord: last.ord };
    }
    const inOrder = tasks.toSorted((a, b) => a.runAt - b.runAt || a.ord - b.ord);
    assertEquals(ords(seen), ords(inOrder));
  },

  async "waiting and expiring tasks come in their order"({ open }) {
    const { store } = await open();
    await store.call(
      "write",
      inserts([
        task(1, { status: 2, expiresAt: NOW + 3 }),
        task(2, { expiresAt: NOW + 1 }),
        task(3, { status: 1, expiresAt: NOW + 2 }),
        completed(4, { expiresAt: NOW }),
        task(5, { expiresAt: NOW + 9 }),
        task(6, { status: 2 }),
      ]),
    );
    const page = (limit: number) => ({ limit, maxChars: 1e6 });
    assertEquals(ords(await store.call("waiting", { ord: 0, ...page(9) })), [1, 6]);
    assertEquals(ords(await store.call("waiting", { ord: 1, ...page(9) })), [6]);
    assertEquals(ords(await store.call("waiting", { ord: 0, ...page(1) })), [1]);
    assertEquals(ords(await store.call("expired", { now: NOW + 3, ...page(9) })), [2, 3, 1]);
    assertEquals(ords(await store.call("expired", { now: NOW + 3, ...page(2) })), [2, 3]);
    assertEquals(ords(await store.call("expired", { now: NOW, ...page(9) })), []);
  },

  async "list walks all tasks in both directions, by every filter, each once"({ open }, random) {
    const { store } = await open();
    const tasks = Array.from({ length: 400 }, (_, i) =>
      task(i + 1, {
        status: random.int(0, 6),
        op: random.pick(["square", "echo"]),
        key: random.pick([null, "", "k"]),
        createdAt: NOW + i,
      }));
    await store.call("write", inserts(tasks));
    for (let i = 0; i < 30; i++) {
      const ask = {
        oldestFirst: random.chance(0.5),
        statuses: random.pick([[], [0], [3], [1, 4, 6], [0, 1, 2, 3, 4, 5, 6]]),
        op: random.pick([null, "square", "none"]),
        key: random.pick([null, "", "k"]),
        createdSince: random.pick([0, NOW + 200]),
      };
      const fits = tasks.filter(({ status, op, key, createdAt }) =>
        (ask.statuses.length === 0 || ask.statuses.includes(status)) &&
        (ask.op === null || op === ask.op) && (ask.key === null || key === ask.key) &&
        createdAt >= ask.createdSince
      );
      const inOrder = ask.oldestFirst ? fits : fits.toReversed();
      const size = { limit: random.int(1, 90), maxChars: 1e6 };
      assertEquals(
        ords(await walk(store, { ...ask, ...size })),
        ords(inOrder),
        JSON.stringify(ask),
      );
    }
  },

  async "a page of a list has a limit of rows and of characters, and the first row always comes"(
    { open },
  ) {
    const { store } = await open();
    const payload = "x".repeat(1000);
    await store.call("write", inserts([1, 2, 3, 4].map((ord) => task(ord, { payload }))));
    const ask = { ord: LAST, oldestFirst: false, statuses: [], ...ANY_TASK };
    const two = await store.call("list", { ...ask, limit: 2, maxChars: 1e6 });
    assertEquals(ords(two.tasks), [4, 3]);
    const chars = await store.call("list", { ...ask, limit: 9, maxChars: 2500 });
    assertEquals(ords(chars.tasks), [4, 3]);
    const first = await store.call("list", { ...ask, limit: 9, maxChars: 10 });
    assertEquals(ords(first.tasks), [4]);
    assert(first.next !== null, "there are more");
  },

  async "ahead counts the tasks that start before a place, up to a limit"({ open }) {
    const { store } = await open();
    await store.call(
      "write",
      inserts([
        task(1, { priority: 5 }),
        task(2, { priority: 5, key: "k" }),
        task(3),
        task(4, { op: "echo", key: "k" }),
        task(5),
        task(6, { priority: -1 }),
        task(7, { priority: 9, status: 1 }),
      ]),
    );
    const ahead = (priority: number, seq: number, limit = 100) =>
      store.call("ahead", { priority, seq, limit });
    assertEquals(await ahead(0, 5), 4);
    assertEquals(await ahead(0, 3), 2);
    assertEquals(await ahead(5, 1), 0);
    assertEquals(await ahead(-1, 6), 5);
    assertEquals(await ahead(-1, 6, 3), 3);
  },
};

/** Follows `next` to the end. */
async function walk(
  store: TaskStore,
  ask: Omit<TaskCalls["list"]["ask"], "ord">,
): Promise<StoredTask[]> {
  const all: StoredTask[] = [];
  for (let ord: number | null = ask.oldestFirst ? 0 : LAST; ord !== null;) {
    const page: TaskCalls["list"]["answer"] = await store.call("list", { ...ask, ord });
    all.push(...page.tasks);
    assert(page.next !== ord, "each page goes on");
    ord = page.next;
  }
  return all;
}
