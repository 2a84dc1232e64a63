/** What a process costs the system, and whether that grows: samples of it, early ones beside late ones. */

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

/** Medians: of the second fifth of the samples, once all is warm, and of the last fifth. */
export function driftOf(samples: readonly Footprint[]): { early: Footprint; late: Footprint } {
  const fifth = Math.max(1, Math.floor(samples.length / 5));
  return {
    early: medianOf(samples.slice(fifth, 2 * fifth)),
    late: medianOf(samples.slice(-fifth)),
  };
}

/** What has grown by more than comes and goes; empty where nothing has. */
export function growthIn({ early, late }: { early: Footprint; late: Footprint }): string[] {
  const allowed: Footprint = { rssMib: 24, files: 4, threads: 2, pools: 0 };
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
