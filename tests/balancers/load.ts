/** Tasks of many clients through a load balancer, and the account of them: each result once, and at its own client. */

import { assertEquals } from "@std/assert";
import { connect, type ServerAddress } from "../../client/mod.ts";

/** `SD_LONG=1`: ten times as many. */
export const TASKS = Deno.env.get("SD_LONG") === "1" ? 20_000 : 2000;
const CLIENTS = 50;
/** Tasks that one client has in flight. */
const IN_FLIGHT = 8;

export interface Load {
  /** Resolves when all tasks have ended; rejects if one failed, was lost, or ended at a client that is not its own. */
  readonly done: Promise<void>;
  /** Number of tasks that have ended so far. */
  readonly ended: number;
  /** How often a client has lost its connection. */
  readonly losses: number;
}

/** Starts the load. `name` is the beginning of the ids. Each client has TASKS / 50 tasks. */
export function startLoad(address: ServerAddress, name: string, tasks = TASKS): Load {
  const load = { ended: 0, losses: 0 };
  const results = new Map<string, number>();
  const runClient = async (i: number) => {
    await using client = await connect(address, { onLost: () => void load.losses++ });
    let next = 0;
    const runSome = async () => {
      while (next < tasks / CLIENTS) {
        const n = i * 1000 + next++;
        const id = `${name}-${n}`;
        const result = await client.run("square", { n }, { id });
        assertEquals(result, n * n, id);
        results.set(id, (results.get(id) ?? 0) + 1);
        load.ended++;
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, runSome));
  };
  const done = Promise.all(Array.from({ length: CLIENTS }, (_, i) => runClient(i))).then(() => {
    assertEquals(results.size, tasks);
    assertEquals([...results.values()].every((times) => times === 1), true);
  });
  // A test can be at something else when it fails.
  done.catch(() => undefined);
  return {
    done,
    get ended() {
      return load.ended;
    },
    get losses() {
      return load.losses;
    },
  };
}
