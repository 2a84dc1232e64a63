/** What `sd serve` and `sd work` are told alike of the workers that they start. */

import { MAX_SHARE_BYTES, MIN_SHARE_BYTES } from "../../protocol/limits.ts";
import { BUILTIN_WORK, type PoolWork } from "../../protocol/pool_start.ts";
import type { FlagSpecs, FlagValues } from "../flag_spec.ts";
import { permissionsOf, SANDBOX_FLAGS } from "./sandbox_flags.ts";
import { findTaskFiles } from "./task_files.ts";

export const POOL_FLAGS = {
  watch: { type: "boolean", help: "load task files again when they change" },
  ...SANDBOX_FLAGS,
  maxMemory: {
    type: "size",
    help: "a worker's share of memory; a task that takes more fails with out_of_memory",
    value: "SIZE",
    min: MIN_SHARE_BYTES,
    max: MAX_SHARE_BYTES,
    default: BUILTIN_WORK.maxMemoryBytes,
  },
} as const satisfies FlagSpecs;

/** As usage shows the arguments. */
export const TASK_FILE_ARGS = "[TASKS.ts …]";

/** What is said about flags that change nothing here. */
export function idlePoolFlags(
  args: readonly string[],
  flags: FlagValues<typeof POOL_FLAGS> & { workers?: number | undefined },
): string[] {
  const isNamed = args.length > 0;
  if (flags.workers === 0 && (isNamed || flags.watch)) {
    return ["with --workers 0 no task file is loaded here: name it to sd work"];
  }
  return flags.watch && !isNamed
    ? ["--watch has nothing to watch: name a task file, as in: --watch tasks.ts"]
    : [];
}

/** The work of a pool that was told `args` and `flags`. Throws `usage`. */
export function poolWork(args: readonly string[], flags: FlagValues<typeof POOL_FLAGS>): PoolWork {
  return {
    taskFiles: findTaskFiles(args),
    permissions: permissionsOf(flags),
    maxMemoryBytes: flags.maxMemory,
  };
}
