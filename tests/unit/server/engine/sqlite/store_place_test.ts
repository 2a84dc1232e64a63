/** A store, its log and its name: a log of another store is refused, and a file that is lost or replaced is noticed. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { delay } from "@std/async/delay";
import { ClientError } from "../../../../../net/client_error.ts";
import { MainCopy } from "../../../../../server/engine/sqlite/file/main_copy.ts";
import { FaultError } from "../../../../../server/engine/sqlite/file/sqlite_fault.ts";
import {
  TaskFile,
  type TaskFileOptions,
} from "../../../../../server/engine/sqlite/file/task_file.ts";
import {
  ANY_TASK,
  inserts,
  NOW,
  ords,
  PLENTY,
  task,
  withPath,
} from "../../../../contract/store_rows.ts";

/** Longer than the time between two looks of the server at the names of its files. */
const NOTICED_MS = 50;

function open(path: string, more: Partial<TaskFileOptions> = {}): TaskFile {
  return new TaskFile({ path, durability: "full", now: NOW, ...more });
}

function write(file: TaskFile, from: number, count = 1, payload?: string): void {
  const tasks = Array.from(
    { length: count },
    (_, i) => task(from + i, payload === undefined ? {} : { payload }),
  );
  file.answer("write", inserts(tasks));
  file.tidy();
}

function tasksOf(file: TaskFile): number[] {
  const ask = { ord: 0, oldestFirst: true, statuses: [], ...ANY_TASK, ...PLENTY };
  return ords(file.answer("list", ask).tasks);
}

function tasksIn(path: string): number[] {
  const file = open(path);
  try {
    return tasksOf(file);
  } finally {
    file.close();
  }
}

/** As a reader of a backup gets it. */
function backUp(file: TaskFile, to: string, between: (at: number) => void = () => {}): void {
  const { bytes } = file.answer("backupBegin", null);
  using copy = Deno.openSync(to, { create: true, write: true, truncate: true });
  for (let at = 0; at < bytes;) {
    between(at);
    const piece = file.answer("backupRead", { at, bytes: Math.min(8192, bytes - at) });
    file.tidy();
    for (let left = piece; left.length > 0;) left = left.subarray(copy.writeSync(left));
    at += piece.length;
  }
  file.answer("backupEnd", null);
}

/** What kill -9 leaves of `path` under another name. */
function crashed(path: string, to: string): void {
  Deno.copyFileSync(path, to);
  Deno.copyFileSync(`${path}-wal`, `${to}-wal`);
}

function refused(path: string, text: string): string {
  const error = assertThrows(() => open(path), ClientError, text);
  assert(error.hint, error.message);
  return error.hint;
}

Deno.test("a backup beside the log of a later state is refused, and opened once the log is moved away as the message says", () =>
  withPath(async (path) => {
    const [backup, dead] = [`${path}.backup`, `${path}.dead`];
    const file = open(path);
    write(file, 1, 30);
    backUp(file, backup);
    write(file, 31, 5);
    crashed(path, dead);
    file.close();
    Deno.copyFileSync(backup, dead);
    const hint = refused(dead, "belongs to another file, or to another state");
    const [, cure = ""] = /: (mv '.*' '.*')$/.exec(hint) ?? [];
    const { success } = await new Deno.Command("sh", { args: ["-c", cure] }).output();
    assert(success, hint);
    assertEquals(tasksIn(dead), Array.from({ length: 30 }, (_, i) => i + 1));
  }));

Deno.test("a file from before the last start, or of another store, is refused beside a log; its own is not", () =>
  withPath((path) => {
    const [old, dead, other] = [`${path}.old`, `${path}.dead`, `${path}.other`];
    let file = open(path);
    write(file, 1, 3);
    file.close();
    Deno.copyFileSync(path, old);
    file = open(path);
    write(file, 4);
    crashed(path, dead);
    assertEquals(tasksIn(dead), [1, 2, 3, 4]);
    crashed(path, dead);
    Deno.copyFileSync(old, dead);
    refused(dead, "belongs to another file");
    const stranger = open(other);
    write(stranger, 1);
    stranger.close();
    Deno.copyFileSync(other, dead);
    refused(dead, "belongs to another file");
    file.close();
  }));

Deno.test("a file of a version without marks is used, with its log, and has marks from then on", () =>
  withPath((path) => {
    const [old, dead] = [`${path}.old`, `${path}.dead`];
    open(path).close();
    const db = new DatabaseSync(path);
    db.exec("PRAGMA default_cache_size = 0");
    db.close();
    Deno.copyFileSync(path, old);
    let file = open(path);
    write(file, 1, 3);
    crashed(path, dead);
    file.close();
    assertEquals(tasksIn(dead), [1, 2, 3]);
    file = open(path);
    write(file, 4);
    crashed(path, dead);
    write(file, 5);
    file.close();
    assertEquals(tasksIn(dead), [1, 2, 3, 4]);
    file = open(path);
    write(file, 6);
    crashed(path, dead);
    file.close();
    Deno.copyFileSync(old, dead);
    refused(dead, "belongs to another file");
  }));

Deno.test("a journal that sd never makes is refused, since it would be played back", () =>
  withPath((path) => {
    open(path).close();
    Deno.writeTextFileSync(`${path}-journal`, "of another file");
    refused(path, "-journal is beside it");
    Deno.writeTextFileSync(`${path}-journal`, "");
    Deno.writeTextFileSync(`${path}-shm`, "left over");
    assertEquals(tasksIn(path), []);
  }));

/** Ways to lose the file while a server uses it; a backup still has all earlier commits. */
const LOSSES: readonly [name: string, text: string, lose: (path: string) => void][] = [
  ["removed", "was removed", (path) => Deno.removeSync(path)],
  ["renamed", "was removed", (path) => Deno.renameSync(path, `${path}.away`)],
  ["replaced by rename", "was replaced", (path) => {
    Deno.copyFileSync(path, `${path}.copy`);
    Deno.renameSync(`${path}.copy`, path);
  }],
  ["gone with its folder", "was removed", (path) => {
    Deno.renameSync(path.replace(/\/[^/]*$/, ""), path.replace(/\/[^/]*$/, ".away"));
  }],
  ["beside a log that was replaced", "-wal was replaced", (path) => {
    Deno.copyFileSync(`${path}-wal`, `${path}-wal.copy`);
    Deno.renameSync(`${path}-wal.copy`, `${path}-wal`);
  }],
];

for (const [name, text, lose] of LOSSES) {
  Deno.test({
    name: `a file ${name} under a server gets no more commits, and a backup has all earlier ones`,
    ignore: Deno.build.os === "windows",
    fn: () =>
      withPath(async (path) => {
        Deno.mkdirSync(`${path}.folder`);
        const own = `${path}.folder/sd.db`;
        const file = open(own);
        write(file, 1, 3);
        lose(own);
        await delay(NOTICED_MS);
        const error = assertThrows(() => write(file, 4), FaultError, text);
        assertEquals(error.fault, "io");
        assert(error.message.includes("sd backup FILE"), error.message);
        backUp(file, `${path}.backup`);
        file.close();
        assertEquals(tasksIn(`${path}.backup`), [1, 2, 3]);
      }),
  });
}

Deno.test({
  name: "a file that is put back while a server uses it is used again",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withPath(async (path) => {
      const file = open(path);
      write(file, 1);
      Deno.renameSync(path, `${path}.away`);
      await delay(NOTICED_MS);
      assertThrows(() => write(file, 2), FaultError, "was removed");
      Deno.renameSync(`${path}.away`, path);
      write(file, 3);
      file.close();
      assertEquals(tasksIn(path), [1, 3]);
    }),
});

Deno.test("a file that is overwritten while a server uses it gets no more commits, and is not changed", () =>
  withPath(async (path) => {
    const backup = `${path}.backup`;
    const file = open(path);
    write(file, 1, 5);
    backUp(file, backup);
    write(file, 6, 50);
    Deno.writeFileSync(path, Deno.readFileSync(backup));
    await delay(NOTICED_MS);
    assertThrows(() => write(file, 100), FaultError, "was overwritten by another program");
    assertThrows(() => file.answer("backupBegin", null), FaultError, "was overwritten");
    file.close();
    assertEquals(Deno.readFileSync(path), Deno.readFileSync(backup));
    refused(path, "belongs to another file");
    Deno.removeSync(`${path}-wal`);
    assertEquals(tasksIn(path), [1, 2, 3, 4, 5]);
  }));

Deno.test({
  name: "a log that is removed while a server uses it is made again without loss",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withPath(async (path) => {
      const file = open(path);
      write(file, 1, 3);
      Deno.removeSync(`${path}-wal`);
      await delay(NOTICED_MS);
      write(file, 4);
      assertEquals(file.takeNotes().length, 1);
      crashed(path, `${path}.dead`);
      file.close();
      assertEquals(tasksIn(`${path}.dead`), [1, 2, 3, 4]);
    }),
});

Deno.test({
  name: "a store is found with its log by a link and by its own path",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withPath((path) => {
      const dead = `${path}.dead`;
      const file = open(path);
      write(file, 1, 3);
      crashed(path, dead);
      file.close();
      Deno.symlinkSync(dead, `${path}.link`);
      assertEquals(tasksIn(`${path}.link`), [1, 2, 3]);
      Deno.copyFileSync(path, dead);
      Deno.writeFileSync(`${dead}-wal`, new Uint8Array(0));
      assertEquals(tasksIn(`${path}.link`), [1, 2, 3]);
    }),
});

/** Tasks of 4,000 characters until the log has been moved, and the greatest length of it in bytes. */
function fill(
  file: TaskFile,
  path: string,
  { from, commits }: { from: number; commits: number },
): number {
  let most = 0;
  for (let commit = 0; commit < commits; commit++) {
    write(file, from + 50 * commit, 50, "x".repeat(4000));
    most = Math.max(most, Deno.statSync(`${path}-wal`).size);
  }
  return most;
}

const MIB = 1024 * 1024;

Deno.test("a backup that is read slowly is whole, and the log stays bounded meanwhile", () =>
  withPath((path) => {
    const backup = `${path}.backup`;
    const file = open(path, { maxLogBytesInBackup: 2 * MIB });
    fill(file, path, { from: 1, commits: 60 });
    let most = 0;
    backUp(file, backup, (at) => {
      // Within the first MiB, the server takes 100 MB.
      if (at === 0 || at > MIB || at % (64 * 1024) !== 0) return;
      most = Math.max(most, fill(file, path, { from: 10_000 + at, commits: 30 }));
    });
    assert(most < 24 * MIB, `the log had ${most} bytes`);
    file.close();
    assertEquals(tasksIn(backup), Array.from({ length: 1000 }, (_, i) => i + 1));
    assertEquals([...Deno.readDirSync(path.replace(/\/[^/]*$/, ""))].length, 2);
  }));

Deno.test("a backup whose rest cannot be set aside ends with the reason, and holds nothing up", () =>
  withPath((path) => {
    open(path).close();
    using raw = Deno.openSync(path, { read: true });
    const copy = new MainCopy({ raw, path: `${path}.no/folder` });
    assertEquals(copy.read(0, 4096).length, 4096);
    assert(copy.holdsMain);
    copy.saveSlice();
    assert(!copy.holdsMain);
    assertThrows(() => copy.read(4096, 4096), FaultError, "read so slowly");
    copy.close();
  }));
