/** A whole server over an engine that is late and fails: each refusal can be repeated, and each task ends once. */

import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { openEngine } from "../../server/engine/open.ts";
import { type EngineFaults, FlakyEngine, INJECTED } from "../faults/flaky_engine.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import type { RawClient } from "../kit/raw_client.ts";
import { TestServer } from "../kit/test_server.ts";

const CLIENTS = 8;
const TASKS = 150;

/** A server over such an engine, with short leases: a run whose result was not kept starts again soon. */
async function start(faults?: EngineFaults): Promise<{ server: TestServer; engine: FlakyEngine }> {
  const opened = Promise.withResolvers<FlakyEngine>();
  const server = await TestServer.start({
    leaseMs: 1000,
    mayLog: INJECTED,
    async engine(ended) {
      const engine = await openEngine("memory:", { ended });
      const flaky = new FlakyEngine(engine, new Random(newSeed()), { faults });
      opened.resolve(flaky);
      return flaky;
    },
  });
  return { server, engine: await opened.promise };
}

/** Submits tasks, again if they are refused; resolves when each has one final line, and it is right. */
async function submitAll(client: RawClient, name: string): Promise<void> {
  const open = new Set<string>();
  const submit = (ref: string) => {
    open.add(ref);
    return { op: "square", n: Number(ref.split("-")[1]), ref, task: { id: ref } };
  };
  await client.sendObjects(
    ...Array.from({ length: TASKS }, (_, n) => submit(`${name}-${n}`)),
  );
  while (open.size > 0) {
    const { ref, status, result, error } = await client.object();
    assert(open.has(ref), `a line too many for ${ref}: ${status}`);
    if (status === undefined) {
      assertEquals(error?.code, "storage_full");
      await delay(1);
      await client.sendObjects(submit(ref));
    } else if (status !== "queued") {
      assertEquals([status, result], ["completed", Number(ref.split("-")[1]) ** 2]);
      open.delete(ref);
    }
  }
}

async function submitFromAll(server: TestServer): Promise<void> {
  await Promise.all(Array.from({ length: CLIENTS }, async (_, n) => {
    using client = await server.connect();
    await submitAll(client, `client${n}`);
  }));
}

Deno.test("over a late engine each client gets each of its results, once", async () => {
  const { server } = await start();
  await using _ = server;
  await submitFromAll(server);
});

Deno.test("over a failing engine every task that was refused can be sent again, and each ends once", async () => {
  const { server, engine } = await start({ share: 0.2 });
  await using _ = server;
  await submitFromAll(server);
  assert(engine.failed > 10, `only ${engine.failed} calls failed`);
  engine.setFaults();
});

Deno.test("over a failing engine a refused command has done nothing, and the next one does it", async () => {
  const { server, engine } = await start();
  await using _ = server;
  using client = await server.connect();
  await client.ask({ op: "square", n: 1, task: { id: "later", delay: 600_000, wait: false } });
  engine.setFaults({ share: 1, methods: ["cancel", "enqueue", "requeue"] });
  const refused = [
    await client.ask({ cmd: "cancel", task_id: "later" }),
    await client.ask({ op: "square", n: 1, task: { id: "new", wait: false } }),
  ];
  assertEquals(refused.map(({ error }) => error?.code), ["storage_full", "storage_full"]);
  assertEquals((await client.ask({ cmd: "get", task_id: "later" })).status, "delayed");
  assertEquals((await client.ask({ cmd: "get", task_id: "new" })).error?.code, "not_found");
  engine.setFaults();
  assertEquals((await client.ask({ cmd: "cancel", task_id: "later" })).status, "cancelled");
});
