/**
 * pg-boss on PostgreSQL: `deno run -A bench/peers/pg_boss.ts --url postgres://…`. Batches as its documentation advises for
 * many small tasks: `insert` of many, `fetch` with a batch size, `complete` of many. It has no way to wait for a result, so
 * the worker sends it by NOTIFY, in batches.
 */

import { parseArgs } from "@std/cli/parse-args";
import pg from "pg";
import { Peer, startWorker } from "./rpc.ts";

const LIBRARY = "pg-boss@12.38.0";
const QUEUE = "squares";
const CHANNEL = "squares_done";
/** Tasks of one insert, and of one fetch. */
const BATCH = 500;
/** Results of one NOTIFY, which holds 8,000 bytes. */
const RESULTS = 150;

interface Task {
  readonly id: string;
  readonly data: { readonly n: number };
}

/** The calls of pg-boss that this driver makes. */
interface Boss {
  on(event: "error", listener: (error: unknown) => void): void;
  start(): Promise<unknown>;
  createQueue(name: string): Promise<unknown>;
  insert(queue: string, tasks: readonly Task[], options: object): Promise<unknown>;
  fetch(queue: string, options: object): Promise<Task[]>;
  complete(queue: string, ids: readonly string[], data: object): Promise<unknown>;
}

const { url: given, _: [mode] } = parseArgs(Deno.args, { string: ["url"] });
if (!given) throw new Error("name the database: --url postgres://…");
const url = String(given);
const isWorker = mode === "worker";
const { PgBoss } = await import(`npm:${LIBRARY}`) as { PgBoss: new (options: object) => Boss };
const boss = new PgBoss({
  connectionString: url,
  schema: "bench_pg_boss",
  max: 4,
  supervise: !isWorker,
  schedule: false,
});
boss.on("error", (error) => {
  throw error;
});
await boss.start();
await boss.createQueue(QUEUE);
const client = new pg.Client({ connectionString: url });
await client.connect();

if (isWorker) {
  for (;;) {
    const tasks = await boss.fetch(QUEUE, { batchSize: BATCH });
    if (tasks.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      continue;
    }
    await boss.complete(QUEUE, tasks.map(({ id }) => id), {});
    for (let at = 0; at < tasks.length; at += RESULTS) {
      const text = tasks.slice(at, at + RESULTS).map(({ id, data: { n } }) => `${id}:${n * n}`);
      await client.query("SELECT pg_notify($1, $2)", [CHANNEL, text.join()]);
    }
  }
}

const peer = new Peer();
client.on("notification", ({ payload = "" }) => {
  for (const part of payload.split(",")) {
    const [id = "", result] = part.split(":");
    peer.ended(id, result);
  }
});
await client.query(`LISTEN ${CHANNEL}`);
using _worker = startWorker(import.meta.filename!, ["--url", url]);
await new Promise((resolve) => setTimeout(resolve, 2000));
await peer.run({
  peer: LIBRARY,
  batch: BATCH,
  send: (ids, ns) =>
    boss.insert(QUEUE, ids.map((id, i) => ({ id, data: { n: ns[i]! } })), { returnId: false }),
});
_worker[Symbol.dispose]();
Deno.exit(0);
