/** What `sd serve` and `sd work` share about their workers: flags, the work of a pool, the pool secret. */

import { ClientError } from "../../net/client_error.ts";
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

export const SECRET_VARIABLE = "SD_POOL_SECRET";
/** A shorter one could be guessed by trying. */
const MIN_SECRET_CHARS = 16;

/** `text` without the spaces around it; `from` is where it stood. Throws `usage` for one that is too short. */
export function readPoolSecret(text: string, from: string): string {
  const secret = text.trim();
  if (secret.length >= MIN_SECRET_CHARS) return secret;
  throw new ClientError(
    "usage",
    `the pool secret in ${from} has ${secret.length} characters; it must have ${MIN_SECRET_CHARS} or more`,
    { hint: "make one with: openssl rand -hex 32" },
  );
}
