/** A bare thread for `dispatch.ts`: spins so often, one after another, and says how long that took, in ms. */

import { spin } from "./spin_tasks.js";

addEventListener("message", (event) => {
  const { n, count } = (event as MessageEvent<{ n: number; count: number }>).data;
  const start = performance.now();
  for (let i = 0; i < count; i++) spin({ n });
  (globalThis as unknown as Worker).postMessage(performance.now() - start);
});
