/** A queue of any length, measured from outside: filled with no worker there, opened again, drained. */

import { delay } from "@std/async/delay";
import type { ServerStats } from "../../protocol/task.ts";
import { RawClient } from "../kit/raw_client.ts";
import { residentMib } from "../kit/sd_process.ts";
import { Victim } from "./victim.ts";

/** Lines that leave in one write. */
const BATCH = 1000;
/** Batches on their way on a connection. */
const DEPTH = 4;

export interface BacklogReport {
  /** Of the server before the first task, the most while it took them, and after the last. */
  readonly mibEmpty: number;
  readonly mibMost: number;
  readonly mibFull: number;
  /** Tasks a second: the first tenth, and the last. */
  readonly enqueuedAtEmpty: number;
  readonly enqueuedAtFull: number;
  /** From the start of the process to its readiness, with all of them queued. */
  readonly readyMs: number;
  readonly mibAfterRestart: number;
  /** Tasks a second. */
  readonly drainedAtFull: number;
  readonly mibDraining: number;
}

export interface BacklogOptions {
  readonly tasks: number;
  readonly workers: number;
  /** How many of them are drained, to measure how fast that goes. */
  readonly drain: number;
  /** Of each payload, above a few dozen characters; default 0. */
  readonly padChars?: number;
  readonly engine?: string;
  readonly onProgress?: (text: string) => void;
}

/** Works in a folder of its own. */
export async function measureBacklog(options: BacklogOptions): Promise<BacklogReport> {
  const { workers, drain, onProgress } = options;
  const folder = await Deno.makeTempDir({ prefix: "sd-backlog-" });
  const victim = (workers: number) =>
    new Victim({ engine: options.engine ?? `sqlite:${folder}/sd.db`, workers, stateDir: folder });
  let running: Victim | undefined;
  try {
    running = victim(0);
    await running.start();
    const filled = await fill(running, options);
    await running.stop();
    running = victim(workers);
    const from = performance.now();
    await running.start();
    const readyMs = performance.now() - from;
    onProgress?.(`ready after ${readyMs.toFixed(0)} ms`);
    const mibAfterRestart = await residentMib(running.pid);
    const drained = await watchDrain(running, drain);
    return { ...filled, readyMs, mibAfterRestart, ...drained };
  } finally {
    await running?.kill();
    await Deno.remove(folder, { recursive: true });
  }
}

type Filled = Pick<
  BacklogReport,
  "mibEmpty" | "mibMost" | "mibFull" | "enqueuedAtEmpty" | "enqueuedAtFull"
>;

async function fill(
  { address, pid }: Victim,
  { tasks, padChars = 0, onProgress }: BacklogOptions,
): Promise<Filled> {
  const pad = "x".repeat(padChars);
  const mibEmpty = await residentMib(pid);
  let mibMost = mibEmpty;
  const rates: number[] = [];
  const part = Math.ceil(tasks / 10);
  using client = await RawClient.connect(address, 120_000);
  for (let i = 0; i < 10; i++) {
    const from = performance.now();
    await enqueue(client, { first: i * part, count: Math.min(part, tasks - i * part), pad });
    rates.push(part / (performance.now() - from) * 1000);
    mibMost = Math.max(mibMost, await residentMib(pid));
    onProgress?.(`${(i + 1) * part} queued, ${Math.round(rates[i]!)} a second`);
  }
  return {
    mibEmpty,
    mibMost,
    mibFull: await residentMib(pid),
    enqueuedAtEmpty: rates[0]!,
    enqueuedAtFull: rates.at(-1)!,
  };
}

/** Submits tasks and waits until each is acknowledged. */
async function enqueue(
  client: RawClient,
  { first, count, pad }: { first: number; count: number; pad: string },
): Promise<void> {
  let sent = 0;
  for (let heard = 0; heard < count; heard++) {
    while (sent < count && sent - heard <= BATCH * (DEPTH - 1)) {
      const size = Math.min(BATCH, count - sent);
      const lines = Array.from(
        { length: size },
        (_, i) => `{"op":"square","n":${first + sent + i},"pad":"${pad}","task":{"wait":false}}\n`,
      );
      await client.send(lines.join(""));
      sent += size;
    }
    const line = await client.line();
    if (!line?.includes('"status":"queued"')) throw new Error(`a submit was answered: ${line}`);
  }
}

async function watchDrain(
  { address, pid }: Victim,
  drain: number,
): Promise<Pick<BacklogReport, "drainedAtFull" | "mibDraining">> {
  using client = await RawClient.connect(address, 120_000);
  const completed = async () => (await client.ask({ cmd: "stats" }) as ServerStats).tasks.completed;
  const [from, before] = [performance.now(), await completed()];
  let mibDraining = 0;
  for (;;) {
    await delay(100);
    mibDraining = Math.max(mibDraining, await residentMib(pid));
    const done = await completed() - before;
    if (done >= drain) {
      return { drainedAtFull: done / (performance.now() - from) * 1000, mibDraining };
    }
  }
}
