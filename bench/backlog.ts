/**
 * What a long queue costs: memory of the server, rates at empty and at full, the time to be ready after a
 * restart. `deno run -A bench/backlog.ts --tasks 1000000`.
 */

import { parseArgs } from "@std/cli/parse-args";
import { print, say } from "../cli/talk.ts";
import { measureBacklog } from "../tests/crash/backlog.ts";

const { tasks: text } = parseArgs(Deno.args, { string: ["tasks"] });
const tasks = Number(text ?? 1_000_000);
if (!Number.isInteger(tasks) || tasks < 1000) {
  say(`--tasks is a whole number of 1000 or more; this is ${text}`);
  Deno.exit(2);
}

const WORKERS = 2;
/** Enough to see how fast they go, few enough that the queue is still long. */
const DRAIN = Math.min(200_000, Math.floor(tasks / 2));

const whole = (value: number) => Math.round(value).toLocaleString("en");
const row = (name: string, value: string) => print(`${name.padEnd(44)}${value.padStart(14)}`);

const few = Math.min(tasks, 100_000);
const short = await measureBacklog({ tasks: few, workers: WORKERS, drain: few / 2 });
const long = await measureBacklog({ tasks, workers: WORKERS, drain: DRAIN, onProgress: say });
print(`${whole(tasks)} queued tasks`);
row("memory of the server, empty", `${whole(long.mibEmpty)} MiB`);
row("  the most while it takes them", `${whole(long.mibMost)} MiB`);
row("  with all of them queued", `${whole(long.mibFull)} MiB`);
row("  after a restart", `${whole(long.mibAfterRestart)} MiB`);
row("  while they are run", `${whole(long.mibDraining)} MiB`);
row("tasks enqueued a second, first tenth", whole(long.enqueuedAtEmpty));
row("  last tenth", whole(long.enqueuedAtFull));
row("tasks run a second from the full queue", whole(long.drainedAtFull));
row(`  from ${whole(few)}`, whole(short.drainedAtFull));
row(`ready after a restart, ${whole(few)} queued`, `${whole(short.readyMs)} ms`);
row("  all of them queued", `${whole(long.readyMs)} ms`);
