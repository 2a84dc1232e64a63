/** Rates of ops, as worker processes name them: no more tasks are handed out than that. */

import { assertEquals, assertMatch } from "@std/assert";
import { WORK_VERSION } from "../../protocol/work_message.ts";
import { TestServer } from "../kit/test_server.ts";

Deno.test("an op with a rate is handed out no faster, and why tells when the next may start", async () => {
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

Deno.test("a worker process whose rate is none is refused", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using link = await server.connect();
  const { secret } = server;
  const hello = { cmd: "work", version: WORK_VERSION, secret, workers: 1, credit: 1, pid: 1 };
  const answer = await link.ask({ ...hello, ops: [{ op: "a", rate: "often" }] });
  assertEquals(answer.error.code, "bad_request");
});
