/** Work links that fall silent or break the protocol: their tasks run elsewhere, and no task is lost. */

import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { MAX_DEATHS } from "../../protocol/limits.ts";
import { FakeWorker, type FakeWorkerOptions } from "../kit/fake_worker.ts";
import type { RawClient } from "../kit/raw_client.ts";
import { TestServer, type TestServerOptions } from "../kit/test_server.ts";

const OPS = [{ op: "a" }];
/** Short, and longer than any pause of a slow machine. */
const LIMITS = { sweepMs: 100, quietLinkMs: 600, silentLinkMs: 1500 };

function start(options: TestServerOptions = {}): Promise<TestServer> {
  return TestServer.start({ workers: 0, limits: LIMITS, ...options });
}

/** A worker process that shows life by itself until it is frozen. */
class LiveWorker implements Disposable {
  readonly #fake: FakeWorker;
  readonly #pulse: ReturnType<typeof setInterval>;
  #isFrozen = false;

  private constructor(fake: FakeWorker) {
    this.#fake = fake;
    this.#pulse = setInterval(() => {
      if (!this.#isFrozen) this.send({ alive: true });
    }, LIMITS.sweepMs);
  }

  static async join(server: TestServer, options: FakeWorkerOptions = {}): Promise<LiveWorker> {
    return new LiveWorker(await FakeWorker.join(server, OPS, { alive: true, ...options }));
  }

  freeze(): void {
    this.#isFrozen = true;
  }

  thaw(): void {
    this.#isFrozen = false;
  }

  /** The next task; `null` once the server has cut the link. */
  async next(): Promise<{ id: string; lease: number; attempt: number } | null> {
    for (;;) {
      const line = await this.#fake.link.line();
      if (line === null) return null;
      const { id, lease, attempt } = JSON.parse(line);
      if (lease !== undefined) return { id, lease, attempt };
    }
  }

  send(...objects: object[]): void {
    // After the cut the failure does not matter.
    this.#fake.link.sendObjects(...objects).catch(() => undefined);
  }

  sendText(text: string | Uint8Array): Promise<void> {
    return this.#fake.link.send(text);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#pulse);
    this.#fake[Symbol.dispose]();
  }
}

async function submit(client: RawClient, ...ids: string[]): Promise<void> {
  for (const id of ids) await client.ask({ op: "a", task: { id, wait: false } });
}

async function completed(client: RawClient, id: string): Promise<void> {
  const { status, error } = await client.ask({ cmd: "wait", task_id: id });
  assertEquals([status, error], ["completed", undefined]);
}

Deno.test("a silent link is cut and its task runs elsewhere, any number of times, without a death", async () => {
  await using server = await start();
  using client = await server.connect();
  using first = await LiveWorker.join(server);
  await submit(client, "task");
  let silent = first;
  for (let i = 0; i <= MAX_DEATHS; i++) {
    assertEquals((await silent.next())?.id, "task");
    silent.freeze();
    assertEquals(await silent.next(), null);
    silent[Symbol.dispose]();
    silent = await LiveWorker.join(server);
  }
  using worker = silent;
  const task = await worker.next();
  worker.send({ lease: task?.lease, result: 1 });
  await completed(client, "task");
  assert(server.lines.some((line) => line.includes("is cut off: it has sent nothing for")));
});

Deno.test("the server's own process is killed if it is frozen, and its tasks run on another", async () => {
  await using server = await start({ workers: 1 });
  using client = await server.connect();
  const { pools } = await client.ask({ cmd: "stats" });
  const { pid } = pools[0];
  Deno.kill(pid, "SIGSTOP");
  await client.ask({ op: "square", n: 5, task: { id: "task", wait: false } });
  const { status, result } = await client.ask({ cmd: "wait", task_id: "task" });
  assertEquals([status, result], ["completed", 25]);
  const after = await client.ask({ cmd: "stats" });
  assertEquals(after.pools.length, 1);
  assertNotEquals(after.pools[0].pid, pid);
});

Deno.test("a server that was itself stopped cuts no link", async () => {
  await using server = await start();
  using client = await server.connect();
  using worker = await LiveWorker.join(server);
  await submit(client, "task");
  const task = await worker.next();
  // The server runs in this process.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * LIMITS.silentLinkMs);
  await new Promise((resolve) => setTimeout(resolve, LIMITS.quietLinkMs));
  worker.send({ lease: task?.lease, result: 1 });
  await completed(client, "task");
  assertEquals(server.lines.filter((line) => line.includes("cut off")), []);
});

Deno.test("a quiet link gets no tasks until it shows life again", async () => {
  await using server = await start({ limits: { ...LIMITS, silentLinkMs: 600_000 } });
  using client = await server.connect();
  using quiet = await LiveWorker.join(server);
  quiet.freeze();
  using old = await FakeWorker.join(server, OPS, { credit: 0 });
  await new Promise((resolve) => setTimeout(resolve, 2 * LIMITS.quietLinkMs));
  await submit(client, "one");
  await old.link.sendObjects({ credit: 1 });
  assertEquals(await old.nextTasks(1), ["one"]);
  await submit(client, "two");
  quiet.thaw();
  assertEquals((await quiet.next())?.id, "two");
});

Deno.test("an idle link that shows life stays, and so does a link of an older release, which shows none", async () => {
  await using server = await start();
  using client = await server.connect();
  using live = await LiveWorker.join(server, { credit: 1 });
  using old = await FakeWorker.join(server, OPS, { credit: 1 });
  await new Promise((resolve) => setTimeout(resolve, 2 * LIMITS.silentLinkMs));
  await submit(client, "one", "two");
  const ids = [(await live.next())?.id, ...await old.nextTasks(1)];
  assertEquals(ids.toSorted(), ["one", "two"]);
});

Deno.test("a link whose leases ran out is cut, so that it does not get the same tasks again", async () => {
  await using server = await start({ leaseMs: 1000 });
  using client = await server.connect();
  using old = await FakeWorker.join(server, OPS);
  await submit(client, "task");
  assertEquals(await old.nextTasks(1), ["task"]);
  assertEquals(await old.link.rest(), []);
  using worker = await LiveWorker.join(server);
  const task = await worker.next();
  assertEquals([task?.id, task?.attempt], ["task", 1]);
  worker.send({ lease: task?.lease, result: 1 });
  await completed(client, "task");
});

/** Lines that no worker process writes. */
const BAD_LINES: [what: string, line: string | Uint8Array, says: string][] = [
  ["is not JSON", "{oops\n", "is not JSON"],
  ["is not UTF-8", new Uint8Array([0xff, 0xfe, 10]), "is not UTF-8"],
  ["is no object", "[7]\n", "is not an object"],
  ["has a wrong lease", '{"lease":"7","cancelled":true}\n', "is not well formed"],
  ["has half a result", '{"lease":7,"result":{"a":1\n', "is not JSON"],
  ["has an unknown failure", '{"lease":7,"error":{"code":"x","message":"y"}}\n', "not well formed"],
  ["renews no leases", '{"renew":7}\n', "is not well formed"],
  ["releases no leases", '{"release":null}\n', "is not well formed"],
  ["retires for nothing", '{"retire":[[7,"boredom"]]}\n', "is not well formed"],
  ["credits itself too much", '{"credit":1e9}\n', "is not well formed"],
];

for (const [what, line, says] of BAD_LINES) {
  Deno.test(`results before and after a line that ${what} count, and the link is cut`, async () => {
    await using server = await start();
    using client = await server.connect();
    using worker = await LiveWorker.join(server);
    await submit(client, "before", "after", "other");
    const leases = new Map<string, number>();
    while (leases.size < 3) {
      const task = await worker.next();
      leases.set(task!.id, task!.lease);
    }
    const encoder = new TextEncoder();
    const result = (id: string) => encoder.encode(`{"lease":${leases.get(id)},"result":1}\n`);
    const bad = typeof line === "string" ? encoder.encode(line) : line;
    // One write, so that one read has it all.
    await worker.sendText(new Uint8Array([...result("before"), ...bad, ...result("after")]));
    assertEquals(await worker.next(), null);
    for (const id of ["before", "after"]) await completed(client, id);
    using second = await LiveWorker.join(server);
    const other = await second.next();
    assertEquals(other?.id, "other");
    second.send({ lease: other?.lease, result: 1 });
    await completed(client, "other");
    const [log] = server.lines.filter((line) => line.includes("it broke the protocol"));
    assertStringIncludes(log ?? "", says);
    assertStringIncludes(log ?? "", "its task runs again");
  });
}

Deno.test("a report that belongs to a later release is ignored", async () => {
  await using server = await start();
  using client = await server.connect();
  using worker = await LiveWorker.join(server);
  await submit(client, "task");
  const task = await worker.next();
  worker.send({ weather: "fine" }, { lease: task?.lease, result: 1 });
  await completed(client, "task");
});

Deno.test("half a line at the end of a link is neither a result nor an error of the process", async () => {
  await using server = await start();
  using client = await server.connect();
  {
    using worker = await LiveWorker.join(server);
    await submit(client, "task");
    const task = await worker.next();
    await worker.sendText(`{"lease":${task?.lease},"result":{"a":1}`);
  }
  using worker = await LiveWorker.join(server);
  const task = await worker.next();
  assertEquals(task?.id, "task");
  worker.send({ lease: task?.lease, result: 1 });
  await completed(client, "task");
  assertEquals(server.lines.filter((line) => line.includes("protocol")), []);
});
