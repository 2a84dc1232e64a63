/** A long queue costs the server disk, not memory; `bench/backlog.ts` measures millions. */

import { assert } from "@std/assert";
import { measureBacklog } from "./backlog.ts";

const TASKS = 80_000;
const PAD_CHARS = 5000;
const QUEUED_MIB = TASKS * PAD_CHARS / 2 ** 20;

Deno.test("the memory of the server grows by less than what is queued, and stays small after a restart", async () => {
  const report = await measureBacklog({
    tasks: TASKS,
    padChars: PAD_CHARS,
    workers: 1,
    drain: 5000,
  });
  const { mibEmpty, mibMost, mibAfterRestart } = report;
  assert(mibEmpty > 10, JSON.stringify(report));
  assert(mibMost - mibEmpty < QUEUED_MIB, JSON.stringify(report));
  assert(mibAfterRestart - mibEmpty < QUEUED_MIB / 2, JSON.stringify(report));
});
