/** A short run with every `deno task test`; `deno task hostile --rounds 20` makes long ones. */

import { assert, assertEquals } from "@std/assert";
import { hostileRun } from "./hostile_run.ts";

Deno.test("hostile tasks end with the right code, and good ones among them do not notice", async () => {
  const seed = Date.now() % 2 ** 31;
  const { faults, answers, talk } = await hostileRun({ seed, rounds: 1, goodTasks: 300 });
  assertEquals(
    faults,
    [],
    `deno task hostile --rounds 1 --good 300 --seed ${seed}\n${talk.join("\n")}`,
  );
  assert(answers > 10);
});
