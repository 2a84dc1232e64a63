/** The claims of the store contract about writes, attachments, settings, the outbox, sweeping and closing. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ATTACHMENT_KINDS,
  LOG_KIND,
  type StoredTask,
  StoreError,
} from "../../server/engine/journaled/task_store.ts";
import { DEFAULT_RULES } from "../../server/task/new_task.ts";
import type { StoreTest } from "./store_contract.ts";
import { completed, inserts, NO_CHANGE, NOW, ords, PLENTY, task, updates } from "./store_rows.ts";
import {
  allTasks,
  countsOf,
  find,
  HELD,
  ODD_TEXTS,
  outboxOf,
  rejection,
  SERVER_LOG,
} from "./store_steps.ts";

export const WRITE_TESTS: Record<string, StoreTest> = {
  async "every text survives: U+0000, lone surrogates, the escape character, emoji, nothing"(
    { open },
  ) {
    const tasks = ODD_TEXTS.flatMap((text, i): StoredTask[] => [
      task(2 * i + 1, { op: text, payload: text, key: text, options: text }),
      completed(2 * i + 2, {
        id: `${text}!`,
        given: 1,
        result: text,
        error: text,
        trail: text,
      }),
    ]);
    const { store } = await open();
    await store.call("write", {
      ...inserts(tasks),
      settings: ODD_TEXTS.map((text) => [`s${text}`, text]),
      outbox: ODD_TEXTS.map((text) => [`r${text}`, text]),
    });
    assertEquals(await find(store, tasks), tasks);
    const { store: again, opened: { settings } } = await open();
    assertEquals(await find(again, tasks), tasks);
    assertEquals(new Map(settings), new Map(ODD_TEXTS.map((text) => [`s${text}`, text])));
    assertEquals(
      (await outboxOf(again)).map(({ route, body }) => [route, body]),
      ODD_TEXTS.map((text) => [`r${text}`, text]),
    );
    for (const text of ODD_TEXTS) {
      const ask = { priority: 0, key: text, op: text, seq: 0, ...PLENTY };
      const found = await again.call("lane", ask);
      assertEquals(found.map(({ op, key }) => [op, key]), [[text, text]]);
    }
  },

  async "answers come in the order of the requests, and each read sees the writes before it"(
    { open },
    random,
  ) {
    const { store } = await open();
    const answered: number[] = [];
    const writes = new Set<number>();
    const seen: number[][] = [];
    const expected: number[][] = [];
    const calls: Promise<unknown>[] = [];
    let written = 0;
    for (let i = 0; i < 60; i++) {
      if (random.chance(0.5)) {
        writes.add(i);
        const first = written + 1;
        written += random.int(1, 5);
        const rows = Array.from({ length: written - first + 1 }, (_, at) => task(first + at));
        calls.push(store.call("write", inserts(rows)).then(() => answered.push(i)));
        continue;
      }
      const count = written;
      const at = seen.push([]) - 1;
      expected.push(Array.from({ length: count }, (_, n) => n + 1));
      calls.push(
        store.call("lane", { priority: 0, key: null, op: "square", seq: 0, ...PLENTY }).then(
          (rows) => {
            answered.push(i);
            seen[at] = ords(rows);
          },
        ),
      );
    }
    await Promise.all(calls);
    for (const [place, i] of answered.entries()) {
      const earlier = answered.slice(place + 1).filter((other) => other < i);
      const isAllowed = earlier.every((other) => writes.has(other) && !writes.has(i));
      assert(isAllowed, `request ${i} was answered before ${earlier}: ${answered}`);
    }
    assertEquals(seen, expected);
  },

  async "a write is kept whole or not at all, and the next one works"({ open }) {
    const { store } = await open();
    await store.call("write", inserts([task(1), completed(2)]));
    const bad = store.call("write", {
      ...inserts([task(3), task(4)]),
      updates: [
        ...updates([{ task: completed(1), was: "queued" }]).updates,
        // It is completed, not queued.
        ...updates([{ task: completed(2, { result: "0" }), was: "queued" }]).updates,
      ],
      attachments: [[1, LOG_KIND, SERVER_LOG]],
      settings: [["a", "1"]],
      outbox: [["route", "body"]],
    });
    const next = store.call("write", inserts([task(5)]));
    assertEquals((await rejection(bad)).fault, "damaged");
    await next;
    assertEquals(await find(store, [task(1), completed(2), task(3), task(4), task(5)]), [
      task(1),
      completed(2),
      null,
      null,
      task(5),
    ]);
    assertEquals(await outboxOf(store), []);
    assertEquals(await store.call("attachments", { kind: LOG_KIND, ords: [1] }), [null]);
    assertEquals((await open()).opened.settings, []);
  },

  async "an update of a row that is missing is damage, and changes nothing"({ open }) {
    const { store } = await open();
    await store.call("write", inserts([task(1)]));
    const change = [{ task: completed(1), was: "queued" }, { task: completed(9), was: "queued" }];
    const error = await rejection(store.call("write", updates(change as never)));
    assertEquals(error.fault, "damaged");
    assertEquals(await find(store, [task(1)]), [task(1)]);
  },

  async "a large write is kept whole"({ open }) {
    const { store } = await open();
    const tasks = Array.from({ length: 3000 }, (_, i) => task(i + 1, { op: `op${i % 7}` }));
    await store.call("write", inserts(tasks));
    const ends = tasks.map(({ ord }) => ({ task: completed(ord), was: "queued" as const }));
    await store.call("write", updates(ends));
    assertEquals((await allTasks(store)).length, 3000);
    assertEquals((await countsOf(await open())).counts, [0, 0, 0, 3000, 0, 0, 0]);
  },

  async "long texts and the largest numbers survive"({ open }) {
    const { store } = await open();
    const long = "é".repeat(700_000);
    const tasks = [
      task(5_000_000, { payload: long, seq: 2 ** 48 + 5, priority: -100 }),
      completed(7, {
        result: long,
        finishedAt: 8_640_000_000_000_000,
        dropAt: Number.MAX_SAFE_INTEGER,
        createdAt: 0,
        runAt: 0,
      }),
    ];
    await store.call("write", inserts(tasks));
    assertEquals(await find(store, tasks), tasks);
  },

  async "updates move tasks between all statuses, and the next opening counts them"({ open }) {
    const { store } = await open();
    await store.call("write", inserts([1, 2, 3, 4, 5, 6, 7, 8].map((ord) => task(ord))));
    const moves = [
      { task: task(2, { status: 1, runAt: NOW + 5 }), was: "queued" },
      { task: task(3, { status: 2 }), was: "queued" },
      { task: completed(4), was: "queued" },
      { task: completed(5, { status: 4, result: null, error: '{"code":"x"}' }), was: "queued" },
      { task: completed(6, { status: 5, result: null }), was: "queued" },
      { task: completed(7, { status: 6, result: null, dropAt: NOW + 1 }), was: "queued" },
    ] as const;
    await store.call("write", updates(moves));
    assertEquals(await find(store, moves.map(({ task }) => task)), moves.map(({ task }) => task));
    // And back: a failed task is retried, a delayed one is due.
    await store.call(
      "write",
      updates([
        { task: task(5, { seq: 50 }), was: "failed" },
        { task: task(2, { seq: 51, op: "square" }), was: "delayed" },
      ]),
    );
    const { counts, queuedOps } = await countsOf(await open());
    assertEquals(counts, [4, 0, 1, 1, 0, 1, 1]);
    assertEquals(queuedOps, [["square", 4]]);
  },

  async "an opening knows every lane with queued tasks, and a number above all"({ open }) {
    const { store } = await open();
    await store.call(
      "write",
      inserts([
        task(1, { key: "" }),
        task(2, { key: null, priority: 5 }),
        task(3, { key: "k", op: "echo", seq: 900 }),
        task(4, { key: "k", op: "echo", seq: 901 }),
        completed(800, { op: "gone" }),
      ]),
    );
    const { opened } = await open();
    const lanes = opened.lanes.map(({ priority, key, op }) => JSON.stringify([priority, key, op]));
    assertEquals(lanes.toSorted(), ['[0,"","square"]', '[0,"k","echo"]', '[5,null,"square"]']);
    assert(opened.next > 901, "no number is used twice");
  },

  async "attachments grow as their kind says, and are there after an opening"({ open }) {
    const { store } = await open();
    const later = SERVER_LOG.replace("first", "second");
    await store.call("write", {
      ...inserts([task(1), task(2)]),
      attachments: [[1, LOG_KIND, SERVER_LOG]],
    });
    await store.call("write", { ...NO_CHANGE, attachments: [[1, LOG_KIND, later]] });
    const ask = { kind: LOG_KIND, ords: [2, 1, 99] };
    const [none, log, missing] = await store.call("attachments", ask);
    assertEquals([none, missing], [null, null]);
    assert(log?.includes("first") && log.includes("second"), `one log has both: ${log}`);
    assertEquals(await (await open()).store.call("attachments", ask), [null, log, null]);
  },

  async "attachments of several kinds are kept apart, and a kind that is not a log is joined"(
    { open },
  ) {
    const { store } = await open();
    const kind = ATTACHMENT_KINDS.length;
    await store.call("write", {
      ...inserts([task(1), task(2)]),
      attachments: [[1, LOG_KIND, SERVER_LOG], [1, kind, "a\0"], [2, kind + 1, "other"]],
    });
    await store.call("write", { ...NO_CHANGE, attachments: [[1, kind, "\ud800b"]] });
    const read = (kind: number) => store.call("attachments", { kind, ords: [1, 2] });
    assertEquals(await read(LOG_KIND), [SERVER_LOG, null]);
    assertEquals(await read(kind), ["a\0\ud800b", null]);
    assertEquals(await read(kind + 1), [null, "other"]);
  },

  async "settings are kept, replaced and dropped"({ open }) {
    const { store } = await open();
    await store.call("write", { ...NO_CHANGE, settings: [["a", "1"], ["b", "2"], ["c", "3"]] });
    await store.call("write", { ...NO_CHANGE, settings: [["b", null], ["c", "4"], ["x", null]] });
    assertEquals(new Map((await open()).opened.settings), new Map([["a", "1"], ["c", "4"]]));
  },

  async "the outbox numbers its rows, keeps them until they are published, and uses no number twice"(
    { open },
  ) {
    const { store } = await open();
    const rows = (...bodies: string[]) => bodies.map((body) => ["to", body] as const);
    await store.call("write", { ...NO_CHANGE, outbox: rows("a", "b") });
    await store.call("write", { ...NO_CHANGE, outbox: rows("c") });
    const [a, b, c] = await outboxOf(store);
    assertEquals([a, b, c].map((row) => row?.body), ["a", "b", "c"]);
    assert(a!.n < b!.n && b!.n < c!.n, "numbers rise");
    const size = { limit: 2, maxChars: 1e6 };
    assertEquals(await store.call("outbox", { after: a!.n, ...size }), [b!, c!]);
    assertEquals(await store.call("outbox", { after: 0, ...size }), [a!, b!]);
    const small = await store.call("outbox", { after: 0, limit: 9, maxChars: 1 });
    assertEquals(small, [a!], "the first row always comes");
    await store.call("write", { ...NO_CHANGE, published: [a!.n, c!.n, 12345] });
    assertEquals(await outboxOf(store), [b!]);
    await store.call("write", { ...NO_CHANGE, published: [b!.n] });
    const next = (await open()).store;
    await next.call("write", { ...NO_CHANGE, outbox: rows("d") });
    const [d, ...more] = await outboxOf(next);
    assertEquals([d?.body, more], ["d", []]);
    assert(d!.n > c!.n, "the number of a row that was published is not used again");
  },

  async "a sweep drops what was kept long enough, with its attachments; open and held tasks stay"(
    { open },
  ) {
    const { store, sweeper } = await open();
    const old = NOW - DEFAULT_RULES.keepMs - 1;
    const tasks = [
      completed(1, { finishedAt: old }),
      completed(2, { finishedAt: old }),
      completed(3),
      completed(4, { dropAt: NOW - 1 }),
      completed(5, { finishedAt: old, dropAt: NOW + 60_000 }),
      task(6, { createdAt: old, runAt: old }),
      completed(7, { finishedAt: old, status: 4, result: null, error: "{}" }),
    ];
    await store.call("write", {
      ...inserts(tasks),
      attachments: [[1, LOG_KIND, SERVER_LOG], [3, LOG_KIND, SERVER_LOG]],
    });
    const held = { version: 1, ords: () => [2] };
    const removed = [0, 0, 0, 0, 0, 0, 0];
    for (let more = true; more;) {
      const swept = await sweeper.sweep(NOW, held);
      swept.removed.forEach((count, status) => removed[status]! += count);
      more = swept.more;
    }
    assertEquals(removed, [0, 0, 0, 2, 1, 0, 0]);
    assertEquals(ords(await allTasks(store)), [2, 3, 5, 6]);
    assertEquals(await store.call("attachments", { kind: LOG_KIND, ords: [1, 3] }), [
      null,
      SERVER_LOG,
    ]);
    assertEquals((await countsOf(await open())).counts, [1, 0, 0, 3, 0, 0, 0]);
  },

  async "closing answers all requests before it, twice is once, and later ones are refused"(
    { open },
  ) {
    const { store } = await open();
    const written = store.call("write", inserts([task(1)]));
    const read = store.call("find", { ids: [task(1).id] });
    await Promise.all([store.close(), store.close()]);
    assertEquals([await written, await read], [null, [task(1)]]);
    await assertRejects(() => store.call("find", { ids: [] }), StoreError);
    assertEquals(await find((await open()).store, [task(1)]), [task(1)]);
  },

  async "the records that a sweep must not drop can change between two sweeps"({ open }) {
    const { store, sweeper } = await open();
    const finishedAt = NOW - DEFAULT_RULES.keepMs - 1;
    await store.call("write", inserts([1, 2, 3].map((ord) => completed(ord, { finishedAt }))));
    await sweepAll(sweeper, { version: 1, ords: () => [1, 2, 3] });
    assertEquals(ords(await allTasks(store)), [1, 2, 3]);
    await sweepAll(sweeper, { version: 2, ords: () => [2] });
    assertEquals(ords(await allTasks(store)), [2]);
    await sweepAll(sweeper, HELD);
    assertEquals(ords(await allTasks(store)), []);
  },
};

async function sweepAll(
  sweeper: Awaited<ReturnType<Parameters<StoreTest>[0]["open"]>>["sweeper"],
  held: Parameters<typeof sweeper.sweep>[1],
): Promise<void> {
  // A sweep looks at a bounded number of rows, and another goes on from there.
  for (let i = 0; i < 3; i++) while ((await sweeper.sweep(NOW, held)).more);
}
