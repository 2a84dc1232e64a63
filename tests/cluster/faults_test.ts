/**
 * Claims about faults of a cluster: under load no task is lost, ends twice, or ends wrong. A few of each kind
 * here; `deno task faults` for many.
 */

import { assertEquals } from "@std/assert";
import { withOwnPostgres, withOwnRedis } from "../kit/services.ts";
import { FAULT_KINDS, type StoreName } from "./fault_kinds.ts";
import { runFaults } from "./faults_run.ts";

const IS_LONG = Deno.env.get("SD_LONG") !== undefined;
/** How often each happens here, and how long it lasts, in ms. */
const SHORT: Record<StoreName, Record<string, { times: number; lastsMs?: number }>> = {
  postgres: {
    "kill -9 leader": { times: 3 },
    "SIGTERM leader": { times: 2 },
    "SIGSTOP leader": { times: 1, lastsMs: 8000 },
    "leader cut from the store": { times: 1, lastsMs: 8000 },
    "follower killed": { times: 1 },
    "sessions ended": { times: 3 },
    "store killed": { times: 1 },
    "store restarted": { times: 1 },
  },
  redis: {
    "kill -9 leader": { times: 2 },
    "store killed": { times: 1 },
  },
};
const NEEDS = { postgres: withOwnPostgres, redis: withOwnRedis };

for (const store of ["postgres", "redis"] as const) {
  for (const kind of FAULT_KINDS) {
    const short = SHORT[store][kind.name];
    const isLong = IS_LONG && (kind.stores ?? [store]).includes(store);
    if (!short && !isLong) continue;
    const { times, lastsMs = 0 } = short ?? { times: kind.times };
    Deno.test(
      NEEDS[store](`${kind.name}, on ${store}: no task is lost, ends twice or ends wrong`),
      async () => {
        const report = await runFaults({
          kind,
          store,
          times: IS_LONG ? kind.times : times,
          lastsMs: IS_LONG ? kind.lastsMs?.[0] ?? 0 : lastsMs,
          load: { clients: 20, inFlight: 1 },
        });
        const { lost, twice, wrong, failed, notes, log } = report;
        const account = { lost, twice, wrong, failed };
        const none = { lost: 0, twice: 0, wrong: 0, failed: 0 };
        assertEquals(account, none, `${notes.join("\n")}\n${log}`);
      },
    );
  }
}
