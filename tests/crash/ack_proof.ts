/** Runs a server under `strace`, gives it tasks in batches of all sizes, and reads the trace. */

import { TextLineStream } from "@std/streams/text-line-stream";
import { delay } from "@std/async/delay";
import { Random } from "../fuzz/random.ts";
import { RawClient } from "../kit/raw_client.ts";
import { AckTrace, type AckVerdict } from "./ack_trace.ts";
import { Victim } from "./victim.ts";

const CONNECTIONS = 4;
const MAX_BATCH = 100;
const CALLS = [
  "fsync",
  "fdatasync",
  "pwrite64",
  "pwritev",
  "write",
  "writev",
  "sendto",
  "sendmsg",
];

export interface AckProofOptions {
  readonly seed: number;
  readonly tasks: number;
  readonly durability: "full" | "normal";
}

/** Whether this machine lets one process trace another. */
export async function canTrace(): Promise<boolean> {
  try {
    return (await new Deno.Command("strace", { args: ["-o", "/dev/null", "true"] }).output())
      .success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

export async function ackProof(options: AckProofOptions): Promise<AckVerdict> {
  const { seed, tasks, durability } = options;
  const folder = await Deno.makeTempDir({ prefix: "sd-trace-" });
  try {
    const victim = new Victim({
      engine: `sqlite:${folder}/sd.db`,
      workers: 2,
      stateDir: folder,
      more: [`--durability=${durability}`],
      // The tracer is a grandchild: what is started here is the server itself.
      through: ["strace", "-D", "-f", "-y", "-xx", "-s", "4000000", "-o", `${folder}/trace`]
        .concat("-e", `trace=${CALLS.join(",")}`, "-e", "signal=none"),
    });
    await victim.start();
    try {
      const random = new Random(seed);
      await Promise.all(
        Array.from({ length: CONNECTIONS }, (_, i) =>
          submit(victim.address, random.fork(), {
            first: Math.floor(tasks * i / CONNECTIONS),
            end: Math.floor(tasks * (i + 1) / CONNECTIONS),
          })),
      );
    } finally {
      await victim.stop();
    }
    return await readTrace(`${folder}/trace`, `${folder}/sd.db-wal`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Submits the tasks of one connection, alone and in batches, and waits for their ends. */
async function submit(
  address: { hostname: string; port: number },
  random: Random,
  { first, end }: { first: number; end: number },
): Promise<void> {
  using client = await RawClient.connect(address);
  const heard = (async () => {
    for (let left = 2 * (end - first); left > 0; left--) {
      const reply = await client.object();
      if (reply.error) throw new Error(JSON.stringify(reply));
    }
  })();
  for (let serial = first; serial < end;) {
    const size = Math.min(end - serial, random.chance(0.3) ? 1 : random.int(2, MAX_BATCH));
    await client.sendObjects(...Array.from({ length: size }, (_, i) => {
      const mark = `mark-${serial + i}-`;
      return { op: "hash", data: mark, ref: mark };
    }));
    serial += size;
    await delay(random.int(0, 8));
  }
  await heard;
}

async function readTrace(path: string, wal: string): Promise<AckVerdict> {
  const trace = new AckTrace(wal);
  using file = await Deno.open(path);
  const lines = file.readable.pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream());
  for await (const line of lines) trace.push(line);
  return trace.verdict;
}
