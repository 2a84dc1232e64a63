/** The running version of a task file goes on when the file no longer loads, with and without --watch. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { delay } from "@std/async/delay";
import { RawClient } from "../kit/raw_client.ts";
import { notStarted, SdServe } from "../kit/sd_process.ts";
import { TaskFolder } from "../kit/task_folder.ts";

const GOOD = `
import { one } from "./lib/one.js";
export const value = () => one;
export const spin = () => { for (;;); };
spin.options = { timeout: 100 };
export const apart = () => one;
apart.options = { isolate: "process" };
`;

async function said(serve: SdServe, what: RegExp): Promise<void> {
  for (const end = performance.now() + 60_000; performance.now() < end; await delay(20)) {
    if (serve.lines.some((line) => what.test(line))) return;
  }
  throw new Error(`the server has not said ${what}, but: ${serve.lines.join("\n")}`);
}

async function resultOf(client: RawClient, op: string): Promise<unknown> {
  await client.ask({ op });
  const { result, error } = await client.object();
  return error?.code ?? result;
}

/** The worker process of the server. */
async function poolOf(client: RawClient): Promise<number> {
  const { pools } = await client.ask({ cmd: "stats" });
  // One that waits for a single run has one worker.
  return pools.find(({ workers }: { workers: number }) => workers === 2)?.pid ?? 0;
}

for (const flags of [[], ["--watch"]]) {
  Deno.test(`the running version goes on when its file is broken: ${flags.join(" ") || "without --watch"}`, async () => {
    using folder = new TaskFolder({ "tasks.js": GOOD, "lib/one.js": "export const one = 1;" });
    await using serve = await SdServe.start([folder.file("tasks.js"), "--workers", "2", ...flags]);
    using client = await RawClient.connect(serve.address);
    assertEquals(await resultOf(client, "value"), 1);
    for (
      const [broken, line] of [["export const = ;", 1], [
        "\nthrow new Error('not yet');",
        2,
      ]] as const
    ) {
      folder.write("tasks.js", broken);
      // A task that does not stop costs the process, and so does a signal.
      assertEquals(await resultOf(client, "spin"), "timeout");
      assertEquals(await resultOf(client, "value"), 1);
      await said(serve, new RegExp(`tasks\\.js:${line}: .*the version before it goes on`));
      for (let pid = await poolOf(client);; await delay(20)) {
        if (pid !== 0) {
          Deno.kill(pid, "SIGKILL");
          break;
        }
        pid = await poolOf(client);
      }
      assertEquals(await resultOf(client, "value"), 1);
      assertEquals(await resultOf(client, "apart"), 1);
    }
    folder.write("tasks.js", GOOD.replaceAll("=> one", "=> one + 1"));
    if (flags.length === 0) assertEquals(await resultOf(client, "spin"), "timeout");
    for (const end = performance.now() + 60_000; performance.now() < end; await delay(50)) {
      if (await resultOf(client, "value") === 2) break;
    }
    assertEquals(await resultOf(client, "value"), 2);
    assertEquals(await resultOf(client, "apart"), 2);
    assert(
      !serve.lines.some((line) => /internal|Error: .*undefined/.test(line)),
      serve.lines.join("\n"),
    );
    assertMatch(serve.lines.join("\n"), /tasks\.js:1/);
  });
}

/** Ends the process at once, without a word. */
const CRASHES = `import { abort } from "node:process"; abort(); ${GOOD}`;

Deno.test("a file that crashes its worker process is named, and the server does not start", async () => {
  using folder = new TaskFolder({ "tasks.js": CRASHES, "lib/one.js": "export const one = 1;" });
  const { code, lines } = await notStarted([folder.file("tasks.js")]);
  assertEquals(code, 2);
  assertMatch(lines.join("\n"), /tasks\.js: as it is loaded, its process ends by SIG/);
});

for (const flags of [[], ["--watch"]]) {
  Deno.test(`the running version goes on when its new file crashes the worker process: ${flags.join(" ") || "without --watch"}`, async () => {
    using folder = new TaskFolder({ "tasks.js": GOOD, "lib/one.js": "export const one = 1;" });
    await using serve = await SdServe.start([folder.file("tasks.js"), "--workers", "2", ...flags]);
    using client = await RawClient.connect(serve.address);
    assertEquals(await resultOf(client, "apart"), 1);
    folder.write("tasks.js", CRASHES);
    if (flags.length > 0) await said(serve, /ends by SIG\w+; the version before it goes on/);
    for (let pid = await poolOf(client);; pid = await poolOf(client), await delay(20)) {
      if (pid === 0) continue;
      Deno.kill(pid, "SIGKILL");
      break;
    }
    assertEquals(await resultOf(client, "value"), 1);
    await said(serve, /tasks\.js: as it is loaded, .*; the version before it goes on/);
    for (let i = 0; i < 3; i++) assertEquals(await resultOf(client, "apart"), 1);
  });
}

/** What makes code of ours throw while it looks at the file. */
const TRAPS = [
  'export const f = new Proxy(() => 1, { get() { throw new Error("caught") } });',
  "Array.prototype[Symbol.iterator] = null; export const f = () => 1;",
];

for (const text of TRAPS) {
  Deno.test(`a file that cannot be inspected is reported at once: ${text.slice(0, 40)}`, async () => {
    using folder = new TaskFolder({ "tasks.js": text });
    const { code, lines } = await notStarted([folder.file("tasks.js")]);
    assertEquals(code, 2);
    assertMatch(lines.join("\n"), /tasks\.js/);
    assert(!/did not end within/.test(lines.join("\n")), lines.join("\n"));
  });
}
