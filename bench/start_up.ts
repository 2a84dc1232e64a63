/** From `sd serve` to the first result: the whole system started, asked once, and stopped. */

import { connect } from "../client/mod.ts";
import { median, sdCommand, serveArgs } from "./running.ts";

const RUNS = 7;
const RETRY_MS = 2;

/** Milliseconds from starting the process to the answer 49, the median of some runs. */
export async function startUp(): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < RUNS; i++) times.push(await firstResult());
  return median(times);
}

async function firstResult(): Promise<number> {
  const port = freePort();
  const folder = await Deno.makeTempDir({ prefix: "sd-bench-" });
  const flags = serveArgs(2, "sqlite", folder);
  const { path, args } = sdCommand(["serve", "--port", String(port), ...flags]);
  const start = performance.now();
  const child = new Deno.Command(path, { args, stderr: "null", stdout: "null" }).spawn();
  for (;;) {
    try {
      await using client = await connect({ hostname: "127.0.0.1", port });
      const task = await client.submit("square", { n: 7 });
      await task.result;
      break;
    } catch {
      // It does not listen yet.
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
  const ms = performance.now() - start;
  child.kill("SIGTERM");
  await child.status;
  await Deno.remove(folder, { recursive: true });
  return ms;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}
