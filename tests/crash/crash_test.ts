/** A short crash run with every `deno task test`; `deno task crash --rounds 1000` makes long ones. */

import { assert, assertEquals } from "@std/assert";
import { newSeed } from "../fuzz/random.ts";
import { crashRun } from "./crash_run.ts";
import type { Kill } from "./plan.ts";

const ROUNDS = 12;

Deno.test("what was acknowledged is there after every kill, ended once, and right", async () => {
  const seed = newSeed();
  const kills: Kill[] = ["server", "server", "pool", "start-up"];
  const again = `deno task crash --rounds ${ROUNDS} --kills ${kills} --seed ${seed}`;
  try {
    const { book, records } = await crashRun({ seed, rounds: ROUNDS, kills });
    assertEquals(book.faults.lines(), [], again);
    assert(records > 100, `only ${records} records: ${again}`);
  } catch (error) {
    throw new Error(again, { cause: error });
  }
});

Deno.test("over stops, kills and a backlog beyond every page, nothing acknowledged is left standing", async () => {
  const seed = newSeed();
  const kills: Kill[] = ["server", "server-stop", "pool", "pool-stop"];
  const backlog = 6000;
  const again = `deno task crash --rounds 5 --backlog ${backlog} --kills ${kills} --seed ${seed}`;
  try {
    const { book, records } = await crashRun({ seed, rounds: 5, kills, backlog });
    assertEquals(book.faults.lines(), [], again);
    assert(records > backlog, `only ${records} records: ${again}`);
  } catch (error) {
    throw new Error(again, { cause: error });
  }
});

Deno.test("a crash run sees that an engine without a disk loses tasks", async () => {
  const { book } = await crashRun({ seed: 5, rounds: 2, kills: ["server"], engine: "memory:" });
  assert(book.faults.count("lost") > 10, book.faults.lines().join("\n"));
});

Deno.test("a crash run finds no fault where only worker processes are killed", async () => {
  const { book } = await crashRun({ seed: 6, rounds: 4, kills: ["pool"], engine: "memory:" });
  assertEquals(book.faults.lines(), []);
  assertEquals(book.kills, 4);
});
