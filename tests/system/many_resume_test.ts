/** Files of tasks whose `sd submit` is interrupted in every way, and goes on: each line once. */

import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { connect } from "../../client/mod.ts";
import { Random } from "../fuzz/random.ts";
import { type ManyProcess, ManyStage, squares } from "../kit/many_stage.ts";
import { residentMib, SdServe } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";

/** With `SD_LONG=1` as many as the promise names. */
const TASKS = Deno.env.get("SD_LONG") ? 1_000_000 : 20_000;
const KILLS = Deno.env.get("SD_LONG") ? 8 : 4;
const MAX_MIB = 200;

function sizeOf(path: string): number {
  return Deno.statSync(path).size;
}

/** The peak memory of a process, in MiB. */
async function mostMib(process: ManyProcess): Promise<number> {
  let most = 0;
  while (!process.isEnded) {
    most = Math.max(most, await residentMib(process.pid));
    await delay(50);
  }
  return most;
}

Deno.test("a run that is killed at random moments prints each result once, and runs no task twice", async () => {
  const seed = Number(Deno.env.get("SD_SEED") ?? Date.now() >>> 0);
  const random = new Random(seed);
  await using server = await SdServe.start(["--workers", "2"]);
  await using stage = await ManyStage.open(server.address, { lines: squares(TASKS) });
  // A line of results is longer than this.
  const bytes = TASKS * 90;
  let most = 0;
  try {
    for (let kill = 1; kill <= KILLS; kill++) {
      const run = stage.start(...(kill > 1 && stage.hasJournal() ? ["--resume"] : []));
      const memory = mostMib(run);
      const until = bytes * kill / (KILLS + 1);
      while (sizeOf(stage.results) < until && !run.isEnded) await delay(1);
      await delay(random.int(0, 20));
      run.signal("SIGKILL");
      assertEquals((await run.ended).code, 137);
      most = Math.max(most, await memory);
    }
    const last = stage.start("--resume");
    const memory = mostMib(last);
    const { code, stderr } = await last.ended;
    most = Math.max(most, await memory);
    assertEquals(code, 0, stderr);
    assertEquals(stage.hasJournal(), false);

    let sum = 0n;
    const told = stage.told();
    for (const { line, result } of told) {
      assertEquals(Number(result), line * line);
      sum += BigInt(result);
    }
    const n = BigInt(TASKS);
    assertEquals(sum, n * (n + 1n) * (2n * n + 1n) / 6n);
    assertEquals(told.length, TASKS);
    assertEquals(new Set(told.map(({ task_id }) => task_id)).size, TASKS);
    await using client = await connect(server.address);
    assertEquals((await client.stats()).totals.finished, TASKS);
    assertLess(most, MAX_MIB);
  } catch (error) {
    throw new Error(`seed ${seed}`, { cause: error });
  }
});

Deno.test("a server that stays away is exit 3, and --resume goes on when it is back", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sd-test-" });
  const env = { SD_DATA: folder };
  let server = await SdServe.start(["--workers", "2"], { env });
  const { port } = server.address;
  await using stage = await ManyStage.open(server.address, {
    lines: Array.from({ length: 60 }, (_, i) => `{"op":"sleep","ms":${20 + i}}`),
  });
  try {
    const run = stage.start("--timeout", "4s", "--in-flight", "8");
    while (sizeOf(stage.results) === 0) await delay(5);
    await server.stop("SIGKILL");
    const { code, stderr } = await run.ended;
    assertEquals(code, 3, stderr);
    assertStringIncludes(stderr, "--resume");
    assert(
      stage.told().every(({ status }) => status === "completed"),
      "no line without its result",
    );
    await server[Symbol.asyncDispose]();
    server = await SdServe.start(["--workers", "2"], { env, port });
    assertEquals((await stage.submit("--resume")).code, 0);
    const lines = stage.told().map(({ line }) => line);
    assertEquals([lines.length, new Set(lines).size], [60, 60]);
  } finally {
    await server[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});

/** A stage with the journal of a run that was killed: its head, and `entries`. */
async function interruptedStage(
  server: TestServer,
  { lines, entries }: { lines: string[]; entries: object[] },
): Promise<ManyStage> {
  const stage = await ManyStage.open(server.address, { lines });
  const { size, mtime } = await Deno.stat(stage.file);
  const head = {
    sd: "submit",
    version: 1,
    run: "0193a1c27c1e7b529c390e6f",
    file: { bytes: size, modified: mtime?.toISOString() ?? null },
    server: stage.server,
    reading: "JSON",
  };
  const text = [head, ...entries].map((entry) => `${JSON.stringify(entry)}\n`).join("");
  await Deno.writeTextFile(stage.journal, text);
  return stage;
}

Deno.test("an interrupted file is sent again or resumed only on request", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const at = Date.now();
  const entries = [{ at, sent: 256 }, { at, told: "1-2" }, { at, settled: true }];
  await using stage = await interruptedStage(server, { lines: squares(5), entries });
  const again = await stage.submit();
  assertEquals(again.code, 2);
  assertStringIncludes(
    again.stderr,
    "was interrupted after 2 results\n    resume it with --resume",
  );
  const other = await stage.submit("--resume", "--op", "echo");
  assertEquals(other.code, 2);
  assertStringIncludes(other.stderr, "lines are read JSON for echo(data), and then JSON");
  await Deno.writeTextFile(stage.file, '{"op":"square","n":6}\n', { append: true });
  const changed = await stage.submit("--resume");
  assertEquals(changed.code, 2);
  assertStringIncludes(changed.stderr, "132 bytes of");
  assertEquals(stage.told(), []);
  assertEquals((await stage.submit("--resume", "--force")).code, 0);
  assertEquals(stage.told().map(({ line }) => line).sort(), [3, 4, 5, 6]);
});

Deno.test("a journal belongs to one process, and any other file is left unchanged", async () => {
  await using server = await TestServer.start({ workers: 1 });
  await using stage = await ManyStage.open(server.address, {
    lines: ['{"op":"sleep","ms":60000,"task":{"id":"nap"}}'],
  });
  const run = stage.start();
  await using client = await connect(server.address);
  while ((await client.stats()).tasks.running < 1) await delay(5);
  const second = await stage.submit("--resume");
  assertEquals(second.code, 2);
  assertStringIncludes(second.stderr, "another sd submit is sending this file");
  await client.cancel("nap");
  assertEquals((await run.ended).code, 1);
  await Deno.writeTextFile(stage.journal, "my notes\n");
  const third = await stage.submit("--force");
  assertEquals(third.code, 2);
  assertStringIncludes(third.stderr, "is not a journal of sd submit");
  assertEquals(await Deno.readTextFile(stage.journal), "my notes\n");
});

Deno.test("a line that may have run, with a task that is unknown now, is reported and not run again", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const long = Date.now() - 2 * 86_400_000;
  const entries = [{ at: long, sent: 2 }];
  await using stage = await interruptedStage(server, { lines: squares(4), entries });
  assertEquals((await stage.submit("--resume", "--ordered")).code, 1);
  const [first, second, ...rest] = stage.told();
  for (const { error } of [first, second]) {
    assertEquals(error.code, "not_found");
    assertStringIncludes(error.message, "it may have run");
  }
  assertEquals(rest.map(({ result }) => result), [9, 16]);
  await using client = await connect(server.address);
  assertEquals((await client.stats()).totals.submitted, 2);
});

Deno.test("a cut result is printed again whole; in another output results are printed again with a note", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const whole = '{"line":1}\n{"line":2}\n';
  const at = Date.now();
  for (const printed of [whole, whole + '{"line":3}\n{"li', whole + '{"line":3}\n{"line":4}\n']) {
    await using stage = await interruptedStage(server, { lines: squares(6), entries: [] });
    await Deno.writeTextFile(stage.results, printed);
    const { dev, ino } = await Deno.stat(stage.results);
    const out = { dev, ino, bytes: whole.length, length: 22 };
    const entries = [{ at, told: "1-2" }, { at, sent: 256 }, { at, told: "3-4", out }];
    const text = entries.map((entry) => `${JSON.stringify(entry)}\n`).join("");
    await Deno.writeTextFile(stage.journal, text, { append: true });
    const { code, stderr } = await stage.submit("--resume");
    assertEquals(code, 0, stderr);
    assertEquals(stage.told().map(({ line }) => line).sort(), [1, 2, 3, 4, 5, 6]);
    assert(!stderr.includes("may have come before"));
  }
  const out = { dev: 1, ino: 1, bytes: 0, length: 22 };
  const entries = [{ at, sent: 256 }, { at, told: "3-4", out }];
  await using stage = await interruptedStage(server, { lines: squares(4), entries });
  const { stderr } = await stage.submit("--resume");
  assertStringIncludes(stderr, "are printed now, and may have been printed before: 3-4");
  assertEquals(stage.told().map(({ line }) => line).sort(), [1, 2, 3, 4]);
});
