/** Harm done to the files of a store, drawn at random: cut short, bits flipped, a stretch zeroed. */

import type { Random } from "../fuzz/random.ts";

export interface Damage {
  readonly file: "sd.db" | "sd.db-wal";
  readonly how: "cut" | "one bit" | "many bits" | "zeros";
  /** In bytes from the beginning. */
  readonly at: number;
}

const HOWS = ["cut", "one bit", "one bit", "many bits", "zeros"] as const;
const MANY_BITS = 40;
/** A sector of a disk; damage of several bits stays within one. */
const SECTOR_BYTES = 512;

/** Draws where a file is harmed, and harms it. */
export async function damage(folder: string, random: Random): Promise<Damage> {
  const file = random.pick(["sd.db", "sd.db-wal"] as const);
  const how = random.pick(HOWS);
  const path = `${folder}/${file}`;
  const bytes = await Deno.readFile(path);
  // The first pages hold what the rest is read by.
  const at = random.int(0, random.chance(0.2) ? 100 : bytes.length - 1);
  await Deno.writeFile(path, harmed(bytes, { how, at, random }));
  return { file, how, at };
}

function harmed(
  bytes: Uint8Array<ArrayBuffer>,
  { how, at, random }: { how: Damage["how"]; at: number; random: Random },
): Uint8Array {
  const end = Math.min(at + SECTOR_BYTES, bytes.length);
  switch (how) {
    case "cut":
      return bytes.subarray(0, at);
    case "zeros":
      return bytes.fill(0, at, end);
    default:
      for (let i = how === "one bit" ? 1 : MANY_BITS; i > 0; i--) {
        const place = how === "one bit" ? at : random.int(at, end - 1);
        bytes[place] = bytes[place]! ^ (1 << random.int(0, 7));
      }
      return bytes;
  }
}
