/** A damaged store is refused with a message, or opened and right: never silently empty, never wrong. */

import { assert, assertEquals } from "@std/assert";
import { say } from "../../cli/talk.ts";
import { newSeed } from "../fuzz/random.ts";
import { DamageRun } from "./damage_run.ts";

/** With `SD_LONG=1` as many as the promise names. */
const CASES = Deno.env.get("SD_LONG") ? 200 : 20;

Deno.test(`${CASES} damaged stores are refused by name or answer rightly`, async () => {
  const seed = newSeed();
  const folder = await Deno.makeTempDir({ prefix: "sd-damage-" });
  try {
    const report = await new DamageRun(folder, seed).run(CASES);
    const { started, refused, answeredErrors, missedSome } = report;
    say(
      `${started} started (${missedSome} without all tasks, ${answeredErrors} with errors), ` +
        `${refused} refused`,
    );
    assertEquals(report.faults.lines(), [], `seed ${seed}`);
    assert(started > 0 && refused > 0, `seed ${seed}: ${started} started, ${refused} refused`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
