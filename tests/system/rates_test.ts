/** Rates of ops, as worker processes name them: no more tasks start than the rate allows. */

import { assertEquals, assertMatch } from "@std/assert";
import { WORK_VERSION } from "../../protocol/work_message.ts";
import { TestServer } from "../kit/test_server.ts";

Deno.test("tasks of an op start no faster than its rate, and why reports the time of the next start", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using link = await server.connect();
  const hello = {
    cmd: "work",
    version: WORK_VERSION,
    secret: server.secret,
    workers: 1,
    credit: 10,
    ops: [{ op: "fetch", rate: "2/1h" }, { op: "other" }],
    pid: 1,
  };
  await link.sendObjects(hello);
  assertEquals((await link.object()).work, "ok");
  using client = await server.connect();
  await client.sendObjects(
    ...["a", "b", "c"].map((id) => ({ op: "fetch", task: { id } })),
    { op: "other", task: { id: "d" } },
  );
  for (let i = 0; i < 4; i++) assertEquals((await client.object()).status, "queued");
  const leased = [await link.object(), await link.object(), await link.object()];
  assertEquals(leased.map(({ id }) => id), ["a", "b", "d"]);
  const why = await client.ask({ cmd: "why", task_id: "c" });
  assertEquals(why.code, "op_rate");
  assertMatch(why.why, /the next may start at \d{4}-/);
});
