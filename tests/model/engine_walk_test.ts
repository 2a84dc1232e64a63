/** Engines and their model agree after every random event. */

import { openMemoryEngine } from "../../server/engine/memory/memory.ts";
import { Ends, NOW } from "../contract/contract_steps.ts";
import { openTestSqlite } from "../contract/sqlite_files.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { EngineWalk, NO_JITTER } from "./engine_walk.ts";

/** Runs walks of 200 steps, each with a generator of its own. */
async function walkAll(walks: number, open: (random: Random) => Promise<EngineWalk>) {
  const seed = newSeed();
  const random = new Random(seed);
  for (let walk = 0; walk < walks; walk++) {
    const one = await open(random.fork());
    try {
      await one.run(200);
    } catch (error) {
      throw new Error(`walk ${walk} of seed ${seed}`, { cause: error });
    } finally {
      await one.engine.close();
    }
  }
}

Deno.test("on random walks the memory engine agrees with the model, and each client gets each end once", async () => {
  await walkAll(300, (random) => {
    const ends = new Ends();
    const engine = openMemoryEngine({ ended: ends.sink, random: NO_JITTER });
    return Promise.resolve(new EngineWalk({ engine, ends }, random));
  });
});

Deno.test("on random walks with restarts the sqlite engine agrees with the model", async () => {
  const folder = await Deno.makeTempDir();
  try {
    let files = 0;
    await walkAll(20, async (random) => {
      const path = `${folder}/${++files}.db`;
      const ends = new Ends();
      const open = () => openTestSqlite(path, {}, NOW, ends.sink);
      return new EngineWalk({ engine: await open(), ends }, random, async (engine) => {
        await engine.close();
        return await open();
      });
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
