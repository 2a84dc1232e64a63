/** `deno task fuzz`: sends a server what it must bear, prints how it bore it. `--seed` repeats a run. */

import { parseArgs } from "@std/cli/parse-args";
import { print, say } from "../../cli/talk.ts";
import type { Tally } from "./fuzz_connection.ts";
import { FRAMES_TO_JUDGE_GROWTH, type FuzzReport, FuzzRun, MAX_GROWTH_MIB } from "./fuzz_run.ts";

const flags = parseArgs(Deno.args, { string: ["frames", "seed", "connections", "seconds"] });

function count(name: string, fallback: number): number {
  const value = Number(flags[name] ?? fallback);
  if (Number.isInteger(value) && value >= 0) return value;
  say(`--${name} is a whole number; this is ${String(flags[name])}`);
  Deno.exit(2);
}

const options = {
  frames: count("frames", 200_000),
  seed: count("seed", Date.now() % 2 ** 32),
  connections: count("connections", 16),
  seconds: count("seconds", 24 * 3600),
};

const whole = (value: number) => Math.round(value).toLocaleString("en");

function table(title: string, tally: Tally): void {
  print(`\n${title}`);
  for (const [name, times] of [...tally].sort(([, a], [, b]) => b - a)) {
    print(`${whole(times).padStart(12)}  ${name}`);
  }
}

function tell(report: FuzzReport): boolean {
  const { frames, seconds, opened, probes, rssAfterWarmUp, rssAtEnd } = report;
  print(
    `${whole(frames)} frames over ${whole(opened)} connections in ${seconds.toFixed(1)} s: ` +
      `${whole(frames / seconds)} a second; ${whole(probes)} probes all right`,
  );
  table("frames sent", report.kinds);
  table("replies", report.replies);
  if (rssAfterWarmUp === undefined || rssAtEnd === undefined) return true;
  const isJudged = frames >= FRAMES_TO_JUDGE_GROWTH;
  const growth = rssAtEnd - rssAfterWarmUp;
  print(
    `\nmemory of the server: ${whole(rssAfterWarmUp)} MiB after warming up, ${
      whole(rssAtEnd)
    } at ` +
      `the end: ${growth < 0 ? "" : "+"}${whole(growth)}; ` +
      (isJudged ? `the limit is +${MAX_GROWTH_MIB}` : "too few frames to judge that"),
  );
  return growth < MAX_GROWTH_MIB || !isJudged;
}

print(`seed ${options.seed}`);
try {
  const report = await FuzzRun.start({
    ...options,
    onProgress: (frames, rate) => say(`${whole(frames)} frames, ${whole(rate)} a second`),
  });
  if (!tell(report)) Deno.exit(1);
} catch (error) {
  print(`FAULT ${error instanceof Error ? error.stack : String(error)}`);
  print(`run it again with --seed ${options.seed}`);
  Deno.exit(1);
}
