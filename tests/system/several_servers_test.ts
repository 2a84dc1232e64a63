/** A client and a worker process that know several servers: the next one is tried when one fails. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ClientError, connect } from "../../client/mod.ts";
import { freePort } from "../kit/private_service.ts";
import { runSd, SdServe } from "../kit/sd_process.ts";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { TestServer } from "../kit/test_server.ts";
import { until } from "../kit/until.ts";

const at = ({ address }: TestServer) => `127.0.0.1:${address.port}`;

Deno.test("a client connects to the first server that answers, and goes on with the next one", async () => {
  const first = await TestServer.start({ workers: 1 });
  await using second = await TestServer.start({ workers: 1 });
  const list = `127.0.0.1:${freePort()},${at(first)},${at(second)}`;
  await using client = await connect(list);
  assertEquals(client.target, at(first));
  assertEquals(await client.run("square", { n: 3 }), 9);
  await first.stop();
  assertEquals(await client.run("square", { n: 4 }), 16);
  assertEquals(client.target, at(second));
});

Deno.test("a server that accepts and never answers holds up no client that knows another", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using mute = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using client = await connect({
    port: (mute.addr as Deno.NetAddr).port,
    others: [server.address],
  });
  assertEquals(client.target, at(server));
});

Deno.test("without any server, the last reason is the error", async () => {
  const [one, other] = [freePort(), freePort()];
  const error = await assertRejects(
    () => connect(`127.0.0.1:${one},127.0.0.1:${other}`),
    ClientError,
  );
  assertEquals([error.code, error.message.includes(String(other))], ["unreachable", true]);
});

Deno.test("commands and worker processes take a list of servers", async () => {
  const port = freePort();
  await using second = await SdServe.start(["--workers", "0", "--engine", "memory:"], {
    env: { SD_POOL_SECRET: "s".repeat(32) },
  });
  const list = `127.0.0.1:${port},${second.server}`;
  const { path, args } = selfCommand(["work", "--workers", "1", "--server", list]);
  const work = new Deno.Command(path, {
    args,
    env: { SD_POOL_SECRET: "s".repeat(32) },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    await until("the worker is there", async () => {
      const { code, stdout } = await runSd(["status", "--json", "--server", list]);
      return code === 0 && JSON.parse(stdout).data.workers.workers === 1;
    });
    const { stdout } = await runSd(["submit", '{"op":"square","n":5}'], { SD_SERVER: list });
    assert(stdout.includes("25"));
  } finally {
    work.kill("SIGTERM");
    await work.status;
  }
});
