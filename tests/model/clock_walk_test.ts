/** The loops of a server work with a clock that jumps. */

import { openMemoryEngine } from "../../server/engine/memory/memory.ts";
import { openTestSqlite } from "../contract/sqlite_files.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { ClockWalk } from "./clock_walk.ts";

const TINY = { lane: 2, page: 1, all: 2, few: 1, chars: 200, delayed: 1 };
const LONG = Deno.env.get("SD_LONG") === "1";

async function walkAll(walks: number, walk: (random: Random) => Promise<void>): Promise<void> {
  const seed = newSeed();
  const random = new Random(seed);
  for (let i = 0; i < walks; i++) {
    try {
      await walk(random.fork());
    } catch (error) {
      throw new Error(`walk ${i} of seed ${seed} (SD_SEED)`, { cause: error });
    }
  }
}

Deno.test("with any jumps of the clock, tasks start when they are due and run once, in memory", async () => {
  await walkAll(LONG ? 200 : 20, async (random) => {
    const open = () => Promise.resolve(openMemoryEngine());
    await new ClockWalk({ random, open, isDurable: false }).run(40);
  });
});

Deno.test("with any jumps of the clock, tasks start when they are due and run once, on disk with restarts", async () => {
  const folder = await Deno.makeTempDir();
  try {
    let files = 0;
    await walkAll(LONG ? 100 : 2, async (random) => {
      const path = `${folder}/${++files}.db`;
      // In every second file almost no task is in memory.
      const sizes = files % 2 === 0 ? {} : TINY;
      const open = (wall: number) => openTestSqlite(path, sizes, wall);
      await new ClockWalk({ random, open, isDurable: true }).run(20);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
