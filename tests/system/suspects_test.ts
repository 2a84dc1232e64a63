/** Suspects with several worker processes: each runs in the end, and delays no other task. */

import { assert, assertEquals } from "@std/assert";
import { MAX_DEATHS } from "../../protocol/limits.ts";
import { FakeWorker, type FakeWorkerOptions } from "../kit/fake_worker.ts";
import type { RawClient } from "../kit/raw_client.ts";
import { TestServer } from "../kit/test_server.ts";

const A = [{ op: "a" }], B = [{ op: "b" }];

/** A worker process that returns the lease of a task as its result. */
class Worker {
  private constructor(readonly fake: FakeWorker) {}

  static async join(server: TestServer, ops: { op: string }[], options: FakeWorkerOptions = {}) {
    return new Worker(await FakeWorker.join(server, ops, options));
  }

  async next(): Promise<{ id: string; lease: number }> {
    const { id, lease } = await this.fake.link.object();
    return { id, lease };
  }

  async end(lease: number): Promise<void> {
    await this.fake.link.sendObjects({ lease, result: 1 });
  }
}

/** Submits a task, and has it die until its next death is its last. */
async function makeSuspect(
  server: TestServer,
  client: RawClient,
  { id, op, ...task }: { id: string; op: string; key?: string; limit?: number },
): Promise<void> {
  for (let death = 1; death < MAX_DEATHS; death++) {
    using worker = (await Worker.join(server, [{ op }])).fake;
    if (death === 1) await client.ask({ op, task: { id, wait: false, ...task } });
    assertEquals(await worker.nextTasks(1), [id]);
  }
  // The server may not have seen the end of the last link yet.
  for (;;) {
    const { status } = await client.ask({ cmd: "get", task_id: id });
    if (status === "queued") return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("a suspect whose op only a busy pool has runs, and an idle pool without the op goes on", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using client = await server.connect();
  await makeSuspect(server, client, { id: "suspect", op: "a" });
  const busy = await Worker.join(server, A, { credit: 2 });
  // Its turn comes before a worker is idle.
  const { id, lease } = await busy.next();
  assertEquals(id, "suspect");
  await client.ask({ op: "a", task: { id: "neighbour", wait: false } });
  await busy.end(lease);
  const held = await busy.next();
  assertEquals(held.id, "neighbour");
  const idle = await Worker.join(server, B);
  await makeSuspectWhile(server, client, { busy, lease: held.lease });
  await client.ask({ op: "b", task: { id: "b1", wait: false } });
  assertEquals((await idle.next()).id, "b1", "the other pool goes on");
  await busy.end(held.lease);
  assertEquals((await busy.next()).id, "second", "the suspect runs once nothing else does");
  for (const worker of [busy, idle]) worker.fake[Symbol.dispose]();
});

/** Another suspect of `a`, while `busy` goes on with what it holds. */
async function makeSuspectWhile(
  server: TestServer,
  client: RawClient,
  { busy, lease }: { busy: Worker; lease: number },
): Promise<void> {
  // Without free places it gets none of the runs that must die.
  await busy.fake.link.sendObjects({ credit: 1 }, { renew: [lease] });
  await client.ask({ cmd: "ping" });
  await makeSuspect(server, client, { id: "second", op: "a" });
  await busy.fake.link.sendObjects({ credit: 2 });
}

Deno.test("a suspect of an op that no pool has blocks no other task", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using client = await server.connect();
  await makeSuspect(server, client, { id: "orphan", op: "a" });
  await makeSuspect(server, client, { id: "other", op: "b" });
  const worker = await Worker.join(server, B);
  const { id, lease } = await worker.next();
  assertEquals(id, "other");
  await worker.end(lease);
  await client.ask({ op: "b", task: { id: "b1", wait: false } });
  assertEquals((await worker.next()).id, "b1");
  worker.fake[Symbol.dispose]();
});

/** The order in which two workers run six tasks and a suspect of one op, with a limit of one at a time. */
async function orderUnderLimit(
  { spec, task }: { spec: { limit?: number }; task: { key?: string; limit?: number } },
): Promise<string[]> {
  await using server = await TestServer.start({ workers: 0 });
  using client = await server.connect();
  await makeSuspect(server, client, { id: "suspect", op: "a", ...task });
  for (let n = 0; n < 6; n++) {
    await client.ask({ op: "a", n, task: { id: `task-${n}`, wait: false, ...task } });
  }
  const ops = [{ op: "a", ...spec }];
  const workers = [await Worker.join(server, ops), await Worker.join(server, ops)];
  const ran: string[] = [];
  await Promise.all(workers.map(async (worker) => {
    while (ran.length < 7) {
      let next;
      try {
        next = await worker.next();
      } catch {
        // Closed below, once all have run.
        return;
      }
      ran.push(next.id);
      if (ran.length === 7) workers.forEach(({ fake }) => fake[Symbol.dispose]());
      else await worker.end(next.lease);
    }
  }));
  return ran;
}

for (
  const [what, bounds] of [
    ["op", { spec: { limit: 1 }, task: {} }],
    ["key", { spec: {}, task: { key: "k", limit: 1 } }],
  ] as const
) {
  Deno.test(`a suspect has its turn under the limit of its ${what}, however many tasks wait`, async () => {
    const ran = await orderUnderLimit(bounds);
    const all = ["suspect", "task-0", "task-1", "task-2", "task-3", "task-4", "task-5"];
    assertEquals(ran.toSorted(), all);
    assert(ran.indexOf("suspect") < 4, `the suspect was not among the last: ${ran}`);
  });
}

Deno.test("a suspect whose pool leaves while the suspect is held back runs on the next pool", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using client = await server.connect();
  const busy = await Worker.join(server, A, { credit: 1 });
  await client.ask({ op: "a", task: { id: "held", wait: false } });
  const held = await busy.next();
  await makeSuspect(server, client, { id: "suspect", op: "a" });
  // From here on it is held back.
  await busy.fake.link.sendObjects({ credit: 5 }, { renew: [held.lease] });
  await client.ask({ cmd: "ping" });
  busy.fake[Symbol.dispose]();
  const next = await Worker.join(server, A);
  const ran = [await next.next()];
  await next.end(ran[0]!.lease);
  ran.push(await next.next());
  assertEquals(ran.map(({ id }) => id).toSorted(), ["held", "suspect"]);
  next.fake[Symbol.dispose]();
});
