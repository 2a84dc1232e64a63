/**
 * Real stops, and pools that die: every task ends once and with the right result, whatever happens to the
 * processes that run them. `SD_LONG=1` runs the rounds of docs/operations.md, otherwise there are fewer.
 */

import { assert, assertEquals } from "@std/assert";
import { WORK_VERSION } from "../../protocol/work_message.ts";
import { RawClient } from "../kit/raw_client.ts";
import { openFiles, SdServe, shell } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";

const IS_LONG = Deno.env.get("SD_LONG") === "1";

/** Process ids of the pools that `pid` has started. */
async function poolsOf(pid: number): Promise<number[]> {
  const text = await shell(
    `ps -eo pid=,ppid=,args= | awk '$2 == ${pid} && /work --pool/ {print $1}'`,
  );
  return text.split("\n").filter(Boolean).map(Number);
}

/** CPU time that the process tree of `pid` has used, in 1/100 s. */
async function cpuOf(pid: number): Promise<number> {
  const pids = [pid, ...await poolsOf(pid)];
  const each = await shell(
    pids.map((one) => `awk '{print $14 + $15}' /proc/${one}/stat`).join("; "),
  );
  return each.split("\n").map(Number).reduce((sum, ticks) => sum + ticks, 0);
}

Deno.test("a task that never yields is stopped at its limit, each time, and its neighbours finish", async () => {
  const rounds = IS_LONG ? 50 : 8;
  await using server = await SdServe.start(["--workers", "2"]);
  using client = await RawClient.connect(server.address);
  using neighbour = await RawClient.connect(server.address);
  for (let round = 0; round < rounds; round++) {
    const spin = { op: "hash", data: "x", rounds: 1e12, task: { timeout: 200 } };
    assertEquals((await client.ask(spin)).status, "queued");
    for (let n = 0; n < 50; n++) {
      await neighbour.ask({ op: "square", n });
      assertEquals((await neighbour.object()).result, n * n, `round ${round}`);
    }
    const end = await client.object();
    assertEquals([end.status, end.error?.code, end.attempt], ["failed", "timeout", 1]);
  }
  // No thread is busy any more: three seconds of one would be 300 ticks.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const pid = server.child.pid;
  const before = await cpuOf(pid);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const used = await cpuOf(pid) - before;
  assert(used < 100, `the idle process tree used ${used} ticks of CPU in three seconds`);
});

Deno.test("with pools killed under load, every task ends once with the right result", async () => {
  const kills = IS_LONG ? 100 : 6;
  await using server = await SdServe.start(["--workers", "2"]);
  const files = await openFiles(server.child.pid);
  let killed = 0;
  const killing = (async () => {
    while (killed < kills) {
      const [pool] = await poolsOf(server.child.pid);
      if (pool) {
        await shell(`kill -9 ${pool}`);
        killed++;
      }
      await new Promise((resolve) => setTimeout(resolve, 150 + Math.random() * 150));
    }
  })();
  let sent = 0;
  await Promise.all(Array.from({ length: 4 }, async (_, c) => {
    using client = await RawClient.connect(server.address);
    while (killed < kills) {
      const refs = Array.from({ length: 200 }, () => sent++);
      await client.sendObjects(
        ...refs.map((ref) => ({ op: ref % 9 === 0 ? "echo" : "square", n: ref, data: ref, ref })),
      );
      const open = new Set(refs);
      while (open.size > 0) {
        const reply = await client.object();
        if (reply.status === "queued") continue;
        assertEquals(reply.status, "completed", `client ${c}: ${JSON.stringify(reply)}`);
        assertEquals(reply.result, reply.ref % 9 === 0 ? reply.ref : reply.ref ** 2);
        assert(open.delete(reply.ref), `${reply.ref} is final twice, or another client's`);
      }
    }
  }));
  await killing;
  using client = await RawClient.connect(server.address);
  const { tasks, totals } = await client.ask({ cmd: "stats" });
  assertEquals([totals.submitted, totals.finished], [sent, sent]);
  assertEquals([tasks.queued, tasks.running, tasks.failed], [0, 0, 0]);
  assert(await openFiles(server.child.pid) <= files + 6);
});

Deno.test("a task that kills its worker process each time fails, and no other task with it", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using client = await server.connect();
  const innocent = Array.from({ length: 1000 }, (_, n) => ({ op: "square", n, ref: n }));
  await client.sendObjects(
    ...innocent.slice(0, 20),
    { op: "kill", ref: "guilty", task: { attempts: 5 } },
    ...innocent.slice(20),
  );
  const { secret } = server;
  const hello = {
    cmd: "work",
    version: WORK_VERSION,
    workers: 2,
    credit: 64,
    ops: [{ op: "square" }, { op: "kill" }],
    pid: 1,
  };
  let deaths = 0;
  /** How many tasks each process held when that task killed it. */
  const company: number[] = [];
  const working = (async () => {
    for (;;) {
      using link = await server.connect();
      assertEquals((await link.ask({ ...hello, secret })).work, "ok");
      const held = new Map<number, { op: string; n: number }>();
      for (;;) {
        const line = await link.line();
        if (line === null) return;
        const { lease, submit } = JSON.parse(line);
        held.set(lease, submit);
        if (submit.op === "kill") {
          company.push(held.size);
          deaths++;
          break;
        }
        // The first of them stay unanswered until the process dies or more tasks come, so it holds several.
        if (held.size < 10 && deaths < 2) continue;
        const results = [...held].map(([one, { n }]) => ({ lease: one, result: n * n }));
        held.clear();
        await link.sendObjects(...results);
      }
    }
  })();
  const ends = new Map<unknown, { status: string; result?: number; error?: { code: string } }>();
  while (ends.size < innocent.length + 1) {
    const reply = await client.object();
    if (reply.status === "queued") continue;
    assert(!ends.has(reply.ref), `${reply.ref} ended twice`);
    ends.set(reply.ref, reply);
  }
  const guilty = ends.get("guilty");
  assertEquals([guilty?.status, guilty?.error?.code], ["failed", "worker_crashed"]);
  for (const { n } of innocent) assertEquals(ends.get(n)?.result, n * n);
  assertEquals([deaths, company.at(-1)], [3, 1], "the last time it ran alone");
  await server.stop();
  await working;
});

Deno.test("a second signal ends the server at once, and nothing is left behind", async () => {
  const server = await SdServe.start(["--workers", "1", "--grace", "60s"]);
  using client = await RawClient.connect(server.address);
  await client.ask({ op: "sleep", ms: 60_000 });
  while ((await client.ask({ cmd: "stats" })).tasks.running === 0);
  const pools = await poolsOf(server.child.pid);
  assertEquals(pools.length, 1);
  server.child.kill("SIGTERM");
  const end = Date.now() + 10_000;
  while (!server.lines.some((line) => line.includes("stopping"))) {
    assert(Date.now() < end);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assertEquals(await server.stop("SIGTERM"), 143);
  while (await shell(`ps -o pid= -p ${pools[0]}`) !== "") {
    assert(Date.now() < end, "the pool outlives its server");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});
