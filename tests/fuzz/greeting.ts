/** First bytes of clients that speak another protocol, or look for a weakness. */

import type { Random } from "./random.ts";
import { GREETINGS } from "./values.ts";

export function greeting(random: Random): Uint8Array {
  if (random.chance(0.2)) return random.bytes(random.int(1, 3000));
  const encoder = new TextEncoder();
  if (random.chance(0.2)) {
    const secret = random.pick(["", ',"secret":""', `,"secret":"${"0".repeat(64)}"`]);
    return encoder.encode(
      `{"cmd":"work","version":1,"workers":4,"credit":99,"ops":["square"],"pid":1${secret}}\n`,
    );
  }
  const text = random.pick(GREETINGS);
  return typeof text === "string" ? encoder.encode(text) : text;
}
