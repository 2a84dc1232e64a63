/** The memory engine and the model of it go the same way, whatever happens to them. */

import { openMemoryEngine } from "../../server/engine/memory.ts";
import { Random } from "../fuzz/random.ts";
import { EngineWalk, NO_JITTER } from "./engine_walk.ts";

const WALKS = 300;
const STEPS = 200;

Deno.test("on random walks the memory engine does what the model does, and tells each client once", async () => {
  const seed = Date.now() % 2 ** 32;
  const random = new Random(seed);
  for (let walk = 0; walk < WALKS; walk++) {
    const engine = openMemoryEngine({ random: NO_JITTER });
    try {
      await new EngineWalk(engine, random.fork()).run(STEPS);
    } catch (error) {
      throw new Error(`walk ${walk} of seed ${seed}`, { cause: error });
    } finally {
      await engine.close();
    }
  }
});
