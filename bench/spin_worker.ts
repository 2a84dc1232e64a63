/** A bare thread for `dispatch.ts`: spins as often as it is asked to, and answers with the time that took, in ms. */

import { spin } from "./spin_tasks.js";

addEventListener("message", (event) => {
  const { n, count } = (event as MessageEvent<{ n: number; count: number }>).data;
  const start = performance.now();
  for (let i = 0; i < count; i++) spin({ n });
  (globalThis as unknown as Worker).postMessage(performance.now() - start);
});
