/**
 * `deno task soak`: replaces workers within a pool, and worker processes of a server, very often, and fails
 * when what they cost the system grows. `--workers N` (10,000), `--processes N` (1,000); 0 leaves one out.
 */

import { parseArgs } from "@std/cli/parse-args";
import { print } from "../../cli/talk.ts";
import { type Footprint, growthIn, PARTS } from "./footprint.ts";
import { soakProcesses } from "./process_soak.ts";
import { soakWorkers } from "./worker_soak.ts";

const flags = parseArgs(Deno.args, {
  string: ["workers", "processes"],
  default: { workers: "10000", processes: "1000" },
});

let hasGrown = false;
await soak("worker replacements", Number(flags.workers), soakWorkers);
await soak("process replacements", Number(flags.processes), soakProcesses);
Deno.exit(hasGrown ? 1 : 0);

async function soak(
  what: string,
  count: number,
  run: (count: number) => Promise<Footprint[]>,
): Promise<void> {
  if (count === 0) return;
  const start = performance.now();
  const footprints = await run(count);
  const seconds = Math.round((performance.now() - start) / 1000);
  print(`${count} ${what} in ${seconds} s`);
  for (const [i, { rssMib, files, threads }] of footprints.entries()) {
    const done = Math.ceil(count * (i + 1) / PARTS);
    print(`  after ${done}: ${rssMib} MiB, ${files} files, ${threads} threads`);
  }
  for (const growth of growthIn(footprints)) {
    print(`  has grown: ${growth}`);
    hasGrown = true;
  }
}
