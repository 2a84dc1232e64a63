/** `--watch`: a changed task file is loaded into a fresh process; what runs goes on, what is broken changes nothing. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { RawClient } from "../raw_client.ts";
import { SdServe } from "../sd_process.ts";
import { TaskFolder } from "../task_folder.ts";

const PATIENCE_MS = 60_000;

function tasks(version: number): string {
  return `
    import { one } from "./one.js";
    export const version = () => ${version} * one;
    export const slow = async () => {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return ${version};
    };
  `;
}

async function resultOf(client: RawClient, op: string): Promise<unknown> {
  const { error: refused } = await client.ask({ op });
  if (refused) return refused.code;
  const { result, error } = await client.object();
  return error?.message ?? result;
}

async function until(serve: SdServe, text: string, count = 1): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (serve.lines.filter((line) => line.includes(text)).length < count) {
    if (performance.now() > end) throw new Error(`never said ${text}: ${serve.lines.join("\n")}`);
    await delay(10);
  }
}

Deno.test("a changed file is loaded, a broken one is told, and running tasks finish as they began", async () => {
  using folder = new TaskFolder({ "tasks.js": tasks(1), "one.js": "export const one = 1;" });
  await using serve = await SdServe.start([folder.file("tasks.js"), "--workers", "2", "--watch"]);
  using client = await RawClient.connect(serve.address);
  assertEquals(await resultOf(client, "version"), 1);

  using slow = await RawClient.connect(serve.address);
  await slow.ask({ op: "slow" });
  folder.write("tasks.js", tasks(2));
  await until(serve, "their new version is loaded");
  assertEquals(await resultOf(client, "version"), 2);
  assertEquals((await slow.object()).result, 1);

  folder.write("tasks.js", "export const version = () => {");
  await until(serve, "the version before it goes on");
  assertStringIncludes(serve.lines.at(-1) ?? "", "tasks.js:1: SyntaxError");
  assertEquals(await resultOf(client, "version"), 2);

  folder.write("tasks.js", tasks(3));
  await until(serve, "their new version is loaded", 2);
  assertEquals(await resultOf(client, "version"), 3);

  // What it imports is a part of it.
  folder.write("one.js", "export const one = 10;");
  await until(serve, "their new version is loaded", 3);
  assertEquals(await resultOf(client, "version"), 30);
});

Deno.test("a file that does not load at first is waited for, and a folder's new file is an op", async () => {
  using folder = new TaskFolder({ "ops/tasks.js": "export const f = () => {" });
  await using serve = await SdServe.start([`${folder.path}/ops`, "--workers", "1", "--watch"], {
    started: "waiting for a change",
  });
  folder.write("ops/tasks.js", "export const f = () => 'mended';");
  await until(serve, "[dispatcher] started");
  using client = await RawClient.connect(serve.address);
  assertEquals(await resultOf(client, "f"), "mended");
  folder.write("ops/more.js", "export const g = () => 'more';");
  // The mended one may be loaded twice: because it changed, and because it was tried again.
  const end = performance.now() + PATIENCE_MS;
  while (await resultOf(client, "g") !== "more" && performance.now() < end) await delay(50);
  assertEquals(await resultOf(client, "g"), "more");
});
