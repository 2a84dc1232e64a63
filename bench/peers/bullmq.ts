/**
 * BullMQ on Redis: `deno run -A bench/peers/bullmq.ts --url redis://…`. `addBulk`, one worker process with a concurrency of
 * 100, and the results by `QueueEvents`, as its documentation advises.
 */

import { parseArgs } from "@std/cli/parse-args";
import { Redis } from "ioredis";
import { Peer, startWorker } from "./rpc.ts";

const LIBRARY = "bullmq@6.7.0";
const QUEUE = "bench-squares";
const BATCH = 500;
const CONCURRENCY = 100;
/** Finished tasks that Redis keeps. */
const KEPT = 5000;

interface Added {
  readonly name: string;
  readonly data: { readonly n: number };
  readonly opts: object;
}

/** The parts of BullMQ that this driver uses. */
interface Library {
  readonly Queue: new (name: string, options: object) => {
    obliterate(options: object): Promise<unknown>;
    addBulk(tasks: readonly Added[]): Promise<unknown>;
  };
  readonly QueueEvents: new (name: string, options: object) => {
    waitUntilReady(): Promise<unknown>;
    on(
      event: "completed",
      listener: (end: { jobId: string; returnvalue: unknown }) => void,
    ): void;
  };
  readonly Worker: new (
    name: string,
    run: (task: { data: { n: number } }) => Promise<number>,
    options: object,
  ) => object;
}

const { url: given, _: [mode] } = parseArgs(Deno.args, { string: ["url"] });
if (!given) throw new Error("name the server: --url redis://…");
const url = String(given);
const { Queue, QueueEvents, Worker } = await import(`npm:${LIBRARY}`) as Library;
const connection = () => new Redis(url, { maxRetriesPerRequest: null });

if (mode === "worker") {
  new Worker(QUEUE, ({ data: { n } }) => Promise.resolve(n * n), {
    connection: connection(),
    concurrency: CONCURRENCY,
  });
  await new Promise(() => {});
}

const peer = new Peer();
const queue = new Queue(QUEUE, { connection: connection() });
await queue.obliterate({ force: true });
const events = new QueueEvents(QUEUE, { connection: connection() });
await events.waitUntilReady();
events.on("completed", ({ jobId, returnvalue }) => peer.ended(jobId, returnvalue));
using _worker = startWorker(import.meta.filename!, ["--url", url]);
await new Promise((resolve) => setTimeout(resolve, 2000));
await peer.run({
  peer: LIBRARY,
  batch: BATCH,
  send: (ids, ns) =>
    queue.addBulk(ids.map((id, i) => ({
      name: "square",
      data: { n: ns[i]! },
      opts: { jobId: id, removeOnComplete: { count: KEPT } },
    }))),
});
_worker[Symbol.dispose]();
Deno.exit(0);
