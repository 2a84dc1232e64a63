/** What task code may do, as the flags of `sd serve` and `sd work` say it: as those of Deno do. */

import { isAbsolute, relative, resolve } from "node:path";
import { quote } from "../../protocol/errors.ts";
import type { TaskPermissions } from "../../protocol/pool_start.ts";
import { ClientError } from "../../net/client_error.ts";
import type { FlagSpecs, FlagValues } from "../flag_spec.ts";

export const SANDBOX_FLAGS = {
  allowNet: { type: "grant", help: "hosts that task code may reach", value: "HOST,…" },
  allowRead: { type: "grant", help: "files and folders that it may read", value: "PATH,…" },
  allowWrite: { type: "grant", help: "files and folders that it may write", value: "PATH,…" },
  allowEnv: { type: "grant", help: "environment variables that it sees", value: "NAME,…" },
  allowSys: {
    type: "grant",
    help: "what it may ask of the system, like hostname",
    value: "NAME,…",
  },
  allowRun: {
    type: "grant",
    help: "programs that it may run; they may do anything",
    value: "NAME,…",
  },
  allowFfi: { type: "boolean", help: "it may load native libraries; they may do anything" },
} as const satisfies FlagSpecs;

/** Variables that hold secrets of the server; no task ever sees them. */
const OWN_VARIABLES = /^SD_/;

/** The permissions that the flags give. Throws `usage` for what cannot be given. */
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

/** The variables that task code may see, for the process in which it runs. */
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

function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return !way.startsWith("..") && !isAbsolute(way);
}

/** Relative ones are from where the command was typed. */
function pathsOf(grant: true | string[] | undefined): true | string[] | undefined {
  return Array.isArray(grant) ? grant.map((path) => resolve(path)) : grant;
}

/** `given` is a name, or begins one: `AWS_*`. */
function isNamedBy(name: string, given: string): boolean {
  return given.endsWith("*") ? name.startsWith(given.slice(0, -1)) : name === given;
}
