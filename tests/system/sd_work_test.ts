/** `sd work`: workers that come by themselves, with task files of their own. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe } from "../kit/sd_process.ts";
import { SdWork, WORK_SECRET } from "../kit/sd_work.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestServer } from "../kit/test_server.ts";

async function resultOf(client: RawClient, op: string): Promise<unknown> {
  const { error: refused } = await client.ask({ op });
  if (refused) return refused.code;
  const { result, error } = await client.object();
  return error?.message ?? result;
}

Deno.test("sd work brings ops to a server that has none of them, and takes them away with --watch", async () => {
  using folder = new TaskFolder({
    "tasks.js": "export const here = () => 'from afar'; export const gone_soon = () => 1;",
  });
  await using serve = await SdServe.start(["--workers", "1"], {
    env: { SD_POOL_SECRET: WORK_SECRET },
  });
  using client = await RawClient.connect(serve.address);
  assertEquals(await resultOf(client, "here"), "unknown_op");
  await using work = new SdWork(serve.server, [folder.file("tasks.js"), "--workers=1", "--watch"]);
  await work.says("1 worker connected");
  assertEquals(await resultOf(client, "here"), "from afar");
  assertEquals(await resultOf(client, "gone_soon"), 1);
  folder.write("tasks.js", "export const here = () => 'changed';");
  await work.says("their new version is loaded");
  assertEquals(await resultOf(client, "here"), "changed");
  assertEquals(await resultOf(client, "gone_soon"), "unknown_op");
});

Deno.test("sd work ends with 2 where its task file does not load", async () => {
  using folder = new TaskFolder({ "tasks.js": "export const f = () => {\n" });
  await using serve = await SdServe.start(["--workers", "0"], {
    env: { SD_POOL_SECRET: WORK_SECRET },
  });
  await using work = new SdWork(serve.server, [folder.file("tasks.js"), "--workers=1"]);
  assertEquals(await work.ended(), 2);
  assertStringIncludes(work.lines.join("\n"), "tasks.js:2: SyntaxError");
});

Deno.test("a process of sd work that was frozen and cut off comes back by itself, and runs tasks again", async () => {
  await using server = await TestServer.start({
    workers: 0,
    secret: WORK_SECRET,
    limits: { sweepMs: 100, quietLinkMs: 500, silentLinkMs: 1500 },
  });
  const { hostname, port } = server.address;
  await using work = new SdWork(`${hostname}:${port}`, ["--workers=1"]);
  await work.says("1 worker connected");
  using client = await server.connect();
  const { pools } = await client.ask({ cmd: "stats" });
  Deno.kill(pools[0].pid, "SIGSTOP");
  await client.ask({ op: "square", n: 3, task: { id: "held", wait: false } });
  while ((await client.ask({ cmd: "stats" })).pools.length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  Deno.kill(pools[0].pid, "SIGCONT");
  await work.says("1 worker connected", 2);
  const { status, result } = await client.ask({ cmd: "wait", task_id: "held" });
  assertEquals([status, result], ["completed", 9]);
  assertEquals((await client.ask({ cmd: "stats" })).pools[0].pid, pools[0].pid);
});
