/** The runs that a worker process names in its first line: each is taken up once, and nothing else is believed. */

import { assertEquals } from "@std/assert";
import { helloOf } from "../kit/fake_worker.ts";
import type { RawClient } from "../kit/raw_client.ts";
import { TestServer } from "../kit/test_server.ts";

const OPS = [{ op: "a" }];

async function join(server: TestServer, more: object) {
  const link = await server.connect();
  const welcome = await link.ask({ ...helloOf(server, OPS), ...more });
  return { link, welcome };
}

async function endOf(client: RawClient, id: string): Promise<unknown[]> {
  const { status, result } = await client.ask({ cmd: "wait", task_id: id });
  return [status, result];
}

Deno.test("a first line with runs that are not well formed is refused, and changes nothing", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using client = await server.connect();
  await client.ask({ op: "a", task: { id: "t", wait: false } });
  const right = ["t", 1, 1, 7];
  const wrong = [
    { holds: {} },
    { holds: [right, right] },
    { holds: [["t", 0, 1, 7]] },
    { holds: [["t", 1, -1, 7]] },
    { holds: [["t", 1, 1, 0]] },
    { holds: [["t", 1, 1, 2 ** 53]] },
    { holds: [["t", 1, 1]] },
    { holds: [[5, 1, 1, 7]] },
    { holds: ["t"] },
    { holds: [null] },
    { holds: [right], last: -1 },
    { holds: [right], last: 2 ** 53 },
    { holds: [right], instance: "" },
    { holds: [right], instance: "x".repeat(1000) },
    { holds: [right], leaving: 1 },
  ];
  // Beside each other: a reply to a wrong first line with a secret takes a second.
  await Promise.all(wrong.map(async (more) => {
    const { link, welcome } = await join(server, { instance: "p", ...more });
    assertEquals(welcome.error?.code, "bad_request", JSON.stringify(more));
    link[Symbol.dispose]();
  }));
  // A process without a name of its own goes on with nothing.
  const { link, welcome } = await join(server, { holds: [right] });
  assertEquals(welcome.held, []);
  assertEquals((await link.object()).id, "t");
  link[Symbol.dispose]();
});

Deno.test("a process that connects again before its link is seen to end takes its runs along", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using client = await server.connect();
  const first = await join(server, { instance: "p" });
  await client.ask({ op: "a", task: { id: "t", wait: false } });
  const { lease } = await first.link.object();
  const holds = [["t", 1, Date.now(), lease], ["other", 1, Date.now(), lease + 1]];
  const second = await join(server, { instance: "p", holds, last: lease + 1 });
  assertEquals(second.welcome.held, [lease]);
  await client.ask({ op: "a", task: { id: "next", wait: false } });
  const next = await second.link.object();
  assertEquals([next.id, next.lease > lease + 1], ["next", true]);
  await first.link.sendObjects({ lease, result: "late" }).catch(() => undefined);
  await second.link.sendObjects({ lease, result: "right" }, { lease, result: "twice" });
  assertEquals(await endOf(client, "t"), ["completed", "right"]);
  for (const { link } of [first, second]) link[Symbol.dispose]();
});

Deno.test("a link that is lost again and again costs no deaths, but a process that does not come back does", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using client = await server.connect();
  await client.ask({ op: "a", task: { id: "t", wait: false } });
  let { link } = await join(server, { instance: "p" });
  const { lease } = await link.object();
  for (let losses = 0; losses < 5; losses++) {
    link[Symbol.dispose]();
    const holds = [["t", 1, Date.now(), lease]];
    const again = await join(server, { instance: "p", holds, last: lease });
    assertEquals(again.welcome.held, [lease]);
    link = again.link;
  }
  for (let deaths = 0; deaths < 3; deaths++) {
    link[Symbol.dispose]();
    if (deaths === 2) break;
    link = (await join(server, { instance: `q${deaths}` })).link;
    for (let task = await link.object(); task.id !== "t";) task = await link.object();
  }
  const { status, error } = await client.ask({ cmd: "wait", task_id: "t" });
  assertEquals([status, error?.code], ["failed", "worker_crashed"]);
});
