/** A bare thread for `dispatch.ts`: computes so many hashes one after another and says how long that took, in ms. */

import { hash } from "../workers/ops/hash.ts";

addEventListener("message", (event) => {
  const { rounds, count } = (event as MessageEvent<{ rounds: number; count: number }>).data;
  const start = performance.now();
  for (let i = 0; i < count; i++) hash({ data: `task ${i}`, rounds });
  (globalThis as unknown as Worker).postMessage(performance.now() - start);
});
