/** What belongs to no task's log: a little of it is told, and how much was left out. */

import { assert, assertEquals } from "@std/assert";
import { strayPrinter } from "../../../../workers/worker/console_capture.ts";

Deno.test("a burst is reported, a flood is limited, a long text is cut", () => {
  const told: string[] = [];
  const print = strayPrinter((text) => void told.push(text));
  print("x".repeat(5000));
  assertEquals([told[0]?.length, told[0]?.at(-1)], [1000, "…"]);
  const before = performance.now();
  for (let i = 0; i < 100_000; i++) print(`${i}`);
  const seconds = (performance.now() - before) / 1000;
  // Of what it leaves out it tells with the next that it tells.
  assert(told.length <= 2 * (20 + 10 * seconds) + 2, `${told.length} in ${seconds} s`);
  assertEquals(told.slice(1, 4), ["0", "1", "2"]);
});
