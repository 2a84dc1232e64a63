/** Export and import of a whole server between engines; pauses; backups. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Client, connect } from "../../client/client.ts";
import type { SdRecord } from "../../client/transfer.ts";
import { SdError } from "../../protocol/errors.ts";
import { MAX_IMPORT_CHARS } from "../../protocol/limits.ts";
import type { EndedSink } from "../../server/engine/engine.ts";
import { openEngine } from "../../server/engine/open.ts";
import { ImportParts } from "../../server/tcp/client/commands.ts";
import { TestServer } from "../kit/test_server.ts";

const opener = (url: string) => (ended: EndedSink) => openEngine(url, { ended });

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function exported(client: Client): Promise<SdRecord[]> {
  const records: SdRecord[] = [];
  for await (const record of client.exportRecords()) records.push(record);
  return records;
}

const asText = (records: readonly SdRecord[]) =>
  records.map((record) => JSON.stringify(record)).join("\n");

/** Tasks of every kind, some of them final. */
async function fill(client: Client): Promise<void> {
  await client.schedule("square", { n: 3 }, { id: "yearly", cron: "0 0 1 1 *" });
  await client.pauseCron("yearly");
  const done = await client.submit("square", { n: 7 }, { id: "done" });
  await done.result;
  const failed = await client.submit("square", { n: "x" }, { id: "failed" });
  await failed.end;
  // A mebibyte in, and one out.
  const large = await client.submit("echo", { data: "ü".repeat(500_000) }, { id: "large" });
  await large.result;
  await client.submit("echo", {}, { id: "orphan", after: ["failed"], wait: false });
  await client.pause("echo");
  await client.submit("echo", { data: 1 }, { id: "waits", key: "k", limit: 2, rate: "5/1h" });
  await client.submit("echo", {}, { id: "child", after: ["done", "waits"] });
  await client.submit("square", { n: 2 }, { id: "later", delay: 3_600_000 });
}

async function carry(from: string, to: string): Promise<void> {
  await using old = await TestServer.start({ workers: 1, engine: opener(from) });
  await using source = await connect(old.address);
  await fill(source);
  const records = await exported(source);
  await using fresh = await TestServer.start({ workers: 1, engine: opener(to) });
  await using target = await connect(fresh.address);
  const text = asText(records);
  const nothing = { imported: 0, existed: 0, conflicts: [], orphans: [], bad: [] };
  assertEquals(await target.importText(text), { ...nothing, imported: records.length });
  assertEquals(asText(await exported(target)), text);
  // Imported again, and back into the first server: no task changes.
  assertEquals(await target.importText(text), { ...nothing, existed: records.length });
  assertEquals(await source.importText(text), { ...nothing, existed: records.length });
  assertEquals(asText(await exported(target)), text);
  const statuses = Object.fromEntries(
    (await target.list()).tasks.map(({ task_id, status }) => [task_id, status]),
  );
  assertEquals(statuses, {
    done: "completed",
    failed: "failed",
    large: "completed",
    orphan: "cancelled",
    waits: "queued",
    child: "delayed",
    later: "delayed",
  });
  assertEquals(await target.get("large"), await source.get("large"));
  assertEquals(await target.crons(), await source.crons());
  assertEquals((await target.why("waits")).code, "paused");
  // The task goes on there.
  await target.resume("echo");
  assertEquals(await target.end("child"), {
    task_id: "child",
    status: "completed",
    result: { done: 49, waits: 1 },
  });
}

Deno.test("an export of the memory engine is imported into sqlite whole, each task once", () =>
  withFolder(async (folder) => {
    await carry("memory:", `sqlite:${folder}/new.db`);
  }));

Deno.test("an export of sqlite is imported into the memory engine whole, each task once", () =>
  withFolder(async (folder) => {
    await carry(`sqlite:${folder}/old.db`, "memory:");
  }));

Deno.test("ten thousand tasks are exported in pages, each once and in order", async () => {
  await using old = await TestServer.start({ workers: 0 });
  await using source = await connect(old.address);
  await source.pause();
  const ids = Array.from({ length: 10_000 }, (_, i) => `t-${i}`);
  await Promise.all(ids.map((id) => source.submit("square", { n: 1 }, { id, wait: false })));
  const records = await exported(source);
  assertEquals(records.slice(1).map(({ id }) => id), ids);
});

Deno.test("an import reports the records that it refuses, and takes the rest", async () => {
  await using server = await TestServer.start({ workers: 0 });
  await using client = await connect(server.address);
  const task = (id: string, more = {}) =>
    JSON.stringify({
      sd: 1,
      id,
      op: "square",
      status: "queued",
      submit: { op: "square", n: 1 },
      created_at: "2030-01-01T00:00:00.000Z",
      ...more,
    });
  const lines = [
    task("a"),
    task("a", { submit: { op: "square", n: 2 } }),
    "{",
    "",
    task("b", { after: ["nobody"] }),
    task("c", { after: ["a"] }),
    '{"sd":1,"setting":"secret","value":"x"}',
    '{"sd":1,"setting":"paused/all","value":"maybe"}',
    '{"sd":1,"setting":"cron/x","value":"{}"}',
    task("d"),
  ];
  const { bad, ...rest } = await client.importText(lines.join("\n"));
  assertEquals(rest, { imported: 3, existed: 0, conflicts: ["a"], orphans: ["b"] });
  assertEquals(bad.map(({ record }) => record), [3, 7, 8, 9]);
});

Deno.test("parts of an import that do not belong together are refused", () => {
  const parts = new ImportParts();
  const refused = (message: Record<string, unknown>, code: string) => {
    const error = assertThrows(() => parts.take(message), SdError);
    assertEquals((error as SdError).code, code);
  };
  assertEquals(parts.take({ part: "abc", last: false }), undefined);
  assertEquals(parts.take({ part: "de", at: 3, last: true }), "abcde");
  // The part before it went to another connection.
  refused({ part: "de", at: 3, last: true }, "conflict");
  refused({ part: 5, last: true }, "bad_request");
  refused({ part: "x" }, "bad_request");
  const half = "x".repeat(MAX_IMPORT_CHARS / 2);
  parts.take({ part: half, last: false });
  assertEquals(parts.take({ part: half, at: half.length, last: true })?.length, MAX_IMPORT_CHARS);
  parts.take({ part: half, last: false });
  refused({ part: half + "x", at: half.length, last: true }, "bad_request");
});

Deno.test("a pause survives a restart, and after resume the waiting tasks run", () =>
  withFolder(async (folder) => {
    const url = `sqlite:${folder}/sd.db`;
    {
      await using server = await TestServer.start({ workers: 1, engine: opener(url) });
      await using client = await connect(server.address);
      assertEquals(await client.pause("square"), ["square"]);
      assertEquals(await client.pause("unknown"), ["square", "unknown"]);
      await client.submit("square", { n: 9 }, { id: "t", wait: false });
    }
    await using server = await TestServer.start({ workers: 1, engine: opener(url) });
    await using client = await connect(server.address);
    assertEquals((await client.stats()).paused, ["square", "unknown"]);
    assertEquals((await client.get("t")).status, "queued");
    assertEquals(await client.pause(), ["*"]);
    await assertRejects(() => client.resume("square"), SdError, "sd resume --all");
    assertEquals(await client.resume(), []);
    assertEquals((await client.wait("t")).result, 81);
  }));

Deno.test("a server can serve a backup", () =>
  withFolder(async (folder) => {
    const copy = `${folder}/copy.db`;
    {
      const engine = opener(`sqlite:${folder}/sd.db`);
      await using server = await TestServer.start({ workers: 1, engine });
      await using client = await connect(server.address);
      // More than one piece.
      for (const id of ["a", "b", "c"]) {
        const task = await client.submit("echo", { data: id.repeat(400_000) }, { id });
        await task.result;
      }
      using file = await Deno.open(copy, { write: true, createNew: true });
      const bytes = await client.backup((piece) => void file.writeSync(piece));
      assertEquals((await Deno.stat(copy)).size, bytes);
      // In sequence there can be any number.
      assertEquals(await client.backup(() => undefined) > 1_000_000, true);
    }
    const engine = opener(`sqlite:${copy}`);
    await using server = await TestServer.start({ workers: 0, engine });
    await using client = await connect(server.address);
    assertEquals((await client.get("b")).result, "b".repeat(400_000));
  }));

Deno.test("a client that leaves during a backup does not block the next backup", () =>
  withFolder(async (folder) => {
    const engine = opener(`sqlite:${folder}/sd.db`);
    await using server = await TestServer.start({ workers: 1, engine });
    await using client = await connect(server.address);
    for (let i = 0; i < 12; i++) {
      const task = await client.submit("echo", { data: `${i}`.repeat(500_000) });
      await task.result;
    }
    {
      using leaver = await server.connect();
      assertEquals((await leaver.ask({ cmd: "backup" })).backup, "begin");
    }
    for (let tries = 0;; tries++) {
      try {
        assert(await client.backup(() => undefined) > 5_000_000);
        return;
      } catch (error) {
        // The server notices the end of the first only when a write to it fails.
        if (!(error instanceof SdError) || error.code !== "conflict" || tries > 500) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }));
