/** Recurring tasks on a real server: every second, through the workers, from the command line. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { ClientError } from "../../net/client_error.ts";
import { type Client, connect } from "../../client/client.ts";
import { sharedEngine, TestServer } from "../kit/test_server.ts";
import { type Finished, runSd } from "../kit/sd_process.ts";
import { until } from "../kit/until.ts";

const NEVER_SOON = "0 0 1 1 *";

/** The tasks of a recurring task, the oldest first, once `count` of them have completed. */
async function completed(client: Client, id: string, count: number) {
  return await until(`${count} tasks have completed`, async () => {
    const { tasks } = await client.list({ status: "completed", limit: 1000 });
    const own = tasks.filter(({ task_id }) => task_id.startsWith(`${id}:`)).reverse();
    return own.length >= count ? own : undefined;
  });
}

Deno.test("every second a task runs, with its arguments, until it is removed", async () => {
  await using server = await TestServer.start({ workers: 1 });
  await using client = await connect(server.address);
  const made = await client.schedule("square", { n: 12 }, {
    id: "tick",
    cron: "* * * * * *",
    catch_up: "all",
  });
  assertEquals([made.cron_id, made.status], ["tick", "scheduled"]);
  const tasks = await completed(client, "tick", 3);
  for (const { task_id } of tasks) assertEquals((await client.get(task_id)).result, 144);
  const seconds = tasks.map(({ task_id }) => Date.parse(task_id.slice("tick:".length)) / 1000);
  assertEquals(seconds, seconds.map((_, i) => seconds[0]! + i), "each second once, in order");
  const [view] = await client.crons();
  assert(view?.last_task_id !== undefined && view.last_at !== undefined, JSON.stringify(view));
  await client.removeCron("tick");
  assertEquals(await client.crons(), []);
  const { tasks: all } = await client.list({ limit: 1000 });
  await delay(1500);
  assertEquals((await client.list({ limit: 1000 })).tasks.length, all.length);
});

Deno.test("the next server on the engine goes on where the last one stopped", async () => {
  const engine = sharedEngine();
  let first: string[];
  {
    await using server = await TestServer.start({ workers: 1, engine });
    await using client = await connect(server.address);
    const options = { id: "tick", cron: "* * * * * *", catch_up: "all" } as const;
    await client.schedule("echo", { data: 1 }, options);
    first = (await completed(client, "tick", 2)).map(({ task_id }) => task_id);
  }
  await delay(2100);
  await using server = await TestServer.start({ workers: 1, engine });
  await using client = await connect(server.address);
  const ids = (await completed(client, "tick", first.length + 3)).map(({ task_id }) => task_id);
  assertEquals(ids.slice(0, first.length), first);
  const seconds = ids.map((id) => Date.parse(id.slice("tick:".length)) / 1000);
  assertEquals(seconds, seconds.map((_, i) => seconds[0]! + i), "each second once, in order");
});

Deno.test("a paused recurring task submits nothing until it is resumed", async () => {
  await using server = await TestServer.start({ workers: 1 });
  await using client = await connect(server.address);
  const options = { id: "tick", cron: "* * * * * *", catch_up: "skip" } as const;
  await client.schedule("echo", { data: 1 }, options);
  await completed(client, "tick", 1);
  assertEquals(await client.pauseCron("tick"), { cron_id: "tick", status: "paused" });
  // The task of this second can be on its way.
  await delay(100);
  const { length: before } = (await client.list({ limit: 1000 })).tasks;
  await delay(1500);
  assertEquals((await client.list({ limit: 1000 })).tasks.length, before);
  assertEquals((await client.resumeCron("tick")).status, "scheduled");
  await completed(client, "tick", before + 1);
});

Deno.test("each line with cron has one reply, refusals and half-closed connections included", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  const data = "x".repeat(70_000);
  const refused = await client.ask({ op: "echo", data, task: { cron: NEVER_SOON }, ref: "big" });
  assertEquals([refused.error.code, refused.ref], ["bad_request", "big"]);
  const unknown = await client.ask({ op: "squared", task: { cron: NEVER_SOON } });
  assertEquals(unknown.error.code, "unknown_op");
  // Half-closed, it still gets its one reply.
  await client.sendObjects({ op: "echo", task: { id: "n", cron: NEVER_SOON } });
  await client.closeWrite();
  assertEquals((await client.rest()).map((line) => JSON.parse(line).cron_id), ["n"]);
});

Deno.test("the library refuses to submit a recurring task as if it had a result", async () => {
  await using server = await TestServer.start({ workers: 1 });
  await using client = await connect(server.address);
  await assertRejects(
    () => client.submit("echo", {}, { cron: NEVER_SOON } as object),
    ClientError,
    "no result to wait for",
  );
  await assertRejects(
    () => client.schedule("echo", { ref: 1 } as object, { cron: NEVER_SOON }),
    ClientError,
    "cannot be called ref",
  );
  assertEquals(await client.crons(), []);
});

Deno.test("sd submit --cron and sd cron: made, listed, paused, resumed, removed", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const SD_SERVER = `${server.address.hostname}:${server.address.port}`;
  const sd = (...args: string[]): Promise<Finished> => runSd(args, { SD_SERVER });
  const flags = [
    "--cron",
    "0 2 1 1 *",
    "--tz",
    "Europe/Rome",
    "--catch-up",
    "all",
    "--attempts",
    "3",
  ];
  const made = await sd("submit", "--id", "nightly", ...flags, '{"op":"square","n":7}');
  assertEquals([made.code, made.stdout], [0, "nightly\n"]);
  assertStringIncludes(
    made.stderr.replace(/\d{4}-01-01T01/, "YEAR-01-01T01"),
    "[client] recurring task scheduled id=nightly next=YEAR-01-01T01:00:00Z\n",
  );
  // The options can be in the payload; --detach is implied.
  const second = '{"op":"echo","task":{"id":"b","cron":"@yearly"}}';
  assertEquals((await sd("submit", "--detach", second)).stdout, "b\n");
  assertEquals((await sd("submit", second)).stdout, "b\n");
  assertEquals((await sd("submit", second.replace("echo", "square"))).code, 7);
  assertEquals((await sd("submit", "--cron", "61 * * * *", "hi")).code, 2);

  const listed = (await sd("cron")).stdout.split("\n").map((line) => line.split(/ {2,}/));
  assertEquals(listed[0]?.slice(0, 5), ["ID", "OP", "CRON", "TZ", "CATCH-UP"]);
  assertEquals(listed[1]?.slice(0, 5), ["b", "echo", "@yearly", "UTC", "once"]);
  assertEquals(listed[2]?.slice(0, 5), ["nightly", "square", "0 2 1 1 *", "Europe/Rome", "all"]);

  assertEquals((await sd("cron", "pause", "nightly", "b")).stdout, "nightly paused\nb paused\n");
  assertStringIncludes((await sd("cron")).stdout, " paused");
  assertEquals((await sd("cron", "resume", "nightly")).stdout, "nightly scheduled\n");
  const gone = await sd("cron", "rm", "other", "nightly");
  assertEquals([gone.code, gone.stdout], [5, "nightly removed\n"]);
  assertStringIncludes(
    gone.stderr,
    'there is no recurring task "other"\n    list the recurring tasks with: sd cron',
  );
  const { ok, data } = JSON.parse((await sd("cron", "--json")).stdout);
  assertEquals([ok, data.crons.length, data.crons[0].paused], [true, 1, true]);
  const json = JSON.parse((await sd("cron", "rm", "x", "b", "--json")).stdout);
  assertEquals([json.ok, json.exit, json.error.code], [false, 5, "not_found"]);
  assertEquals(json.data.crons[1], { cron_id: "b", status: "removed" });
  assertStringIncludes((await sd("cron")).stderr, "no recurring tasks");
  for (const args of [["stop", "x"], ["pause"], ["rm"]]) {
    assertEquals((await sd("cron", ...args)).code, 2);
  }
});

Deno.test("lines of a file may be recurring tasks among others", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const SD_SERVER = `${server.address.hostname}:${server.address.port}`;
  const file = await Deno.makeTempFile();
  try {
    const cron = '{"op":"echo","task":{"id":"n","cron":"@yearly"}}';
    await Deno.writeTextFile(file, `{"op":"square","n":3}\n${cron}\n${cron.replace("@y", "@z")}\n`);
    const { code, stdout } = await runSd(["submit", "--file", file], { SD_SERVER });
    const lines = stdout.trim().split("\n").map((line) => JSON.parse(line))
      .sort((a, b) => a.line - b.line);
    assertEquals(lines.map(({ line }) => line), [1, 2, 3]);
    assertEquals([lines[0].result, lines[1].cron_id, lines[1].status], [9, "n", "scheduled"]);
    assertEquals([lines[2].error.code, code], ["bad_request", 1]);
  } finally {
    await Deno.remove(file);
  }
});
