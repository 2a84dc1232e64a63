/**
 * Claims about faults of a cluster on PostgreSQL: under load no task is lost, ends twice, or ends wrong. A few of each kind
 * here; `deno task faults` for many.
 */

import { assertEquals } from "@std/assert";
import { withOwnPostgres } from "../kit/services.ts";
import { FAULT_KINDS } from "./fault_kinds.ts";
import { runFaults } from "./faults_run.ts";

const IS_LONG = Deno.env.get("SD_LONG") !== undefined;
/** How often each happens here, and how long it lasts, in ms. */
const SHORT: Record<string, { times: number; lastsMs?: number }> = {
  "kill -9 leader": { times: 3 },
  "SIGTERM leader": { times: 3 },
  "SIGSTOP leader": { times: 1, lastsMs: 8000 },
  "leader cut from the store": { times: 1, lastsMs: 8000 },
  "sessions ended": { times: 3 },
  "PostgreSQL killed": { times: 1 },
  "PostgreSQL restarted": { times: 1 },
};

for (const kind of FAULT_KINDS) {
  const { times, lastsMs = 0 } = SHORT[kind.name]!;
  Deno.test(
    withOwnPostgres(`${kind.name}: no task is lost, ends twice or ends wrong`),
    async () => {
      const report = await runFaults({
        kind,
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
