/** Refusals that name the cause: a retry that another task prevents, times that do not exist. */

import { assertEquals, assertRejects } from "@std/assert";
import { connect } from "../../client/mod.ts";
import { SdError } from "../../protocol/errors.ts";
import { runSd } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";

Deno.test("a retry that a parent prevents names the parent, and the cure", async () => {
  await using server = await TestServer.start({ workers: 0 });
  await using client = await connect(server.address);
  await client.submit("sleep", { ms: 1 }, { id: "p", wait: false });
  await client.submit("echo", {}, { id: "c", after: ["p"], wait: false });
  await client.cancel("p");
  const error = await assertRejects(() => client.retry("c"), SdError);
  assertEquals(
    error.message,
    'task "c" cannot be retried: it comes after task "p", which is cancelled; retry "p" first',
  );
  await client.retry("p");
  // It waits for the other one again.
  assertEquals((await client.retry("c")).status, "delayed");
});

Deno.test("times that do not exist are refused by the server and by the command line", async () => {
  await using server = await TestServer.start({ workers: 0 });
  await using client = await connect(server.address);
  for (const at of ["2026-02-30T00:00:00Z", "2030-01-01T24:00:00Z", "2030-06-30T23:59:60Z"]) {
    await assertRejects(() => client.submit("echo", {}, { at }), SdError, "task.at is a time");
  }
  const flag = `--server=127.0.0.1:${server.address.port}`;
  const env = { TZ: "Europe/Rome" };
  const exits: [string, number][] = [
    ["2026-02-30", 2],
    ["2026-03-29 02:30", 2],
    ["2026-03-29 03:30", 0],
    ["2026-01-01T24:00", 2],
    ["2026-02-28", 0],
    ["99999999999d", 2],
  ];
  for (const [since, exit] of exits) {
    const { code, stderr } = await runSd(["ls", flag, "--since", since], env);
    assertEquals(code, exit, `${since}: ${stderr}`);
  }
});
