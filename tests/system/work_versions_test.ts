/** Workers and servers of neighbouring releases: lines as earlier and later releases write them. */

import { assertEquals, assertMatch } from "@std/assert";
import { delay } from "@std/async/delay";
import { PoolKeeper } from "../../cli/pool/pool_keeper.ts";
import { BUILTIN_WORK } from "../../protocol/pool_start.ts";
import { WORK_VERSION } from "../../protocol/work_message.ts";
import { FakeServer } from "../kit/fake_server.ts";
import { TestServer } from "../kit/test_server.ts";

/** The first line of a worker process of the release that spoke version 3 alone. */
const HELLO_3 = {
  cmd: "work",
  version: 3,
  workers: 2,
  credit: 4,
  ops: [{ op: "square" }, {
    op: "report",
    file: "tasks.ts",
    version: "1a2b3c4d5e6f",
    timeout: 500,
  }],
  pid: 4711,
  alive: true,
  pool: "5b0b8c1e-7d4d-4f0e-9f0c-0d9f3c1a2b3c",
};

Deno.test("a server takes worker processes of the release before, the same, and the one after", async () => {
  await using server = await TestServer.start({ workers: 0 });
  const hellos = [
    HELLO_3,
    { ...HELLO_3, version: WORK_VERSION, oldest: WORK_VERSION },
    { ...HELLO_3, version: WORK_VERSION + 1, oldest: WORK_VERSION, new_member: { a: 1 } },
  ];
  for (const hello of hellos) {
    const { cmd, version, ...rest } = hello;
    using client = await server.connect();
    using link = await server.connect();
    const welcome = await link.ask({ cmd, version, secret: server.secret, ...rest });
    assertEquals([welcome.work, welcome.version], ["ok", WORK_VERSION]);
    await client.ask({ op: "square", n: 3, task: { wait: false } });
    const task = await link.object();
    assertEquals(task.submit, { op: "square", n: 3, task: { wait: false } });
    await link.sendObjects({ lease: task.lease, result: 9 });
    const { status, result } = await client.ask({ cmd: "wait", task_id: task.id });
    assertEquals([status, result], ["completed", 9]);
  }
});

Deno.test("a server refuses worker processes with which it has no version in common", async () => {
  await using server = await TestServer.start({ workers: 0 });
  const versions = [
    { version: 1 },
    { version: WORK_VERSION + 1 },
    { version: WORK_VERSION + 5, oldest: WORK_VERSION + 1 },
    { version: WORK_VERSION, oldest: WORK_VERSION + 1 },
    { version: WORK_VERSION, oldest: "3" },
    { version: 3.5, oldest: 3 },
    { version: "3" },
    {},
  ];
  for (const version of versions) {
    const { cmd, version: _version, ...rest } = HELLO_3;
    using link = await server.connect();
    const { error } = await link.ask({ cmd, ...version, secret: server.secret, ...rest });
    assertEquals(error.code, "bad_request", JSON.stringify(version));
    assertMatch(error.message, /run the same release of sd on both, or the one before or after/);
    assertEquals(await link.line(), null);
  }
});

class Process implements AsyncDisposable {
  readonly server = new FakeServer("s3cret");
  readonly keeper: PoolKeeper;

  constructor() {
    const { address } = this.server;
    const start = { server: address, secret: "s3cret", workers: 1, ...BUILTIN_WORK };
    this.keeper = new PoolKeeper({ start: { ...start, reconnect: true, pool: "p" } });
    this.keeper.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.keeper.stop(0);
    this.server[Symbol.dispose]();
  }
}

Deno.test("a worker process runs tasks of a server of version 3, which announces nothing else", async () => {
  await using process = new Process();
  const link = await process.server.accept();
  await link.until(({ ops }) => ops !== undefined);
  await link.say({ work: "ok", lease_ms: 30_000, alive_ms: 1000 });
  await link.lease(1, { op: "square", n: 12 });
  assertEquals(await link.endOf(1), { lease: 1, result: 144 });
});

Deno.test("a worker process comes back each time that its server ends, however soon", async () => {
  await using process = new Process();
  for (let ends = 0; ends < 20; ends++) {
    const link = await process.server.accept();
    await link.welcome();
    if (ends % 2 === 0) {
      await link.lease(1, { op: "square", n: 12 });
      await link.endOf(1);
    }
    link.cut();
  }
});

Deno.test("a worker process of another release does not ask again at once", async () => {
  await using process = new Process();
  const link = await process.server.accept();
  await link.until(({ ops }) => ops !== undefined);
  await link.say({ error: { code: "bad_request", message: "this server speaks version 9" } });
  link.cut();
  const again = process.server.accept();
  const first = await Promise.race([again.then(() => "again"), delay(1000).then(() => "waits")]);
  assertEquals(first, "waits");
  await (await again).welcome();
});
