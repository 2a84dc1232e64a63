/** `sd ls`, and `sd retry` and `sd cancel` by filter, as a person and a program use them. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { TextLineStream } from "@std/streams/text-line-stream";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { needing } from "../kit/needs.ts";
import { hasPython, PtyProcess } from "../kit/pty_process.ts";
import type { RawClient } from "../kit/raw_client.ts";
import { runSd } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";

function envOf({ address }: TestServer): Record<string, string> {
  return { SD_SERVER: `${address.hostname}:${address.port}` };
}

/** Tasks that wait, since no worker runs them; ids `NAME-0`, `NAME-1`, … */
async function queue(client: RawClient, name: string, count: number, options: object = {}) {
  await client.ask({ cmd: "pause", op: "square" });
  for (let n = 0; n < count; n++) {
    const task = { id: `${name}-${n}`, wait: false, ...options };
    await client.ask({ op: "square", n, task });
  }
}

async function countsOf(client: RawClient) {
  return (await client.ask({ cmd: "stats" })).tasks;
}

function linesOf(bytes: ReadableStream<Uint8Array>): ReadableStream<string> {
  return bytes.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
    .pipeThrough(new TextLineStream());
}

function idsOf(ndjson: string): string[] {
  return ndjson.trimEnd().split("\n").filter((line) => line !== "")
    .map((line) => JSON.parse(line).task_id);
}

Deno.test("sd ls filters, sorts and pages; --json is a task a line", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  await queue(client, "a", 3, { key: "k" });
  await queue(client, "b", 2);
  await client.ask({ cmd: "cancel", task_id: "a-1" });
  const ls = async (...args: string[]) => {
    const { stdout, code } = await runSd(["ls", "--json", ...args], envOf(server));
    assertEquals(code, 0);
    return idsOf(stdout);
  };
  assertEquals(await ls(), ["b-1", "b-0", "a-2", "a-1", "a-0"]);
  assertEquals(await ls("--sort", "oldest", "-n", "2"), ["a-0", "a-1"]);
  assertEquals(await ls("--key", "k", "--status", "queued"), ["a-2", "a-0"]);
  assertEquals(await ls("--op", "square", "--since", "1h", "--limit", "1"), ["b-1"]);
  assertEquals(await ls("--since", "2100-01-01"), []);
  assertEquals(await ls("--since", "2020-01-31T08:00:00Z", "-n", "3"), ["b-1", "b-0", "a-2"]);

  const table = await runSd(["ls", "--limit", "2"], envOf(server));
  assertEquals(table.stdout.split("\n").map((line) => line.split(/ +/)[0]), [
    "ID",
    "b-1",
    "b-0",
    "",
  ]);
  const [, cursor = ""] = /--cursor (\S+)/.exec(table.stderr) ?? [];
  assertEquals(await ls("--cursor", cursor), ["a-2", "a-1", "a-0"]);

  for (const wrong of [["--since", "soon"], ["--limit", "20000"], ["--sort", "up"]]) {
    assertEquals((await runSd(["ls", ...wrong], envOf(server))).code, 2, wrong.join(" "));
  }
});

Deno.test("sd ls --limit goes beyond a page of the protocol, to the last task", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  await client.ask({ cmd: "pause", op: "square" });
  const count = 2345;
  const lines = Array.from(
    { length: count },
    (_, n) => JSON.stringify({ op: "square", n, task: { id: `t-${n}`, wait: false } }),
  );
  await client.send(`${lines.join("\n")}\n`);
  using other = await server.connect();
  while ((await countsOf(other)).queued < count);
  const { stdout } = await runSd(["ls", "--json", "-n", "1000000"], envOf(server));
  assertEquals(idsOf(stdout), Array.from({ length: count }, (_, n) => `t-${count - 1 - n}`));
});

Deno.test("sd cancel by filter shows tasks, requires --yes in a pipe, and leaves other tasks", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  const env = envOf(server);
  await queue(client, "a", 7, { key: "k" });
  await queue(client, "b", 2);
  await queue(client, "later", 1, { key: "k", delay: 3_600_000 });
  await client.ask({ op: "sleep", ms: 60_000, task: { id: "long", key: "k", wait: false } });
  while ((await countsOf(client)).running === 0);

  const dry = await runSd(["cancel", "--key", "k", "--dry-run"], env);
  assertEquals(dry.code, 0);
  assertStringIncludes(dry.stdout, "… and 4 more");
  assertStringIncludes(dry.stderr, "9 tasks would be cancelled");
  const { data } = JSON.parse(
    (await runSd(["cancel", "--key", "k", "--dry-run", "--json"], env)).stdout,
  );
  assertEquals([data.dry_run, data.matched, data.tasks.length], [true, 9, 5]);

  const unasked = await runSd(["cancel", "--key", "k"], env);
  assertEquals([unasked.code, unasked.stdout], [2, ""]);
  assertStringIncludes(unasked.stderr, "add --yes to go on");
  const json = await runSd(["cancel", "--key", "k", "--json"], env);
  assertEquals([json.code, JSON.parse(json.stdout).error.code], [2, "usage"]);
  assertEquals((await countsOf(client)).cancelled, 0);

  const done = await runSd(["cancel", "--key", "k", "--yes"], env);
  assertEquals([done.code, done.stdout], [0, ""]);
  assertStringIncludes(done.stderr, "9 tasks cancelled");
  const { queued, cancelled, running } = await countsOf(client);
  assertEquals([queued, cancelled, running], [2, 9, 0]);
  const none = await runSd(["cancel", "--key", "k", "--yes"], env);
  assertEquals([none.code, none.stderr], [0, "[client] no such tasks\n"]);
});

Deno.test("sd retry by filter queues failed tasks only, the oldest first", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  const env = envOf(server);
  for (const [id, n] of [["bad-0", "x"], ["good", 2], ["bad-1", "x"], ["bad-2", "x"]] as const) {
    await client.ask({ op: "square", n, task: { id, wait: false } });
    await client.ask({ cmd: "wait", task_id: id });
  }
  await queue(client, "gone", 1);
  await client.ask({ cmd: "cancel", task_id: "gone-0" });
  using watcher = await server.connect();
  await watcher.ask({ cmd: "watch" });

  const done = await runSd(["retry", "--op", "square", "--yes", "--json"], env);
  assertEquals(JSON.parse(done.stdout), {
    ok: true,
    data: { matched: 3, done: 3, refused: {}, errors: [] },
  });
  const queued = [await watcher.object(), await watcher.object(), await watcher.object()];
  assertEquals(queued.map(({ event, task_id }) => [event, task_id]), [
    ["queued", "bad-0"],
    ["queued", "bad-1"],
    ["queued", "bad-2"],
  ]);
  assertEquals((await runSd(["retry", "--status", "cancelled", "-y"], env)).code, 0);
  const { queued: all, completed } = await countsOf(client);
  assertEquals([all, completed], [4, 1]);
});

Deno.test("a filter with ids, neither of them, and an impossible status are refused", async () => {
  for (const name of ["retry", "cancel"]) {
    for (
      const args of [[], ["--yes"], ["a", "--op", "x"], ["a", "--dry-run"], [
        "--status",
        "completed",
      ]]
    ) {
      const { code, stderr } = await runSd([name, ...args, "--server", "127.0.0.1:1"]);
      assertEquals(code, 2, `sd ${name} ${args.join(" ")}: ${stderr}`);
      assert(stderr.includes(`sd ${name}`) || stderr.includes("--status is one of"), stderr);
    }
  }
});

Deno.test("a bulk cancel replies for each task, including running tasks", async () => {
  await using server = await TestServer.start({ workers: 2 });
  using client = await server.connect();
  await client.ask({ op: "square", n: 2, task: { id: "done", wait: false } });
  await client.ask({ cmd: "wait", task_id: "done" });
  await client.ask({ op: "sleep", ms: 60_000, task: { id: "long", wait: false } });
  while ((await countsOf(client)).running === 0);
  await queue(client, "a", 2);
  const task_ids = ["a-0", "long", "done", "nobody", "a-1", "a-0"];
  const { tasks } = await client.ask({ cmd: "cancel", task_ids });
  // deno-lint-ignore no-explicit-any
  const told = tasks.map(({ task_id, status, error }: any) => [task_id, status ?? error.code]);
  assertEquals(told, [
    ["a-0", "cancelled"],
    ["long", "cancelled"],
    ["done", "conflict"],
    ["nobody", "not_found"],
    ["a-1", "cancelled"],
  ]);
  const again = await client.ask({ cmd: "retry", task_ids: ["a-1", "done", "a-0"] });
  // deno-lint-ignore no-explicit-any
  assertEquals(again.tasks.map(({ status, error }: any) => status ?? error.code), [
    "queued",
    "conflict",
    "queued",
  ]);
});

Deno.test({
  ...needing("Python", hasPython)(
    "on a terminal sd cancel asks, and changes nothing without a yes",
  ),
  fn: async () => {
    await using server = await TestServer.start({ workers: 1 });
    using client = await server.connect();
    await queue(client, "a", 3);
    const { path, args } = selfCommand(["cancel", "--op", "square"]);
    const command = [path, ...args].map((word) => `'${word}'`).join(" ");
    for (
      const [answer, code, cancelled] of [["n\n", 0, 0], ["\n", 0, 0], ["\x03", 130, 0], [
        "y\n",
        0,
        3,
      ]]
    ) {
      await using asking = PtyProcess.start(`trap : INT; ${command}; echo "exit=$?"`, {
        env: envOf(server),
      });
      await asking.shows("cancel 3 tasks? [y/N]");
      await asking.type(String(answer));
      await asking.shows(`exit=${code}`);
      assertEquals((await countsOf(client)).cancelled, cancelled);
    }
  },
});

Deno.test("sd wait prints each of several tasks once as it ends, and the command to retry failures", async () => {
  await using server = await TestServer.start({ workers: 2 });
  using client = await server.connect();
  await client.ask({ op: "square", n: "x", task: { id: "bad", wait: false } });
  await client.ask({ cmd: "wait", task_id: "bad" });
  await queue(client, "slow", 1);
  const { path, args } = selfCommand(["wait", "slow-0", "bad", "slow-0"]);
  const waiting = new Deno.Command(path, {
    args,
    env: { NO_COLOR: "1", ...envOf(server) },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const told = new Response(waiting.stderr).text();
  const lines = [];
  for await (const line of linesOf(waiting.stdout)) {
    lines.push(line);
    // The other task runs only once the first end was printed.
    if (lines.length === 1) await client.ask({ cmd: "resume" });
  }
  assertEquals([(await waiting.status).code, idsOf(lines.join("\n"))], [1, ["bad", "slow-0"]]);
  assertStringIncludes(await told, "sd retry bad\n");
  const late = await runSd(["submit", "-d", "--id", "later", "--delay", "1h", "x"], envOf(server));
  assertEquals(late.code, 0);
  const waited = await runSd(["wait", "slow-0", "later", "--timeout", "50ms"], envOf(server));
  assertEquals(waited.code, 124);
  assertStringIncludes(waited.stderr, "sd wait later");
});
