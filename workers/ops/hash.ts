/**
 * `hash {data, rounds}` → SHA-256 in hex: round 1 hashes the UTF-8 of `data`, each further round the 32
 * bytes before it. The CPU-bound op: one synchronous loop that never yields and never asks whether it
 * shall stop, like code that knows nothing of sd.
 */

import { quote } from "../../protocol/errors.ts";

type Crypto = typeof import("node:crypto");

// Loaded with the first hash: it would more than double the time that a worker takes to start.
let crypto: Crypto | undefined;

export function hash({ data, rounds = 1 }: Record<string, unknown>): string {
  if (typeof data !== "string") {
    const got = data === undefined ? "none" : quote(data);
    throw new Error(`hash needs data: a string; got ${got}`);
  }
  if (!Number.isSafeInteger(rounds) || (rounds as number) < 1) {
    throw new Error(
      `hash needs rounds: an integer from 1 to ${Number.MAX_SAFE_INTEGER}; got ${quote(rounds)}`,
    );
  }
  crypto ??= process.getBuiltinModule("node:crypto") as Crypto;
  let digest = crypto.createHash("sha256").update(data, "utf8").digest();
  for (let round = 2; round <= (rounds as number); round++) {
    digest = crypto.createHash("sha256").update(digest).digest();
  }
  return digest.toString("hex");
}
