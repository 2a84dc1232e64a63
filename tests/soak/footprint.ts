/** What a process costs the system, and whether that grows. */

import { delay } from "@std/async/delay";
import { shell } from "../kit/sd_process.ts";

/** Footprints are taken after each fifth of what is repeated; by the first one all is warm. */
export const PARTS = 5;

const LOOK_MS = 200;
/** As many without a thread more or less are three seconds. */
const QUIET_LOOKS = 15;
const PATIENCE_MS = 60_000;
/** Threads in which the runtime reads files: up to thirty after a worker has loaded its modules, each for ten seconds. */
const POOLED = "^tokio-runtime";

export interface Footprint {
  readonly rssMib: number;
  readonly files: number;
  readonly threads: number;
}

/**
 * Of the process `pid`, once threads that are about to end have done so, and their memory with them: before
 * Deno 2.7 that takes two seconds. On Linux alone.
 */
export async function settledFootprintOf(pid: number): Promise<Footprint> {
  let last = await footprintOf(pid);
  const end = performance.now() + PATIENCE_MS;
  for (let quiet = 0; quiet < QUIET_LOOKS && performance.now() < end; quiet++) {
    await delay(LOOK_MS);
    const next = await footprintOf(pid);
    if (next.threads !== last.threads) quiet = 0;
    last = next;
  }
  return last;
}

async function footprintOf(pid: number): Promise<Footprint> {
  const text = await shell(
    `awk '/VmRSS/ {print $2 / 1024}' /proc/${pid}/status; ` +
      `ls /proc/${pid}/fd | wc -l; cat /proc/${pid}/task/*/comm | grep -vc "${POOLED}"`,
  );
  const [rssMib = NaN, files = NaN, threads = NaN] = text.split("\n").map(Number);
  return { rssMib: Math.round(rssMib), files, threads };
}

/**
 * What is more in the last one than in the first, by more than comes and goes; empty where nothing is. What
 * was replaced some hundred times would have left far more: a worker that does not end is a thread and 8 MiB.
 */
export function growthIn(footprints: readonly Footprint[]): string[] {
  const [early, late] = [footprints[0]!, footprints.at(-1)!];
  const allowed: Footprint = { rssMib: Math.max(64, early.rssMib / 2), files: 4, threads: 4 };
  return (Object.keys(allowed) as (keyof Footprint)[])
    .filter((what) => !(late[what] - early[what] <= allowed[what]))
    .map((what) => `${what}: ${early[what]} → ${late[what]}`);
}
