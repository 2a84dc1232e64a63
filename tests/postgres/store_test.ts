/** The store of a PostgreSQL engine: what it keeps, in which order, and what becomes of a commit whose answer is lost. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import { LOG_KIND, type StoredTask, StoreError } from "../../server/engine/journaled/task_store.ts";
import { AnswerLost } from "../../server/engine/postgres/faults.ts";
import { logFromText, logToText } from "../../server/task/task_log.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { OwnSchema, withPostgres } from "../kit/services.ts";
import { insertOf, taskRow, updateOf, writeOf } from "./rows.ts";
import { takeLead, type TestLead } from "./test_lead.ts";

const PAGE = { limit: 100, maxChars: 1e9 };

function byIds({ store }: TestLead, ...ids: string[]): Promise<(StoredTask | null)[]> {
  return store.call("find", { ids });
}

const ODD = [
  "",
  "\0",
  "a\0b",
  "\x1a",
  "\x1a0000",
  "\ud800",
  "x\udfff y",
  "😀",
  `"`,
  "\\",
  `\\"`,
  "'",
  "{}",
  "{,}",
  "NULL",
  "null",
  "$1",
  "\n\r\t",
  "\u2028",
  "\ufffd",
  "\uffff",
  "é",
  "e\u0301",
  "%s",
  "--",
  ";drop schema",
];

Deno.test(
  withPostgres("texts of any characters come back as they were, and are told apart"),
  async () => {
    await using schema = new OwnSchema();
    const lead = await takeLead(schema.url);
    const { store, opened: { next } } = lead;
    const rows = ODD.map((text, i) =>
      taskRow(next + i, {
        id: `id ${text}`,
        op: text,
        key: text,
        payload: text,
        options: text,
        result: text,
        error: text,
        trail: text,
      })
    );
    await store.call(
      "write",
      writeOf({
        inserts: rows.flatMap((row) => insertOf(row.ord, row)),
        settings: ODD.map((text) => [`s${text}`, text]),
        outbox: ODD.map((text) => [text, `b${text}`]),
      }),
    );
    assertEquals(await byIds(lead, ...rows.map(({ id }) => id)), rows);
    for (const row of rows) {
      const { priority, key, op } = row;
      const lane = await store.call("lane", { priority, key, op, seq: 0, ...PAGE });
      assertEquals(lane, [row], JSON.stringify(op));
    }
    const box = await store.call("outbox", { after: 0, ...PAGE });
    assertEquals(
      box.map(({ route, body }) => [route, body]),
      ODD.map((text) => [text, `b${text}`]),
    );
    await store.close();
    const again = await takeLead(schema.url);
    assertEquals(new Map(again.opened.settings), new Map(ODD.map((text) => [`s${text}`, text])));
    assertEquals(again.opened.lanes.length, ODD.length);
    assertEquals(new Set(again.opened.lanes.map(({ key }) => key)), new Set(ODD));
    await again.store.close();
  },
);

Deno.test(
  withPostgres("a write of 1 MiB texts, and one of many rows, come back whole"),
  async () => {
    await using schema = new OwnSchema();
    const lead = await takeLead(schema.url);
    const { store, opened: { next } } = lead;
    const large = `"\\${"\0x".repeat(2 ** 18)}`;
    const rows = Array.from(
      { length: 3000 },
      (_, n) => taskRow(next + n, n % 1000 === 0 ? { payload: large, result: large } : {}),
    );
    await store.call("write", writeOf({ inserts: rows.flatMap((row) => insertOf(row.ord, row)) }));
    assertEquals(await byIds(lead, ...rows.map(({ id }) => id)), rows);
    await store.close();
  },
);

Deno.test(
  withPostgres("requests take effect in the order asked, whatever happens to the connection"),
  async () => {
    await using schema = new OwnSchema();
    const lead = await takeLead(schema.url);
    const { store, session, opened: { next } } = lead;
    const random = new Random(newSeed());
    const wrong: string[] = [];
    const all: Promise<unknown>[] = [];
    for (let n = 0; n < 300; n++) {
      const row = taskRow(next + n);
      all.push(
        byIds(lead, row.id).then(([found]) => {
          if (found !== null) wrong.push(`${n} was seen before`);
        }),
      );
      all.push(
        store.call("write", writeOf({ inserts: insertOf(row.ord), settings: [["n", `${n}`]] })),
      );
      all.push(
        byIds(lead, row.id).then(([found]) => {
          // After a loss it can see the write behind it, too.
          if (found?.status !== 0 && found?.status !== 3) {
            wrong.push(`${n} was not seen after its insert: ${found?.status}`);
          }
        }),
      );
      const done = { ...row, status: 3, result: "1" };
      all.push(store.call("write", writeOf({ updates: updateOf(done, 0) })));
      all.push(
        byIds(lead, row.id).then(([found]) => {
          if (found?.status !== 3) wrong.push(`${n} was not seen after its end`);
        }),
      );
      all.push(
        store.call("list", {
          ord: row.ord - 1,
          oldestFirst: true,
          statuses: [3],
          op: null,
          key: null,
          createdSince: 0,
          ...PAGE,
        })
          .then(({ tasks }) => {
            if (!tasks.some(({ ord }) => ord === row.ord)) wrong.push(`${n} is not in the list`);
          }),
      );
      if (n % 60 === 59) {
        await delay(random.int(0, 40));
        session.reconnect("a test");
      }
    }
    await Promise.all(all);
    assertEquals(wrong, []);
    await store.close();
  },
);

Deno.test(
  withPostgres("a commit whose answer is lost is made once, with all its parts"),
  async () => {
    await using schema = new OwnSchema();
    const lead = await takeLead(schema.url);
    const { store, session, opened: { next } } = lead;
    const seed = newSeed();
    const random = new Random(seed);
    const times = Deno.env.get("SD_LONG") ? 300 : 15;
    const log = (n: number) =>
      logToText([{ n: n + 1, at: n, attempt: 1, retries: 0, level: "info", text: `line ${n}` }]);
    const row = taskRow(next);
    await store.call("write", writeOf({ inserts: insertOf(next) }));
    for (let n = 0; n < times; n++) {
      const writing = store.call(
        "write",
        writeOf({
          inserts: n % 2 === 0 ? insertOf(next + 1 + n) : [],
          updates: n % 3 === 0 ? updateOf({ ...row, attempt: n }, 0) : [],
          attachments: [[next, LOG_KIND, log(n)]],
          settings: [["n", String(n)]],
          outbox: [["route", `body ${n}`]],
        }),
      );
      // Before it, within it, and after it.
      await delay(random.chance(0.5) ? 0 : random.int(0, 6));
      const pid = session.current?.pid;
      if (random.chance(0.5) && pid !== undefined) {
        await schema.sql(`select pg_terminate_backend(${pid})`);
      } else session.reconnect("a test");
      await writing;
    }
    const box = await store.call("outbox", { after: 0, limit: 10_000, maxChars: 1e9 });
    assertEquals(box.map(({ body }) => body), Array.from({ length: times }, (_, n) => `body ${n}`));
    const [text] = await store.call("attachments", { kind: LOG_KIND, ords: [next] });
    assertEquals(
      logFromText(text!).map(({ n }) => n),
      Array.from({ length: times }, (_, n) => n + 1).slice(-1000),
    );
    const { tasks } = await store.call("list", {
      ord: 0,
      oldestFirst: true,
      statuses: [],
      op: null,
      key: null,
      createdSince: 0,
      limit: 2000,
      maxChars: 1e9,
    });
    assertEquals(tasks.length, 1 + Math.ceil(times / 2), `seed ${seed}`);
    assertEquals(await schema.sql("select count(*) from commit"), "1");
    await store.close();
  },
);

Deno.test(
  withPostgres("a commit is made once if its answer is lost after it was made, however often"),
  async () => {
    await using schema = new OwnSchema();
    const lead = await takeLead(schema.url);
    const { store, session, opened: { next } } = lead;
    const query = session.query.bind(session);
    let losses = 0;
    session.query = async (asked) => {
      const rows = await query(asked) as never[];
      if (losses === 0 || !asked.text.startsWith("with fence")) return rows;
      losses--;
      throw new AnswerLost("the answer is lost", true);
    };
    const row = taskRow(next);
    for (const [n, times] of [1, 3, 2].entries()) {
      losses = times;
      const write = store.call(
        "write",
        writeOf({
          inserts: n === 0 ? insertOf(next) : [],
          updates: n > 0 ? updateOf({ ...row, status: n, attempt: n }, n - 1) : [],
          outbox: [["route", `${n}`]],
        }),
      );
      const later = byIds(lead, row.id);
      await write;
      assertEquals([losses, (await later)[0]?.attempt], [0, n]);
    }
    const box = await store.call("outbox", { after: 0, ...PAGE });
    assertEquals(box.map(({ body }) => body), ["0", "1", "2"]);
    await store.close();
  },
);

Deno.test(withPostgres("a write that cannot be made whole is not made, and says so"), async () => {
  await using schema = new OwnSchema();
  const lead = await takeLead(schema.url);
  const { store, opened: { next } } = lead;
  const row = taskRow(next);
  await store.call("write", writeOf({ inserts: insertOf(next) }));
  const wrong = [
    { updates: updateOf({ ...row, status: 3 }, 1) },
    { updates: updateOf({ ...row, ord: next + 9, status: 3 }, 0) },
    { inserts: insertOf(next) },
    { inserts: insertOf(next + 5, { id: row.id }) },
  ];
  for (const part of wrong) {
    const inserts = [...part.inserts ?? [], ...insertOf(next + 1)];
    const write = writeOf({
      ...part,
      inserts,
      settings: [["a", "1"]],
      outbox: [["r", "b"]],
      attachments: [[next, LOG_KIND, "[]"]],
    });
    const later = byIds(lead, "task-0", row.id);
    const error = await assertRejects(() => store.call("write", write), StoreError);
    assertEquals(error.fault, "damaged", error.message);
    assertEquals(await later, [null, row]);
  }
  assertEquals(await byIds(lead, `task-${next + 1}`), [null]);
  assertEquals(await store.call("outbox", { after: 0, ...PAGE }), []);
  assertEquals(await store.call("attachments", { kind: LOG_KIND, ords: [next] }), [null]);
  assertEquals(await schema.sql("select count(*) from setting"), "0");
  await store.call("write", writeOf({ inserts: insertOf(next + 1) }));
  await store.close();
});

Deno.test(
  withPostgres("when another server leads, a write changes nothing, and the store is lost"),
  async () => {
    await using schema = new OwnSchema();
    const old = await takeLead(schema.url);
    const { store, opened: { next } } = old;
    await store.call("write", writeOf({ inserts: insertOf(next) }));
    const young = await takeLead(schema.url);
    assert(young.opened.next > next);
    const write = store.call(
      "write",
      writeOf({ inserts: insertOf(next + 1), outbox: [["r", "b"]] }),
    );
    const read = store.call("find", { ids: ["a"] });
    assertEquals((await assertRejects(() => write, StoreError)).fault, "fenced");
    assertEquals(await store.lost, "another server leads");
    await read.catch(() => {});
    assertEquals(
      (await assertRejects(() => store.call("find", { ids: ["a"] }), StoreError)).fault,
      "fenced",
    );
    await store.close();
    await store.close();
    assertEquals(await byIds(young, `task-${next}`, `task-${next + 1}`), [taskRow(next), null]);
    assertEquals(await young.store.call("outbox", { after: 0, ...PAGE }), []);
    await young.store.close();
  },
);

Deno.test(withPostgres("numbers are taken in blocks before they are used up"), async () => {
  await using schema = new OwnSchema();
  const { store, opened: { next } } = await takeLead(schema.url);
  const far = next + 2 ** 24 - 5;
  await store.call("write", writeOf({ inserts: insertOf(far) }));
  const row = taskRow(far);
  await store.call("write", writeOf({ updates: updateOf({ ...row, seq: far + 2 ** 24 }, 0) }));
  await store.close();
  const again = await takeLead(schema.url);
  assert(again.opened.next > far + 2 ** 24, `${again.opened.next}`);
  await again.store.close();
});

Deno.test(
  withPostgres("a slice whose making is cut off twice is one slice, for the next lead as well"),
  async () => {
    await using schema = new OwnSchema();
    const lead = await takeLead(schema.url, 16);
    const { store, session, opened: { next } } = lead;
    // The first connection makes the slice and waits; the second one waits for the first.
    const slice = `task_${Math.floor(next / 16)}`;
    const making = schema.sql(
      `begin; create table ${slice} (primary key (ord)) inherits (task);
       create table ${slice.replace("task", "attachment")} () inherits (attachment);
       select pg_sleep(0.5); commit`,
    );
    const locked = "select count(*) from pg_locks where relation = 'task'::regclass and mode = " +
      "'ShareUpdateExclusiveLock'";
    while (await schema.sql(locked) === "0") await delay(10);
    const write = store.call("write", writeOf({ inserts: insertOf(next) }));
    await delay(50);
    session.reconnect("a test");
    await write;
    await making;
    await store.close();
    const again = await takeLead(schema.url);
    const row = taskRow(next);
    await again.store.call("write", writeOf({ updates: updateOf({ ...row, status: 3 }, 0) }));
    assertEquals(await byIds(again, row.id), [{ ...row, status: 3 }]);
    await again.store.close();
  },
);

Deno.test(
  withPostgres("a close waits for requests that come while answers are passed on, and for no more"),
  async () => {
    await using schema = new OwnSchema();
    const { store, session, opened: { next } } = await takeLead(schema.url);
    const later: Promise<unknown>[] = [];
    const first = store.call("write", writeOf({}));
    const second = store.call("write", writeOf({ inserts: insertOf(next) }))
      .then(() => later.push(store.call("find", { ids: [] }).catch((error) => error.message)));
    // All by one name, before any of them is answered.
    const ask = { priority: 0, key: null, op: "square", seq: 0, ...PAGE };
    const lanes = Array.from({ length: 20 }, () => store.call("lane", ask));
    await store.close();
    assertEquals(await first, null);
    await second;
    assertEquals((await Promise.all(lanes)).map((rows) => rows.length), Array(20).fill(1));
    assertEquals(await Promise.all(later), ["the store is closed"]);
    assertEquals(session.generation, 1);
  },
);
