/** The notes of worker processes for the next server: who is noted, and for how long. */

import { assertEquals } from "@std/assert";
import { PoolNotes } from "../../../../server/dispatch/pool_notes.ts";
import { HandClock } from "../../../kit/hand_clock.ts";

Deno.test("a process that never joined does not stay noted, and one that did stays while it is there", async () => {
  const clock = new HandClock(1_000_000);
  let saved: string | undefined;
  const notes = new PoolNotes({
    engine: {
      lastAt: 0,
      settings: {
        get: () => undefined,
        save: (_, text) => {
          saved = text;
          return Promise.resolve();
        },
      },
      reserve: () => Promise.resolve(),
    },
    clock,
    log: { info() {}, warn() {}, error() {}, bug() {} },
    holdMs: 10_000,
  });
  const linkOf = (instance: string) => ({
    instance,
    isOwn: false,
    held: 0,
    lastingRuns: () => [],
  });
  const noted = () => JSON.parse(saved ?? '{"pools":[]}').pools;
  notes.begin();
  notes.start();
  const [there, killed] = [linkOf("there"), linkOf("killed")];
  await Promise.all([notes.joining(there), notes.joining(killed)]);
  notes.joined(there);
  assertEquals(noted(), ["there", "killed"]);
  await clock.pass(120_000);
  assertEquals(noted(), ["there"]);
  notes.left(there);
  await clock.pass(20_000);
  assertEquals(noted(), []);
  await notes.stop();
});
