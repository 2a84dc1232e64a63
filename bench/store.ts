/**
 * What the store thread does a second, through a real `Store` from another thread: tasks written once, finished;
 * tasks written queued and finished later; one at a time; reading a backlog; and all of it beside a sweep in a
 * file of 5,000,000 records. Prints a table. `--rows N` for that file, `--path FILE` for where.
 */

import { parseArgs } from "@std/cli/parse-args";
import { print } from "../cli/talk.ts";
import { Store } from "../server/engine/sqlite/store.ts";
import type { Durability } from "../server/engine/options.ts";
import type { Write } from "../server/engine/journaled/task_store.ts";
import { completed, inserts, task, updates } from "../tests/contract/store_rows.ts";
import { median } from "./running.ts";

const SECONDS = 2;
/** Batches that wait for the thread at a time: the engine makes one while another is written. */
const AHEAD = 2;
const KEPT = { now: Date.now(), keepMs: 1e12, maxBytes: 1e15, held: [] };

const args = parseArgs(Deno.args, { string: ["rows", "path"] });
const manyRows = Number(args.rows ?? 5_000_000);
const folder = await Deno.makeTempDir({ prefix: "sd-bench-" });
let ord = 0;

function range(count: number): number[] {
  return Array.from({ length: count }, () => ++ord);
}

/** Keeps `AHEAD` writes with the thread; returns tasks a second, and ms that one write took at most. */
async function run(
  store: Store,
  { batch, seconds, make }: { batch: number; seconds: number; make: () => Write },
): Promise<{ rate: number; worstMs: number }> {
  const start = performance.now();
  let writes = 0;
  let worstMs = 0;
  const lane = async () => {
    while (performance.now() - start < seconds * 1000) {
      const write = make();
      const asked = performance.now();
      await store.call("write", write);
      worstMs = Math.max(worstMs, performance.now() - asked);
      writes++;
    }
  };
  await Promise.all(Array.from({ length: AHEAD }, lane));
  return { rate: writes * batch / (performance.now() - start) * 1000, worstMs };
}

const perSecond = (rate: number) => Math.round(rate).toLocaleString("en").padStart(9);
function say(what: string, { rate, worstMs }: { rate: number; worstMs: number }): void {
  print(
    `${what.padEnd(46)} ${perSecond(rate)} tasks/s   ${worstMs.toFixed(1).padStart(6)} ms worst`,
  );
}

async function small(durability: Durability): Promise<void> {
  const { store } = await Store.open({ path: `${folder}/${durability}.db`, durability, now: 0 });
  const seconds = SECONDS;
  for (const batch of [64, 256, 1024]) {
    const make = () => inserts(range(batch).map((ord) => completed(ord)));
    say(`${durability}: finished, ${batch} a batch`, await run(store, { batch, seconds, make }));
  }
  for (const batch of [64, 256, 1024]) {
    // What a batch has queued, the one after the next finishes.
    const queued: number[][] = [];
    const make = () => {
      const next = range(batch);
      queued.push(next);
      const done = queued.length > AHEAD ? queued.shift()! : [];
      return {
        ...inserts(next.map((ord) => task(ord))),
        updates: updates(done.map((ord) => ({ task: completed(ord), was: "queued" }))).updates,
      };
    };
    say(
      `${durability}: queued, later finished, ${batch} a batch`,
      await run(store, { batch, seconds, make }),
    );
  }
  const times: number[] = [];
  for (let i = 0; i < 1000; i++) {
    const asked = performance.now();
    await store.call("write", inserts([completed(++ord)]));
    times.push(performance.now() - asked);
  }
  times.sort((a, b) => a - b);
  print(
    `${durability}: one at a time`.padEnd(46) +
      ` p50 ${median(times).toFixed(3)} ms   p99 ${times[990]!.toFixed(3)} ms`,
  );
  await store.close();
}

async function backlog(rows: number): Promise<void> {
  const path = `${folder}/backlog.db`;
  const { store } = await Store.open({ path, durability: "normal", now: 0 });
  const first = ord;
  for (let i = 0; i < rows; i += 2000) {
    await store.call("write", inserts(range(2000).map((ord) => task(ord))));
  }
  await store.close();
  const opening = performance.now();
  const again = await Store.open({ path, durability: "full", now: 0 });
  print(
    `opening with ${rows} queued`.padEnd(46) + ` ${Math.round(performance.now() - opening)} ms`,
  );
  let seq = first;
  const start = performance.now();
  while (true) {
    const lane = { priority: 0, key: null, op: "square", seq, limit: 1000, maxChars: 1e7 };
    const found = await again.store.call("lane", lane);
    if (found.length === 0) break;
    seq = found.at(-1)!.seq;
  }
  say("reading a backlog, 1000 at a time", {
    rate: (seq - first) / (performance.now() - start) * 1000,
    worstMs: 0,
  });
  await again.store.close();
}

async function large(rows: number): Promise<void> {
  const path = typeof args.path === "string" ? args.path : `${folder}/large.db`;
  const { store } = await Store.open({ path, durability: "full", now: 0 });
  for (let i = 0; i < rows; i += 4000) {
    await store.call("write", inserts(range(4000).map((ord) => completed(ord))));
  }
  const make = () => inserts(range(256).map((ord) => completed(ord)));
  say(
    `full: finished, 256 a batch, ${rows} kept`,
    await run(store, { batch: 256, seconds: 4, make }),
  );
  let dropped = 0;
  let over = false;
  const sweeping = (async () => {
    while (!over) {
      const ask = { ...KEPT, maxKept: rows, rows: 2000 };
      const { removed, more } = await store.call("sweep", ask);
      dropped += removed.reduce((sum, count) => sum + count, 0);
      if (!more) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  const start = performance.now();
  const result = await run(store, { batch: 256, seconds: 6, make });
  const seconds = (performance.now() - start) / 1000;
  over = true;
  await sweeping;
  say("the same beside a sweep", result);
  print("  the sweep drops".padEnd(46) + ` ${perSecond(dropped / seconds)} tasks/s`);
  await store.close();
}

try {
  for (const durability of ["full", "normal"] as const) await small(durability);
  await backlog(1_000_000);
  await large(manyRows);
} finally {
  await Deno.remove(folder, { recursive: true });
}
