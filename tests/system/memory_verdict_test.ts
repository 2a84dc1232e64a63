/** The ends of tasks whose worker process ends for its memory; the test plays the process. */

import { assertEquals } from "@std/assert";
import { WORK_VERSION } from "../../protocol/work_message.ts";
import type { RawClient } from "../kit/raw_client.ts";
import { TestServer } from "../kit/test_server.ts";

const HELLO = {
  cmd: "work",
  version: WORK_VERSION,
  workers: 3,
  credit: 3,
  ops: [{ op: "square" }, { op: "hoard" }],
  pid: 1,
};

interface Leased {
  lease: number;
  attempt: number;
  submit: { op: string; ref: string };
}

/** A worker process that has joined. */
async function enter(server: TestServer): Promise<RawClient> {
  const link = await server.connect();
  assertEquals((await link.ask({ ...HELLO, secret: server.secret })).work, "ok");
  return link;
}

Deno.test("a task that took too much memory fails at once, and its neighbours run again", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using client = await server.connect();
  await client.sendObjects(
    { op: "hoard", ref: "guilty", task: { attempts: 5, backoff: 0 } },
    { op: "square", n: 3, ref: "near" },
  );
  for (let n = 0; n < 2; n++) assertEquals((await client.object()).status, "queued");
  {
    using link = await enter(server);
    const tasks: Leased[] = [await link.object(), await link.object()];
    const guilty = tasks.find(({ submit }) => submit.op === "hoard");
    await link.sendObjects({ retire: [[guilty?.lease, "memory"]] });
  }
  const end = await client.object();
  assertEquals([end.ref, end.status, end.error.code, end.attempt], [
    "guilty",
    "failed",
    "out_of_memory",
    1,
  ]);
  using link = await enter(server);
  const again: Leased = await link.object();
  assertEquals([again.submit.ref, again.attempt], ["near", 1]);
  await link.sendObjects({ lease: again.lease, result: 9 });
  assertEquals((await client.object()).result, 9);
});

Deno.test("suspects run alone in the end, and only the one that takes too much memory fails", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using client = await server.connect();
  const names = ["first", "guilty", "third"];
  await client.sendObjects(...names.map((ref) => ({ op: "hoard", ref, task: { attempts: 3 } })));
  for (const _ of names) assertEquals((await client.object()).status, "queued");
  for (let death = 1; death <= 2; death++) {
    using link = await enter(server);
    const tasks: Leased[] = [];
    for (const _ of names) tasks.push(await link.object());
    await link.sendObjects({ retire: tasks.map(({ lease }) => [lease, "suspect"]) });
  }
  const ends = new Map<string, string>();
  while (ends.size < names.length) {
    const link = await enter(server);
    for (let lives = true; lives && ends.size < names.length;) {
      const { lease, submit: { ref } }: Leased = await link.object();
      // It runs alone, so no other task can be the cause.
      assertEquals((await client.ask({ cmd: "stats" })).tasks.running, 1);
      lives = ref !== "guilty";
      await link.sendObjects(lives ? { lease, result: 1 } : { retire: [[lease, "suspect"]] });
      if (!lives) link[Symbol.dispose]();
      const end = await client.object();
      ends.set(end.ref, end.error?.code ?? end.status);
    }
    link[Symbol.dispose]();
  }
  assertEquals(Object.fromEntries(ends), {
    first: "completed",
    guilty: "out_of_memory",
    third: "completed",
  });
});
