/** What a process costs the system, and whether that grows: samples of it, early ones beside late ones. */

import { delay } from "@std/async/delay";
import { shell } from "../sd_process.ts";

export interface Footprint {
  readonly rssMib: number;
  readonly files: number;
  readonly threads: number;
  /** Worker processes that it has started. */
  readonly pools: number;
}

/** Of the process `pid`; on Linux alone, like everything that calls it. */
export async function footprintOf(pid: number): Promise<Footprint> {
  const text = await shell(
    `awk '/VmRSS/ {print $2 / 1024}' /proc/${pid}/status; ls /proc/${pid}/fd | wc -l; ` +
      `ls /proc/${pid}/task | wc -l; ps -o args= --ppid ${pid} | grep -c 'work --pool'`,
  );
  const [rssMib = NaN, files = NaN, threads = NaN, pools = NaN] = text.split("\n").map(Number);
  return { rssMib, files, threads, pools };
}

/** The footprint of `pid` once threads that are about to end have done so: before Deno 2.7 that takes two seconds. */
export async function settledFootprintOf(pid: number): Promise<Footprint> {
  let least = await footprintOf(pid);
  for (let tries = 0; tries < 20; tries++) {
    await delay(200);
    const next = await footprintOf(pid);
    if (next.threads <= least.threads) least = next;
  }
  return least;
}

/** Medians: of the second fifth of the samples, once all is warm, and of the last fifth; threads in the end. */
export function driftOf(samples: readonly Footprint[]): { early: Footprint; late: Footprint } {
  const fifth = Math.max(1, Math.floor(samples.length / 5));
  const early = medianOf(samples.slice(fifth, 2 * fifth));
  const late = medianOf(samples.slice(-fifth));
  return { early, late: { ...late, threads: samples.at(-1)?.threads ?? NaN } };
}

/**
 * What has grown by more than comes and goes; empty where nothing has. What was replaced some hundred times
 * would have left far more: a worker that does not end is a thread and 8 MiB.
 */
export function growthIn({ early, late }: { early: Footprint; late: Footprint }): string[] {
  const rssMib = Math.max(24, early.rssMib / 2);
  const allowed: Footprint = { rssMib, files: 4, threads: 4, pools: 0 };
  return (Object.keys(allowed) as (keyof Footprint)[])
    .filter((what) => !(late[what] - early[what] <= allowed[what]))
    .map((what) => `${what}: ${early[what]} → ${late[what]}`);
}

function medianOf(samples: readonly Footprint[]): Footprint {
  const median = (what: keyof Footprint) =>
    samples.map((sample) => sample[what]).sort((a, b) => a - b)[samples.length >> 1] ?? NaN;
  return {
    rssMib: Math.round(median("rssMib")),
    files: median("files"),
    threads: median("threads"),
    pools: median("pools"),
  };
}
