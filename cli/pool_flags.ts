/** What `sd serve` and `sd work` are told alike of the workers that they start. */

import { MAX_SHARE_BYTES, MIN_SHARE_BYTES } from "../protocol/limits.ts";
import { BUILTIN_WORK, type PoolWork } from "../protocol/pool_start.ts";
import type { FlagSpecs, FlagValues } from "./flag_spec.ts";

export const POOL_FLAGS = {
  maxMemory: {
    type: "size",
    help: "a worker's share of memory; a task that takes more fails with out_of_memory",
    value: "SIZE",
    min: MIN_SHARE_BYTES,
    max: MAX_SHARE_BYTES,
    default: BUILTIN_WORK.maxMemoryBytes,
  },
} as const satisfies FlagSpecs;

/** The work of a pool that was told `flags`. */
export function poolWork(flags: FlagValues<typeof POOL_FLAGS>): PoolWork {
  return { ...BUILTIN_WORK, maxMemoryBytes: flags.maxMemory };
}
