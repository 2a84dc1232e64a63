/** The store thread: what is written is what is read, in the order that the engine asks for. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type StoredTask, StoreError } from "../../../../../server/engine/journaled/task_store.ts";
import {
  ANY_TASK,
  completed,
  inserts,
  NO_CHANGE,
  NOW,
  open,
  ords,
  PLENTY,
  statusIndex,
  task,
  updates,
  withPath,
  withStore,
} from "../../../../contract/store_rows.ts";

const [QUEUED, DELAYED, WAITING, , FAILED, CANCELLED, EXPIRED] = [0, 1, 2, 3, 4, 5, 6];

Deno.test("every text survives: U+0000, lone surrogates, the escape character, emoji, nothing", async () => {
  const odd = [
    "a\0b",
    "\ud800",
    "x\udfffy",
    "\x1a",
    "\x1a0000",
    "\x1a-",
    "😀",
    "",
    "\ud83d😀\ude00",
  ];
  await withPath(async (path) => {
    const tasks = odd.flatMap((text, i): StoredTask[] => [
      task(2 * i + 1, { op: text, payload: text, key: text, options: text }),
      completed(2 * i + 2, { id: `${text}!`, given: 1, result: text, error: text }),
    ]);
    await withStore(path, async (store) => {
      await store.call("write", {
        ...inserts(tasks),
        settings: odd.map((text) => [`s${text}`, text]),
      });
      assertEquals(await store.call("find", { ids: tasks.map(({ id }) => id) }), tasks);
    });
    await withStore(path, async (store, { lanes, settings }) => {
      assertEquals(await store.call("find", { ids: tasks.map(({ id }) => id) }), tasks);
      assertEquals(new Set(settings.map(([name, value]) => `${name}=${value}`)).size, odd.length);
      for (const text of odd) {
        assert(settings.some(([name, value]) => name === `s${text}` && value === text));
        const found = await store.call("lane", {
          priority: 0,
          key: text,
          op: text,
          seq: 0,
          ...PLENTY,
        });
        assertEquals(found.map(({ op, key }) => [op, key]), [[text, text]]);
        assert(lanes.some(({ op, key }) => op === text && key === text));
      }
    });
  });
});

Deno.test("no key and an empty key are two lanes", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      await store.call("write", inserts([task(1), task(2, { key: "" })]));
      const lane = { priority: 0, op: "square", seq: 0, ...PLENTY };
      assertEquals(ords(await store.call("lane", { key: null, ...lane })), [1]);
      assertEquals(ords(await store.call("lane", { key: "", ...lane })), [2]);
    })
  ));

Deno.test("a client's id is found, also one that looks like the server's", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      const [own, likeOwn] = [task(7), task(8, { id: task(7_000_000).id, given: 1 })];
      // The number in its id is that of another task.
      const other = task(9, { id: own.id.replace(/^./, "f"), given: 1 });
      await store.call("write", inserts([own, likeOwn, other]));
      const ids = [other.id, "none", likeOwn.id, own.id, task(9).id];
      assertEquals(await store.call("find", { ids }), [other, null, likeOwn, own, null]);
    })
  ));

Deno.test("a lane is read by seq from a place on, up to a limit of rows and of characters", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      const tasks = [5, 3, 4, 1, 2].map((seq, i) => task(i + 1, { seq, payload: "x".repeat(100) }));
      await store.call("write", inserts([...tasks, completed(6), task(7, { priority: 1 })]));
      const lane = { priority: 0, key: null, op: "square", seq: 0, ...PLENTY };
      const seqs = async (more: object) =>
        (await store.call("lane", { ...lane, ...more })).map(({ seq }) => seq);
      assertEquals(await seqs({}), [1, 2, 3, 4, 5]);
      assertEquals(await seqs({ seq: 3 }), [4, 5]);
      assertEquals(await seqs({ limit: 2 }), [1, 2]);
      assertEquals(await seqs({ maxChars: 299 }), [1, 2]);
      assertEquals(await seqs({ maxChars: 300 }), [1, 2, 3]);
      assertEquals(await seqs({ maxChars: 1 }), [1]);
      assertEquals(await seqs({ limit: 0 }), []);
    })
  ));

Deno.test("delayed, waiting and expiring tasks come in the order of their time", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      await store.call(
        "write",
        inserts([
          task(1, { status: DELAYED, runAt: NOW + 20, expiresAt: NOW + 7 }),
          task(2, { status: DELAYED, runAt: NOW + 10 }),
          task(3, { status: DELAYED, runAt: NOW + 10, expiresAt: NOW + 6 }),
          task(4, { status: WAITING }),
          task(5, { status: WAITING }),
          task(6, { expiresAt: NOW + 5 }),
          completed(7, { expiresAt: NOW }),
        ]),
      );
      const due = async (runAt: number, ord: number) =>
        ords(await store.call("due", { runAt, ord, ...PLENTY }));
      assertEquals(await due(0, 0), [2, 3, 1]);
      assertEquals(await due(NOW + 10, 2), [3, 1]);
      assertEquals(await due(NOW + 10, 3), [1]);
      assertEquals(ords(await store.call("waiting", { ord: 0, ...PLENTY })), [4, 5]);
      assertEquals(ords(await store.call("waiting", { ord: 4, ...PLENTY })), [5]);
      assertEquals(ords(await store.call("expired", { now: NOW + 6, ...PLENTY })), [6, 3]);
      assertEquals(ords(await store.call("expired", { now: NOW + 7, ...PLENTY, limit: 2 })), [
        6,
        3,
      ]);
      assertEquals(await store.call("expired", { now: NOW + 4, ...PLENTY }), []);
    })
  ));

Deno.test("delayed tasks are read page by page, also many with the same time, each once and in order", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      const tasks = Array.from(
        { length: 200 },
        (_, i) =>
          task(i + 1, { status: DELAYED, runAt: NOW + (i * 7 % 4), payload: "x".repeat(50) }),
      );
      await store.call("write", inserts(tasks));
      const expected = tasks.toSorted((a, b) => a.runAt - b.runAt || a.ord - b.ord);
      for (const size of [{ limit: 7, maxChars: 1e6 }, { limit: 30, maxChars: 333 }]) {
        const found: StoredTask[] = [];
        for (let page = 0; page < 300; page++) {
          const { runAt, ord } = found.at(-1) ?? { runAt: 0, ord: 0 };
          found.push(...await store.call("due", { runAt, ord, ...size }));
        }
        assertEquals(ords(found), ords(expected));
      }
    })
  ));

Deno.test("list returns the newest first, by status and by op, with a place to go on from", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      const statuses = [QUEUED, FAILED, CANCELLED, 3, EXPIRED, DELAYED];
      const tasks = Array.from(
        { length: 60 },
        (_, i) => task(i + 1, { status: statuses[i % 6]!, op: i % 4 === 0 ? "a" : "b" }),
      );
      await store.call("write", inserts(tasks));
      const filters = [[], [FAILED], [FAILED, EXPIRED, DELAYED], [3], [QUEUED, FAILED]]
        .flatMap((statuses) => [true, false].map((oldestFirst) => ({ statuses, oldestFirst })));
      for (const { statuses, oldestFirst } of filters) {
        for (const op of [null, "a", "none"]) {
          const all = oldestFirst ? ords(tasks) : ords(tasks).reverse();
          const expected = all.filter((ord) => {
            const { status, op: itsOp } = tasks[ord - 1]!;
            return (statuses.length === 0 || statuses.includes(status)) &&
              (op === null || op === itsOp);
          });
          const found: number[] = [];
          let from: number | null = oldestFirst ? 0 : Number.MAX_SAFE_INTEGER;
          while (from !== null) {
            const ask = {
              ...ANY_TASK,
              ord: from,
              oldestFirst,
              statuses,
              op,
              limit: 7,
              maxChars: 1e6,
            };
            const page: { tasks: StoredTask[]; next: number | null } = await store.call(
              "list",
              ask,
            );
            assert(page.tasks.length <= 7);
            found.push(...ords(page.tasks));
            from = page.next;
          }
          assertEquals(found, expected, `statuses ${statuses}, op ${op}`);
        }
      }
    })
  ));

Deno.test("list finds tasks by key, also the empty one, and by when they were submitted", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      const keys = [null, "", "a\0", "b"];
      const tasks = Array.from({ length: 12 }, (_, i) =>
        task(i + 1, {
          key: keys[i % 4]!,
          createdAt: NOW + 10 * (i % 3),
          status: i < 6 ? QUEUED : FAILED,
        }));
      await store.call("write", inserts(tasks));
      const list = async (more: object) => {
        const ask = { ord: 0, oldestFirst: true, statuses: [], ...ANY_TASK, ...PLENTY, ...more };
        return ords((await store.call("list", ask)).tasks);
      };
      assertEquals(await list({ key: "" }), [2, 6, 10]);
      assertEquals(await list({ key: "a\0" }), [3, 7, 11]);
      assertEquals(await list({ createdSince: NOW + 20 }), [3, 6, 9, 12]);
      assertEquals(await list({ createdSince: NOW + 10, statuses: [FAILED] }), [8, 9, 11, 12]);
      assertEquals(await list({ createdSince: NOW + 20, key: "b" }), [12]);
    })
  ));

Deno.test("a file that is opened says how many tasks of each op are queued", () =>
  withPath(async (path) => {
    const ops = ["a", "b", "a", "c", "a"];
    await withStore(path, async (store) => {
      const tasks = ops.map((op, i) =>
        task(i + 1, { op, priority: i % 2, key: i < 2 ? "k" : null })
      );
      await store.call("write", inserts([...tasks, completed(6), task(7, { status: DELAYED })]));
    });
    await withStore(path, (_store, { queuedOps }) => {
      assertEquals(new Map(queuedOps), new Map([["a", 3], ["b", 1], ["c", 1]]));
    });
  }));

Deno.test("list looks at a bounded number of rows, and goes on behind them", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      await store.call("write", inserts([task(1, { op: "rare" })]));
      for (let from = 2; from < 12_000; from += 2000) {
        const tasks = Array.from({ length: 2000 }, (_, i) => completed(from + i));
        await store.call("write", inserts(tasks));
      }
      const what = { ...ANY_TASK, oldestFirst: false, statuses: [], op: "rare" };
      const ask = { ...what, limit: 5, maxChars: 1e6 };
      let looks = 1;
      let look = await store.call("list", { ...ask, ord: Number.MAX_SAFE_INTEGER });
      for (; look.next !== null; looks++) {
        assertEquals(look.tasks, []);
        look = await store.call("list", { ...ask, ord: look.next });
      }
      assertEquals([ords(look.tasks), looks], [[1], 13]);
    })
  ));

Deno.test("ahead counts the tasks that start before a place, up to a limit", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      const keys = [null, "a", "b"];
      const tasks = Array.from(
        { length: 30 },
        (_, i) => task(i + 1, { key: keys[i % 3]!, priority: i < 5 ? 1 : 0 }),
      );
      await store.call("write", inserts([...tasks, completed(31), task(32, { priority: -1 })]));
      const ahead = (priority: number, seq: number, limit = 1000) =>
        store.call("ahead", { priority, seq, limit });
      assertEquals(await ahead(0, 16), 15);
      assertEquals(await ahead(1, 3), 2);
      assertEquals(await ahead(-1, 32), 30);
      assertEquals(await ahead(0, 16, 7), 7);
      assertEquals(await ahead(2, 100), 0);
    })
  ));

Deno.test("updates move tasks between the statuses, and the counts of the next opening know", async () => {
  await withPath(async (path) => {
    const done = { attempt: 1, finishedAt: NOW, result: "4" };
    await withStore(path, async (store) => {
      await store.call(
        "write",
        inserts([task(1), task(2), task(3, { status: DELAYED }), completed(4)]),
      );
      await store.call(
        "write",
        updates([
          { task: completed(1, done), was: "queued" },
          { task: task(3, { seq: 900 }), was: "delayed" },
          { task: task(4, { status: FAILED, error: '{"code":"timeout"}' }), was: "completed" },
        ]),
      );
      assertEquals(await store.call("find", { ids: [task(1).id, task(3).id] }), [
        completed(1, done),
        task(3, { seq: 900 }),
      ]);
    });
    await withStore(path, (_, { counts, next, lanes }) => {
      assertEquals(counts, [2, 0, 0, 1, 1, 0, 0]);
      assertEquals(next, 901);
      assertEquals(lanes, [{ priority: 0, key: null, op: "square" }]);
    });
  });
});

Deno.test("a write is kept wholly or not at all, and the next one works", async () => {
  await withPath(async (path) => {
    await withStore(path, async (store) => {
      await store.call("write", inserts([task(1)]));
      const wrong = [
        inserts([task(2), task(1)]),
        {
          ...inserts([task(2)]),
          ...{ updates: updates([{ task: completed(9), was: "queued" }]).updates },
        },
        {
          ...inserts([task(2)]),
          ...{ updates: updates([{ task: completed(1), was: "delayed" }]).updates },
        },
        inserts([task(2, { id: "same", given: 1 }), task(3, { id: "same", given: 1 })]),
      ];
      for (const write of wrong) await assertRejects(() => store.call("write", write), StoreError);
      assertEquals(await store.call("find", { ids: [task(1).id, task(2).id] }), [task(1), null]);
      await store.call("write", inserts([task(2)]));
    });
    await withStore(path, (_, { counts, next }) => {
      assertEquals([counts[QUEUED], next], [2, 3]);
    });
  });
});

Deno.test("settings are kept, replaced and dropped", async () => {
  await withPath(async (path) => {
    await withStore(path, async (store) => {
      await store.call("write", { ...NO_CHANGE, settings: [["a", "1"], ["b", "2"]] });
      await store.call("write", { ...NO_CHANGE, settings: [["a", "3"], ["b", null], ["c", null]] });
    });
    await withStore(path, (_, { settings }) => assertEquals(settings, [["a", "3"]]));
  });
});

Deno.test("answers come in the order of the questions, and each sees what was written before it", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      const seen: number[] = [];
      const all = Array.from({ length: 50 }, (_, i) => [
        store.call("write", inserts([task(i + 1)])).then(() => seen.push(2 * i)),
        store.call("find", { ids: [task(i + 1).id, task(i + 2).id] }).then((found) => {
          assertEquals(found, [task(i + 1), null]);
          seen.push(2 * i + 1);
        }),
      ]).flat();
      await Promise.all(all);
      assertEquals(seen, Array.from({ length: 100 }, (_, i) => i));
    })
  ));

Deno.test("after closing, requests are refused; closing waits for earlier requests, and twice is once", () =>
  withPath(async (path) => {
    const { store } = await open(path);
    const write = store.call("write", inserts([task(1)]));
    const closed = store.close();
    const error = await assertRejects(() => store.call("find", { ids: [] }), StoreError);
    assertEquals(error.fault, "bug");
    await Promise.all([write, closed, store.close()]);
    await withStore(path, (_, { counts }) => assertEquals(counts[statusIndex("queued")], 1));
  }));
