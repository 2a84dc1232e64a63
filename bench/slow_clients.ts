/**
 * What 1,000 half-open connections and one client that never reads cost another client: its latency
 * beside them and without them, in turn. `deno run -A bench/slow_clients.ts`.
 */

import { print } from "../cli/talk.ts";
import { benchTasks, median, startServer } from "./running.ts";

const HALF_OPEN = 1000;
const ROUNDS = 5;
const LOAD = { connections: 1, depth: 1, count: 3000 };

/** Connections that have begun a line and say no more, and one that submits and never reads. */
async function burden(port: number): Promise<() => Promise<void>> {
  const address = { hostname: "127.0.0.1", port };
  const half = await Promise.all(Array.from({ length: HALF_OPEN }, () => Deno.connect(address)));
  await Promise.all(half.map((conn) => conn.write(new TextEncoder().encode('{"op":'))));
  const greedy = await Deno.connect(address);
  const lines = new TextEncoder().encode(
    `{"op":"echo","data":"${"x".repeat(10_000)}"}\n`.repeat(10),
  );
  const flood = (async () => {
    for (;;) {
      for (let at = 0; at < lines.length;) at += await greedy.write(lines.subarray(at));
    }
    // Cut by the server, or closed below.
  })().catch(() => undefined);
  return async () => {
    for (const conn of half) conn.close();
    greedy.close();
    await flood;
  };
}

await using server = await startServer(2, "memory");
await benchTasks(server.port, LOAD);
const alone: number[] = [];
const beside: number[] = [];
for (let i = 0; i < ROUNDS; i++) {
  alone.push((await benchTasks(server.port, LOAD)).latency.p99);
  const relieve = await burden(server.port);
  // The flood fills all buffers. Then it stands still, and hinders no other client.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  beside.push((await benchTasks(server.port, LOAD)).latency.p99);
  await relieve();
}
print(`p99 alone ${median(alone).toFixed(2)} ms, beside them ${median(beside).toFixed(2)} ms`);
