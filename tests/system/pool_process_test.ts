/** Real worker processes under a real `PoolKeeper`, linked to a server that the test plays. */

import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import { type PoolEvent, PoolKeeper } from "../../cli/pool/pool_keeper.ts";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { BUILTIN_WORK } from "../../protocol/pool_start.ts";
import { OLDEST_WORK_VERSION, WORK_VERSION } from "../../protocol/work_message.ts";
import { Link } from "../../workers/pool/link.ts";
import { type FakeLink, FakeServer, type Report } from "../kit/fake_server.ts";
import { TaskFolder } from "../kit/task_folder.ts";

const GRACE_MS = 5000;
const ENDLESS_HASH = { op: "hash", data: "x", rounds: Number.MAX_SAFE_INTEGER };

class Kept implements AsyncDisposable {
  readonly server = new FakeServer("s3cret");
  readonly events: PoolEvent[] = [];
  readonly keeper: PoolKeeper;

  constructor(options: { workers?: number; reconnect?: boolean; frozenMs?: number } = {}) {
    const { workers = 2, reconnect = false, frozenMs } = options;
    this.keeper = new PoolKeeper({
      start: {
        server: this.server.address,
        secret: "s3cret",
        workers,
        ...BUILTIN_WORK,
        reconnect,
        pool: "local",
      },
      onEvent: (event) => this.events.push(event),
      frozenMs,
    });
    this.keeper.start();
  }

  /** The link of the next process, accepted. */
  async link(leaseMs?: number) {
    const link = await this.server.accept();
    return { link, hello: await link.welcome(leaseMs) };
  }

  /** The link of the next process, once it runs tasks. */
  async warmLink() {
    const { link, hello } = await this.link();
    await link.lease(1000, { op: "square", n: 1 });
    await link.endOf(1000);
    return { link, hello };
  }

  /** The events of processes, without their connections. */
  types(): string[] {
    return this.events.map(({ type }) => type).filter((type) => type !== "ready");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.keeper.stop(0);
    this.server[Symbol.dispose]();
  }
}

async function isGone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 500; tries++) {
    try {
      Deno.kill(pid, "SIGCONT");
    } catch {
      return true;
    }
    await delay(20);
  }
  return false;
}

Deno.test("a worker process names itself, and reports a result for each lease", async () => {
  await using kept = new Kept({ workers: 2 });
  const { link, hello } = await kept.link();
  assertEquals(
    { ...hello, pid: 0, credit: 0, instance: "" },
    {
      cmd: "work",
      version: WORK_VERSION,
      oldest: OLDEST_WORK_VERSION,
      workers: 2,
      credit: 0,
      ops: ["square", "echo", "sleep", "hash"].map((op) => ({ op })),
      pid: 0,
      pool: "local",
      alive: true,
      instance: "",
      last: 0,
    },
  );
  assert(hello.instance.length > 30);
  assertEquals(kept.events[0], { type: "started", pid: hello.pid });
  assert(hello.credit >= 2);
  await link.lease(1, { op: "square", n: 12 });
  await link.lease(2 ** 40, { op: "echo", data: "ü" });
  assertEquals(await link.endOf(1), { lease: 1, result: 144 });
  assertEquals(await link.endOf(2 ** 40), { lease: 2 ** 40, result: "ü" });
});

Deno.test("a worker process renews the leases that it holds", async () => {
  await using kept = new Kept();
  const { link } = await kept.link(150);
  await link.lease(7, { op: "sleep", ms: 60_000 });
  await link.until(({ renew }) => renew?.includes(7));
  await link.say({ cancel: [7] });
  assertEquals(await link.endOf(7), { lease: 7, cancelled: true });
});

Deno.test("a worker process stopped by a signal is killed, and another takes its place", async () => {
  await using kept = new Kept({ frozenMs: 2000 });
  const { hello } = await kept.link();
  while (!kept.events.some(({ type }) => type === "ready")) await delay(5);
  Deno.kill(hello.pid, "SIGSTOP");
  const next = await kept.link();
  assertNotEquals(next.hello.pid, hello.pid);
  assert(await isGone(hello.pid));
  assertEquals(kept.types(), ["started", "frozen", "exited", "started"]);
});

function isLife({ alive, cmd }: Report): boolean {
  return alive === true && cmd === undefined;
}

Deno.test("a worker process sends signs of life to a server that asks for them, and to no older one", async () => {
  await using kept = new Kept();
  const { link, hello } = await kept.link();
  await delay(100);
  assertEquals(link.reports.filter(isLife), []);
  Deno.kill(hello.pid, "SIGKILL");
  const next = await kept.server.accept();
  await next.welcome(30_000, 20);
  await next.until(isLife);
});

/** A link to `server`; it is closed after a second of silence. */
async function linkWithPatience(server: FakeServer): Promise<{ link: Link; end: FakeLink }> {
  const opening = Link.open({
    server: server.address,
    secret: "s3cret",
    hello: {
      cmd: "work",
      version: WORK_VERSION,
      workers: 1,
      credit: 1,
      ops: [],
      pid: 1,
    },
    accept: () => {},
    order: () => {},
    leases: () => [],
    silentServerMs: 1000,
  });
  const end = await server.accept();
  await end.welcome(30_000, 50);
  return { link: await opening, end };
}

Deno.test("the link to a server that falls silent is closed if the server answers others, and counts as no death", async () => {
  using server = new FakeServer("s3cret");
  const { link, end } = await linkWithPatience(server);
  const running = link.run();
  let isOver = false;
  const failed = assertRejects(() => running, Error, "the server has sent nothing for").finally(
    () => isOver = true,
  );
  for (let i = 0; i < 40; i++) {
    await end.say({ alive: true });
    await delay(50);
  }
  assertEquals(isOver, false, "as long as it shows life it stays");
  // The first connection only tests whether the server accepts any.
  (await server.accept()).cut();
  (await server.accept()).cut();
  await failed;
  await end.untilEnded();
  assertEquals(end.reports.at(-1), { retire: [] });
});

Deno.test("the link and tasks of a server that answers no connection are kept until it goes on", async () => {
  using server = new FakeServer("s3cret");
  const { link, end } = await linkWithPatience(server);
  let isOver = false;
  const running = link.run().finally(() => isOver = true);
  // Its system accepts the connections that test it.
  await delay(2500);
  assertEquals(isOver, false, "the link to a server that stands still is kept");
  await end.say({ alive: true });
  await server.accept();
  await server.accept();
  await delay(500);
  assertEquals(isOver, false, "and not when it goes on either");
  link.close();
  await running;
});

Deno.test("a task that never yields ends its process, and only that task fails", async () => {
  await using kept = new Kept({ workers: 2 });
  const { link, hello } = await kept.link();
  await link.lease(1, ENDLESS_HASH, 300);
  await link.lease(2, { op: "sleep", ms: 700 });
  await link.until(({ retire }) => retire !== undefined);
  // The successor is there while the old process still finishes its tasks.
  const { link: next, hello: nextHello } = await kept.link();
  assertNotEquals(nextHello.pid, hello.pid);
  assertEquals((await link.endOf(2)).result, 700);
  await link.untilEnded();
  assertEquals(link.reports.filter(({ lease }) => lease === 1), []);
  assertEquals(link.reports.find(({ retire }) => retire).retire, [[1, "timeout"]]);
  assert(link.reports.some(({ credit }) => credit === 0));
  assert(await isGone(hello.pid), "the process with the endless task is still there");
  await next.lease(3, { op: "square", n: 5 });
  assertEquals((await next.endOf(3)).result, 25);
  await kept.keeper.stop(GRACE_MS);
  assertEquals(kept.types().slice(0, 3), ["started", "retiring", "started"]);
});

Deno.test("a cancelled task that never yields ends with its process", async () => {
  await using kept = new Kept({ workers: 2 });
  const { link, hello } = await kept.warmLink();
  await link.lease(1, ENDLESS_HASH);
  await delay(200);
  await link.say({ cancel: [1] });
  const { retire } = await link.until(({ retire }) => retire !== undefined);
  assertEquals(retire, [[1, "cancel"]]);
  await link.untilEnded();
  assert(await isGone(hello.pid));
});

Deno.test("a killed process is replaced, and the keeper reports how it ended", async () => {
  await using kept = new Kept();
  const { hello } = await kept.link();
  Deno.kill(hello.pid, "SIGKILL");
  const { link, hello: next } = await kept.link();
  await link.lease(1, { op: "square", n: 2 });
  assertEquals((await link.endOf(1)).result, 4);
  assertNotEquals(next.pid, hello.pid);
  const exited = kept.events.find(({ type }) => type === "exited");
  assertEquals(exited, {
    type: "exited",
    pid: hello.pid,
    code: 137,
    signal: "SIGKILL",
    unexpected: true,
  });
});

Deno.test("a stopping process finishes its running tasks, returns the rest, and is not replaced", async () => {
  await using kept = new Kept({ workers: 1 });
  const { link, hello } = await kept.warmLink();
  await link.lease(1, { op: "sleep", ms: 500 });
  await link.lease(2, { op: "square", n: 2 });
  await delay(100);
  await kept.keeper.stop(GRACE_MS);
  assertEquals((await link.endOf(1)).result, 500);
  await link.untilEnded();
  const released = link.reports.flatMap(({ release }) => release ?? []);
  assertEquals(released, [2]);
  assert(await isGone(hello.pid));
  assertEquals(kept.types(), ["started", "exited"]);
});

Deno.test("a process that does not finish within its grace is killed", async () => {
  await using kept = new Kept({ workers: 1 });
  const { link, hello } = await kept.warmLink();
  await link.lease(1, { op: "sleep", ms: 60_000 });
  await delay(100);
  await kept.keeper.stop(200);
  assert(await isGone(hello.pid));
  assertEquals(link.reports.filter(({ lease }) => lease === 1), []);
});

Deno.test("the server's own process ends with its link, even with a task that never yields", async () => {
  await using kept = new Kept({ workers: 1 });
  const { link, hello } = await kept.warmLink();
  await link.lease(1, ENDLESS_HASH);
  await delay(200);
  link.cut();
  assert(await isGone(hello.pid), "the process outlived its link");
});

Deno.test("a process of sd work reconnects to its server, and drops the tasks that it held", async () => {
  await using kept = new Kept({ workers: 1, reconnect: true });
  const { link, hello } = await kept.warmLink();
  await link.lease(1, { op: "sleep", ms: 60_000 });
  await delay(100);
  link.cut();
  const { link: again, hello: same } = await kept.link();
  assertEquals(same.pid, hello.pid);
  await again.lease(1, { op: "square", n: 3 });
  assertEquals((await again.endOf(1)).result, 9);
});

Deno.test("a process that the server refuses ends, and is not started again", async () => {
  await using kept = new Kept({ reconnect: true });
  const link = await kept.server.accept();
  await link.until(({ ops }) => ops !== undefined);
  await link.say({ error: { code: "unauthorized", message: "the pool secret is wrong" } });
  await link.untilEnded();
  for (let tries = 0; !kept.types().includes("exited") && tries < 2000; tries++) await delay(5);
  await delay(300);
  assertEquals(kept.types(), ["started", "exited"]);
});

Deno.test("a process whose parent has ended ends at once", async () => {
  using server = new FakeServer("s3cret");
  const { path, args } = selfCommand(["work", "--pool"]);
  const child = new Deno.Command(path, { args, stdin: "piped", stdout: "null" }).spawn();
  const stdin = child.stdin.getWriter();
  const start = {
    server: server.address,
    secret: "s3cret",
    workers: 1,
    ...BUILTIN_WORK,
    reconnect: true,
    nonce: "n",
  };
  await stdin.write(new TextEncoder().encode(JSON.stringify(start) + "\n"));
  const link = await server.accept();
  await link.welcome();
  await link.lease(1000, { op: "square", n: 1 });
  await link.endOf(1000);
  await link.lease(1, ENDLESS_HASH);
  await delay(200);
  // As after a parent that was killed with -9.
  await stdin.close();
  const { success } = await child.status;
  assert(!success);
});

Deno.test("a keeper can be stopped before its start, and twice", async () => {
  using server = new FakeServer("s3cret");
  const events: PoolEvent[] = [];
  const start = {
    server: server.address,
    secret: "s3cret",
    workers: 1,
    ...BUILTIN_WORK,
    reconnect: false,
  };
  const keeper = new PoolKeeper({ start, onEvent: (event) => events.push(event) });
  await keeper.stop(0);
  keeper.start();
  await keeper.stop(0);
  assertEquals(events, []);
});

Deno.test("a reload loads the files as they are now, even just after a replacement failed to load", async () => {
  using server = new FakeServer("s3cret");
  using folder = new TaskFolder({ "tasks.js": "export const version = () => 1;" });
  const work = {
    ...BUILTIN_WORK,
    taskFiles: [{ path: folder.file("tasks.js"), name: "tasks.js" }],
  };
  const keeper: PoolKeeper = new PoolKeeper({
    start: { server: server.address, secret: "s3cret", workers: 1, ...work, reconnect: false },
    onEvent(event) {
      if (event.type !== "fault") return;
      folder.write("tasks.js", "export const version = () => 3;");
      keeper.reload(work);
    },
  });
  keeper.start();
  try {
    const first = await server.accept();
    await first.welcome();
    folder.write("tasks.js", "export const version = (");
    first.cut();
    const second = await server.accept();
    await second.welcome();
    await second.lease(1, { op: "version" });
    assertEquals((await second.endOf(1)).result, 3);
  } finally {
    await keeper.stop(0);
  }
});
