/** The table of logs: a log is read as it was written, is bounded, and is dropped with its task. */

import { assertEquals } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { MAX_LOG_ENTRIES } from "../../../../../protocol/limits.ts";
import type { DamagedRow } from "../../../../../server/engine/sqlite/file/store_message.ts";
import {
  logFromText,
  type LoggedEntry,
  logToText,
  type TaskLog,
} from "../../../../../server/task/task_log.ts";
import {
  completed,
  inserts,
  NO_CHANGE,
  NOW,
  task,
  withPath,
  withStore,
} from "../../../../contract/store_rows.ts";

const entry = (n: number, text = `${n}`): LoggedEntry => (
  { n, at: NOW + n, attempt: 1, retries: 0, level: "debug", text }
);

function many(from: number, count: number): TaskLog {
  return Array.from({ length: count }, (_, i) => entry(from + i));
}

Deno.test("a log is kept with its task in one write, and later output is appended", () =>
  withPath(async (path) => {
    const odd = entry(1, 'U+0000 \0, \ud800, \x1a0000, "quotes", \n, 😀');
    await withStore(path, async (store) => {
      await store.call("write", {
        ...inserts([task(1), task(2)]),
        attachments: [[1, 0, logToText([odd])]],
      });
      await store.call("write", { ...NO_CHANGE, attachments: [[1, 0, logToText(many(2, 3))]] });
    });
    await withStore(path, async (store) => {
      const [first, second] = await store.call("attachments", { kind: 0, ords: [1, 2] });
      assertEquals(logFromText(first!), [odd, ...many(2, 3)]);
      assertEquals(second, null);
    });
  }));

Deno.test("the newest entries of a growing log are kept", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      for (const from of [1, 601, 1201]) {
        await store.call("write", {
          ...NO_CHANGE,
          attachments: [[1, 0, logToText(many(from, 600))]],
        });
      }
      const [log] = await store.call("attachments", { kind: 0, ords: [1] });
      assertEquals(logFromText(log!), many(1801 - MAX_LOG_ENTRIES, MAX_LOG_ENTRIES));
    })
  ));

Deno.test("a log is dropped with its task, alone or with its neighbours", () =>
  withPath(async (path) => {
    await withStore(path, async (store) => {
      const old = { finishedAt: 1 };
      await store.call("write", {
        ...inserts([
          completed(1, old),
          completed(2, old),
          task(3),
          completed(4, { dropAt: NOW }),
          completed(5),
        ]),
        attachments: [1, 2, 3, 4, 5].map((ord) => [ord, 0, logToText([entry(1)])] as const),
      });
      await store.call("sweep", {
        now: NOW,
        keepMs: 1000,
        maxKept: 1e9,
        maxBytes: 1e12,
        held: [],
        rows: 1000,
      });
    });
    const db = new DatabaseSync(path, { readOnly: true });
    const rows = db.prepare("SELECT ord FROM logs ORDER BY ord").all();
    db.close();
    assertEquals(rows.map(({ ord }) => ord), [3, 5]);
  }));

Deno.test("a damaged log is reported and treated as missing; its task is sound and can log more", () =>
  withPath(async (path) => {
    await withStore(path, (store) =>
      store.call("write", {
        ...inserts([task(1)]),
        attachments: [[1, 0, logToText([entry(1)])]],
      }));
    const db = new DatabaseSync(path);
    db.exec("UPDATE logs SET log = replace(log, '1', '2')");
    db.close();
    const told: string[] = [];
    const onDamaged = (rows: readonly DamagedRow[]) => {
      told.push(...rows.map(({ message }) => message));
    };
    await withStore(path, async (store) => {
      assertEquals(await store.call("attachments", { kind: 0, ords: [1] }), [null]);
      assertEquals(await store.call("find", { ids: [task(1).id] }), [task(1)]);
      await store.call("write", { ...NO_CHANGE, attachments: [[1, 0, logToText([entry(2)])]] });
      const [log] = await store.call("attachments", { kind: 0, ords: [1] });
      assertEquals(logFromText(log!), [entry(2)]);
    }, { onDamaged });
    assertEquals(told, ["the log of task number 1 is damaged: it is not what was written"]);
  }));
