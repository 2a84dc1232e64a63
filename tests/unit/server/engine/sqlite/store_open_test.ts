/** Opening a store: made whole or not at all, used by one server at a time, and refused with the cure. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { gunzipSync } from "node:zlib";
import { ClientError } from "../../../../../net/client_error.ts";
import { MIGRATIONS } from "../../../../../server/engine/sqlite/file/schema.ts";
import { TaskFile } from "../../../../../server/engine/sqlite/file/task_file.ts";
import {
  completed,
  inserts,
  NOW,
  open,
  task,
  withPath,
  withStore,
} from "../../../../contract/store_rows.ts";

/** Asserts that opening `path` fails with a message that contains `text`, and with a hint. */
async function assertRefused(path: string, text: string): Promise<ClientError> {
  const error = await assertRejects(() => open(path, { durability: "full" }), ClientError, text);
  assert(error.message.includes(path), error.message);
  assert((error.hint ?? "").length > 10, `no hint: ${error.message}`);
  return error;
}

/** Opens the file in another process with SQLite alone; resolves with the result. */
async function askAsStranger(path: string): Promise<string> {
  const script = `import { DatabaseSync } from "node:sqlite";
import { gunzipSync } from "node:zlib";
    try {
      const db = new DatabaseSync(Deno.args[0], { timeout: 0 });
      console.log(db.prepare("SELECT count(*) AS count FROM tasks").get().count);
    } catch (error) { console.log(error.message) }`;
  const file = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(file, script);
    const args = ["run", "--quiet", "--allow-read", "--allow-write", "--no-prompt", file, path];
    const { stdout } = await new Deno.Command(Deno.execPath(), { args }).output();
    return new TextDecoder().decode(stdout).trim();
  } finally {
    await Deno.remove(file);
  }
}

/** Whether this user is root. */
function mayWriteEverything(): boolean {
  const file = Deno.makeTempFileSync();
  try {
    Deno.chmodSync(file, 0o400);
    Deno.openSync(file, { write: true }).close();
    return true;
  } catch {
    return false;
  } finally {
    Deno.removeSync(file);
  }
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

Deno.test("a new store is made with its folder, for this user alone, and leaves nothing beside it", () =>
  withPath(async (path) => {
    const folder = `${path}.d/inner`;
    await withStore(`${folder}/sd.db`, (_, opened) => {
      assertEquals(opened, {
        counts: [0, 0, 0, 0, 0, 0, 0],
        next: 1,
        lanes: [],
        queuedOps: [],
        settings: [],
      });
      // No -shm: the lock is exclusive from the first look at the log on.
      assert(names(folder).every((name) => ["sd.db", "sd.db-wal"].includes(name)));
    });
    assertEquals(names(folder), ["sd.db"]);
    if (Deno.build.os === "windows") return;
    assertEquals(Deno.statSync(folder).mode! & 0o777, 0o700);
    assertEquals(Deno.statSync(`${folder}/sd.db`).mode! & 0o777, 0o600);
  }));

Deno.test("the unfinished store of a dead process is removed, that of a live one is not", () =>
  withPath(async (path) => {
    const [old, fresh] = [`${path}.new-1-old`, `${path}.new-2-fresh`];
    for (const [name, time] of [[old, NOW - 61_000], [fresh, NOW - 1000]] as const) {
      await Deno.writeTextFile(name, "half");
      await Deno.utime(name, new Date(time), new Date(time));
    }
    await withStore(path, () => {});
    assertEquals(names(path.replace(/\/sd\.db$/, "")), ["sd.db", "sd.db.new-2-fresh"]);
  }));

Deno.test("only one server can use a file: another server or program is refused", () =>
  withPath((path) =>
    withStore(path, async (store) => {
      await store.call("write", inserts([task(1)]));
      assertEquals(await askAsStranger(path), "database is locked");
      await assertRefused(path, "another server uses it");
    })
  ));

Deno.test("the lock is held also while a backup reads the file, and after it", async () => {
  await withPath(async (path) => {
    await withStore(path, async (store) => {
      await store.call("backupBegin", null);
      await store.call("backupRead", { at: 0, bytes: 4096 });
      assertEquals(await askAsStranger(path), "database is locked");
      await store.call("backupEnd", null);
      assertEquals(await askAsStranger(path), "database is locked");
    });
    assertEquals(await askAsStranger(path), "0");
  });
});

Deno.test("if two servers make the same store at once, one gets it and the other is refused", () =>
  withPath(async (path) => {
    const both = await Promise.allSettled([open(path), open(path)]);
    const opened = both.filter((one) => one.status === "fulfilled");
    for (const { value } of opened) await value.store.close();
    assertEquals(opened.length, 1);
    const refused = both.find((one) => one.status === "rejected");
    assert(refused?.reason instanceof ClientError, String(refused?.reason));
  }));

Deno.test("a file that is not a store of sd is refused and not changed", () =>
  withPath(async (path) => {
    const text = "# my notes, much longer than the header of a database\n".repeat(10);
    await Deno.writeTextFile(path, text);
    await assertRefused(path, "not a store of sd");
    assertEquals(await Deno.readTextFile(path), text);
    await Deno.writeTextFile(path, "short");
    await assertRefused(path, "not a store of sd");
    await Deno.remove(path);
    const db = new DatabaseSync(path);
    db.exec("CREATE TABLE tasks (ord); INSERT INTO tasks VALUES (1)");
    db.close();
    const before = await Deno.readFile(path);
    await assertRefused(path, "a database of another program");
    assertEquals(await Deno.readFile(path), before);
    await Deno.remove(path);
    await Deno.mkdir(path);
    await assertRefused(path, "it is a directory");
  }));

Deno.test("an empty file, and a log without its file, are not taken for an empty store", () =>
  withPath(async (path) => {
    await Deno.writeTextFile(path, "");
    await assertRefused(path, "it is empty");
    assertEquals((await Deno.stat(path)).size, 0);
    await Deno.remove(path);
    await Deno.writeTextFile(`${path}-wal`, "log");
    await assertRefused(path, "it is gone");
    assertEquals(await Deno.readTextFile(`${path}-wal`), "log");
  }));

Deno.test("a folder that cannot be made is refused", () =>
  withPath(async (path) => {
    await Deno.writeTextFile(path, "a file");
    await assertRefused(`${path}/below/sd.db`, "");
  }));

Deno.test({
  name: "a file that may not be written is refused",
  ignore: Deno.build.os === "windows" || mayWriteEverything(),
  fn: () =>
    withPath(async (path) => {
      await withStore(path, () => {});
      await Deno.chmod(path, 0o400);
      await assertRefused(path, "cannot read and write");
    }),
});

Deno.test("a file of a newer sd is refused", () =>
  withPath(async (path) => {
    await withStore(path, () => {});
    const db = new DatabaseSync(path);
    db.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`);
    db.close();
    await assertRefused(path, "a newer sd made it");
  }));

/** The version of the file at `path`. */
function versionOf(path: string): unknown {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    return db.prepare("PRAGMA user_version").get()!.user_version;
  } finally {
    db.close();
  }
}

Deno.test("a file of version 1 is migrated, and its records are sound", () =>
  withPath((path) => {
    const first = new TaskFile({ path, durability: "full", now: NOW });
    first.answer("write", inserts([task(1), completed(2, { error: '{"x":1}' })]));
    first.close();
    const db = new DatabaseSync(path);
    db.exec(
      `ALTER TABLE tasks DROP COLUMN trail; DROP TABLE logs; DROP TABLE attachments; DROP TABLE outbox;
      PRAGMA user_version = 1`,
    );
    // The sum that version 1 wrote for this state.
    const { stateSum } = db.prepare("SELECT stateSum FROM tasks WHERE ord = 2").get()!;
    assertEquals(stateSum, 2186230373);
    db.close();
    const second = new TaskFile({ path, durability: "full", now: NOW });
    const found = second.answer("find", { ids: [task(1).id] });
    assertEquals(found, [task(1)]);
    second.answer("write", { ...inserts([task(3)]), attachments: [[1, 0, "[]"]] });
    assertEquals(second.answer("attachments", { kind: 0, ords: [1, 2] }), ["[]", null]);
    second.close();
    assertEquals(versionOf(path), MIGRATIONS.length);
  }));

Deno.test("a file that version 2 made is opened with all that is in it, and keeps attachments and an outbox from then on", () =>
  withPath(async (path) => {
    const packed = await Deno.readFile(new URL("./files/version_2.db.gz", import.meta.url));
    await Deno.writeFile(path, gunzipSync(packed));
    assertEquals(versionOf(path), 2);
    const file = new TaskFile({ path, durability: "full", now: NOW });
    assertEquals(file.opened.counts, [2, 1, 0, 1, 1, 0, 0]);
    assertEquals(file.opened.settings, [["pause:a", "1"]]);
    const ids = ["task-2", "delayed", "done", "failed\0"];
    const found = file.answer("find", { ids });
    assertEquals(found.map((row) => row?.id), ids);
    assertEquals(file.answer("attachments", { kind: 0, ords: [4, 1, 2] }), [
      '[[1,1750000000000,1,0,1,"hello"]]',
      '[[1,1750000000000,1,0,1,"again"]]',
      null,
    ]);
    file.answer("write", {
      ...inserts([task(6)]),
      attachments: [[4, 1, "more"]],
      outbox: [["to", "end"]],
    });
    assertEquals(file.answer("attachments", { kind: 1, ords: [4] }), ["more"]);
    assertEquals(file.answer("outbox", { after: 0, limit: 9, maxChars: 100 }), [
      { n: 1, route: "to", body: "end" },
    ]);
    file.close();
    assertEquals(versionOf(path), MIGRATIONS.length);
    // As the sd of version 2 sees it.
    const older = MIGRATIONS.slice(0, 2);
    const error = assertThrows(() =>
      new TaskFile({ path, durability: "full", now: NOW, migrations: older })
    );
    assert(String(error).includes("a newer sd made it (version 3 of the file, this sd knows 2)"));
  }));

Deno.test("a damaged attachment and a damaged row of the outbox are reported and left out", () =>
  withPath((path) => {
    const first = new TaskFile({ path, durability: "full", now: NOW });
    first.answer("write", {
      ...inserts([task(1)]),
      attachments: [[1, 0, "[]"], [1, 1, "abc"]],
      outbox: [["to", "one"], ["to", "two"], ["to", "three"]],
    });
    first.close();
    const db = new DatabaseSync(path);
    db.exec("UPDATE attachments SET text = 'abd'; UPDATE outbox SET body = 'ONE' WHERE n = 1");
    db.close();
    const second = new TaskFile({ path, durability: "full", now: NOW });
    assertEquals(second.answer("attachments", { kind: 1, ords: [1] }), [null]);
    assertEquals(second.answer("attachments", { kind: 0, ords: [1] }), ["[]"]);
    const outbox = second.answer("outbox", { after: 0, limit: 1, maxChars: 100 });
    assertEquals(outbox.map(({ body }) => body), ["two"]);
    assertEquals(second.takeDamaged().map(({ message }) => message), [
      "the attachment (kind 1) of task number 1 is damaged: it is not what was written",
      "row 1 of the outbox is damaged, and is not published: it is not what was written",
    ]);
    second.close();
  }));

Deno.test("a file is migrated to a newer version, each migration wholly or not at all", () =>
  withPath((path) => {
    const first = new TaskFile({ path, durability: "full", now: NOW });
    first.answer("write", inserts([task(1), completed(2)]));
    first.close();
    const openWith = (...migrations: string[]) =>
      new TaskFile({
        path,
        durability: "full",
        now: NOW,
        migrations: [...MIGRATIONS, ...migrations],
      });
    const good = "CREATE TABLE more (a); INSERT INTO more SELECT ord FROM tasks";
    let failed = false;
    try {
      openWith("CREATE TABLE half (a); INSERT INTO nothing VALUES (1)");
    } catch {
      failed = true;
    }
    assert(failed);
    assertEquals(versionOf(path), MIGRATIONS.length);
    const second = openWith(good, "DROP TABLE more");
    assertEquals(second.answer("find", { ids: [task(1).id] }), [task(1)]);
    second.close();
    assertEquals(versionOf(path), MIGRATIONS.length + 2);
  }));

Deno.test("a store whose migrations are all new is made at their version at once", () =>
  withPath((path) => {
    const migrations = [...MIGRATIONS, "CREATE TABLE more (a)"];
    new TaskFile({ path, durability: "full", now: NOW, migrations }).close();
    assertEquals(versionOf(path), MIGRATIONS.length + 1);
  }));
