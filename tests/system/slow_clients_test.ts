/** Many slow clients do not hinder a quick one, and their resources are freed. */

import { assert, assertEquals } from "@std/assert";
import { RawClient } from "../kit/raw_client.ts";
import { openFiles, residentMib, SdServe } from "../kit/sd_process.ts";

const HALF_OPEN = 1000;
const MAX_GROWTH_MIB = 500;

async function square(client: RawClient, n: number): Promise<void> {
  assertEquals((await client.ask({ op: "square", n })).status, "queued");
  assertEquals((await client.object()).result, n * n);
}

Deno.test("1,000 half-open connections and one that never reads do not stop service for others", async () => {
  await using server = await SdServe.start([
    "--workers",
    "2",
    "--max-queued-mib",
    "32",
    "--max-unread",
    "16",
  ]);
  const { pid } = server.child;
  using client = await RawClient.connect(server.address);
  for (let n = 0; n < 200; n++) await square(client, n);
  const before = { files: await openFiles(pid), mib: await residentMib(pid) };

  const halfOpen = await Promise.all(
    Array.from({ length: HALF_OPEN }, () => Deno.connect(server.address)),
  );
  await Promise.all(halfOpen.map((conn) => conn.write(new TextEncoder().encode('{"op":'))));
  const greedy = await RawClient.connect(server.address);
  const data = "x".repeat(300_000);
  let isOver = false;
  const flood = (async () => {
    try {
      while (!isOver) await greedy.sendObjects({ op: "echo", data });
      await greedy.closeWrite();
    } catch (error) {
      // The server has cut it.
      const { BrokenPipe, ConnectionReset, NotConnected } = Deno.errors;
      const kinds = [BrokenPipe, ConnectionReset, NotConnected];
      if (!kinds.some((kind) => error instanceof kind)) throw error;
    }
  })();
  for (let n = 0; n < 300; n++) await square(client, n);
  const during = await residentMib(pid);
  assert(during - before.mib < MAX_GROWTH_MIB, `grown from ${before.mib} to ${during} MiB`);

  for (const conn of halfOpen) conn.close();
  isOver = true;
  await Promise.all([greedy.rest(), flood]);
  greedy[Symbol.dispose]();
  const end = Date.now() + 20_000;
  while (await openFiles(pid) > before.files) {
    assert(
      Date.now() < end,
      `${await openFiles(pid)} files are open, before it were ${before.files}`,
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await square(client, 12);
});

Deno.test("a server out of file descriptors serves again once some are free", async () => {
  await using server = await SdServe.start(["--workers", "1"], { before: "ulimit -n 128" });
  const conns = await Promise.all(
    Array.from({ length: 200 }, () => Deno.connect(server.address)),
  );
  const end = Date.now() + 10_000;
  while (!server.lines.some((line) => line.includes("cannot accept"))) {
    assert(Date.now() < end, "it ran out of file descriptors");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  for (const conn of conns) conn.close();
  using client = await RawClient.connect(server.address);
  await square(client, 7);
});
