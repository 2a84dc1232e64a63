/**
 * The flags of `sd serve` and `sd work` that concern worker processes, and what they mean: which task files are
 * loaded, what task code may do, how much memory a worker may take, and the pool secret. The names of the `--allow-…`
 * flags are Deno's.
 */

import { resolve } from "node:path";
import { ClientError } from "../../net/client_error.ts";
import { quote } from "../../protocol/errors.ts";
import { MAX_SHARE_BYTES, MIN_SHARE_BYTES } from "../../protocol/limits.ts";
import { BUILTIN_WORK, type PoolWork, type TaskPermissions } from "../../protocol/pool_start.ts";
import type { FlagSpecs, FlagValues } from "../flag_spec.ts";
import { findTaskFiles, isWithin } from "./task_files.ts";

const SANDBOX_FLAGS = {
  allowNet: { type: "grant", help: "hosts that task code may reach", value: "HOST,…" },
  allowRead: { type: "grant", help: "files and folders that it may read", value: "PATH,…" },
  allowWrite: { type: "grant", help: "files and folders that it may write", value: "PATH,…" },
  allowEnv: { type: "grant", help: "environment variables that it sees", value: "NAME,…" },
  allowSys: {
    type: "grant",
    help: "facts about the system that it may ask for, like hostname",
    value: "NAME,…",
  },
  allowRun: {
    type: "grant",
    help: "programs that it may run; they may do anything",
    value: "NAME,…",
  },
  allowFfi: { type: "boolean", help: "it may load native libraries; they may do anything" },
} as const satisfies FlagSpecs;

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

/** The positional arguments, as the usage line shows them. */
export const TASK_FILE_ARGS = "[TASKS.ts …]";

/** Variables that hold secrets of the server; no task ever sees them. */
const OWN_VARIABLES = /^SD_/;

/** Warnings about flags that have no effect in this combination. */
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

/** The work of a pool, from its arguments and flags. Throws `usage`. */
export function poolWork(args: readonly string[], flags: FlagValues<typeof POOL_FLAGS>): PoolWork {
  return {
    taskFiles: findTaskFiles(args),
    permissions: permissionsOf(flags),
    maxMemoryBytes: flags.maxMemory,
  };
}

/** The permissions that the flags give. Throws `usage` for a variable that no task may see. */
export function permissionsOf(flags: FlagValues<typeof SANDBOX_FLAGS>): TaskPermissions {
  const own = Array.isArray(flags.allowEnv) &&
    flags.allowEnv.find((name) => OWN_VARIABLES.test(name));
  if (own) {
    throw new ClientError("usage", `--allow-env cannot give ${quote(own)}: it is the server's own`);
  }
  const given: { [Name in keyof TaskPermissions]: TaskPermissions[Name] | undefined } = {
    net: flags.allowNet,
    read: pathsOf(flags.allowRead),
    write: pathsOf(flags.allowWrite),
    env: flags.allowEnv,
    sys: flags.allowSys,
    run: flags.allowRun,
    ffi: flags.allowFfi || undefined,
  };
  return Object.fromEntries(Object.entries(given).filter(([, grant]) => grant !== undefined));
}

/** The variables that task code may see, for the environment of its process. */
export function environmentFor({ env }: TaskPermissions): Record<string, string> {
  if (env === undefined) return {};
  const seen = Object.entries(Deno.env.toObject()).filter(([name]) =>
    !OWN_VARIABLES.test(name) && (env === true || env.some((given) => isNamedBy(name, given)))
  );
  return Object.fromEntries(seen);
}

/** Whether task code may read something in `folder`. */
export function mayRead({ read }: TaskPermissions, folder: string): boolean {
  if (read === undefined) return false;
  return read === true || read.some((path) => isWithin(path, folder) || isWithin(folder, path));
}

/** Relative paths count from the folder in which the command was typed. */
function pathsOf(grant: true | string[] | undefined): true | string[] | undefined {
  return Array.isArray(grant) ? grant.map((path) => resolve(path)) : grant;
}

/** Whether `given` is the name of the variable, or its beginning: `AWS_*`. */
function isNamedBy(name: string, given: string): boolean {
  return given.endsWith("*") ? name.startsWith(given.slice(0, -1)) : name === given;
}

export const SECRET_VARIABLE = "SD_POOL_SECRET";
/** Least length of a secret: a shorter one could be guessed. */
const MIN_SECRET_CHARS = 16;

/** The pool secret in `text`, without spaces around it. `from` names its source. Throws `usage` if it is too short. */
export function readPoolSecret(text: string, from: string): string {
  const secret = text.trim();
  if (secret.length >= MIN_SECRET_CHARS) return secret;
  throw new ClientError(
    "usage",
    `the pool secret in ${from} has ${secret.length} characters; it must have ${MIN_SECRET_CHARS} or more`,
    { hint: "make one with: openssl rand -hex 32" },
  );
}
