/**
 * A server in a process of its own whose leases are short, for tests that stop processes: `lease_server.ts LEASE_MS`, with
 * one worker. Its first line is the port; it ends with its stdin, and then writes its log.
 */

import { TestServer } from "./test_server.ts";

if (import.meta.main) {
  const server = await TestServer.start({ workers: 1, leaseMs: Number(Deno.args[0]) });
  const write = (text: string) => Deno.stdout.write(new TextEncoder().encode(text));
  await write(`${server.address.port}\n`);
  await Deno.stdin.read(new Uint8Array(1));
  await server.stop(0);
  for (const line of server.lines) await write(`${line}\n`);
}
