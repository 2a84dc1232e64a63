/** A bare Web Worker that hashes as the op `hash` does: the ideal that `cpu_bound.ts` compares with. */

import { createHash } from "node:crypto";

function hash(rounds: number): void {
  let digest: Uint8Array = new TextEncoder().encode("x");
  for (let i = 0; i < rounds; i++) digest = createHash("sha256").update(digest).digest();
}

interface Work {
  readonly tasks: number;
  readonly rounds: number;
}

/** What a Web Worker's global scope has, of which the types of a main program know nothing. */
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Work>) => void;
  postMessage(seconds: number): void;
};

scope.onmessage = ({ data }) => {
  const start = performance.now();
  for (let i = 0; i < data.tasks; i++) hash(data.rounds);
  scope.postMessage((performance.now() - start) / 1000);
};
