/**
 * What a worker may do. Most ops share one profile, what the command line allows; an op that asks for less,
 * or for a fresh worker for each run, has another, and runs on workers of that profile only.
 */

import { isAbsolute, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { MAX_PERMISSION_CHARS } from "../../protocol/limits.ts";
import type { TaskPermissions } from "../../protocol/pool_start.ts";

export interface Profile {
  readonly permissions: TaskPermissions;
  /** A worker runs one task and is replaced. */
  readonly isolate: boolean;
}

/** What every worker must be let do to load its task files. */
export interface LoadNeeds {
  /** Absolute paths. */
  readonly files: readonly string[];
  readonly hosts: readonly string[];
}

/** Profiles, the same one for the same permissions. */
export class Profiles {
  readonly base: Profile;
  readonly #all = new Map<string, Profile>();

  constructor(permissions: TaskPermissions, isolate = false) {
    this.base = this.of({ permissions, isolate });
  }

  of(profile: Profile): Profile {
    const { permissions, isolate } = profile;
    const sorted = Object.entries(permissions).sort(([a], [b]) => a < b ? -1 : 1);
    const key = JSON.stringify([isolate, sorted]);
    const known = this.#all.get(key);
    if (known) return known;
    this.#all.set(key, profile);
    return profile;
  }
}

/** `permissions` as Deno takes them for a worker. */
export function workerPermissions(
  { read = [], ...others }: TaskPermissions,
  { files, hosts }: LoadNeeds,
): Deno.PermissionOptions {
  const own = files.map((file) => pathToFileURL(file));
  if (own.length === 0 && read !== true && read.length === 0 && Object.keys(others).length === 0) {
    return "none";
  }
  return {
    ...others,
    read: read === true ? true : [...own, ...read],
    ...(hosts.length > 0 && { import: [...hosts] }),
  };
}

/**
 * What of `wanted` the command line does not allow, as the flag that would: `--allow-net=example.com`;
 * `undefined` where it allows all of it.
 */
export function notAllowed(wanted: TaskPermissions, allowed: TaskPermissions): string | undefined {
  for (const [name, grant] of Object.entries(wanted) as [string, true | string[]][]) {
    const given = allowed[name as keyof TaskPermissions];
    if (given === true) continue;
    if (grant === true || given === undefined) {
      return `--allow-${name}${grant === true ? "" : `=${grant.join(",")}`}`;
    }
    const missing = grant.filter((each) => !given.some((one) => covers(name, one, each)));
    if (missing.length > 0) return `--allow-${name}=${missing.join(",")}`;
  }
  return undefined;
}

function covers(name: string, given: string, wanted: string): boolean {
  if (given === wanted) return true;
  // A host without a port is that host with any; an address of IPv6 has its colons in brackets.
  if (name === "net") return !/:\d+$/.test(given) && wanted.startsWith(`${given}:`);
  if (name === "env") return given.endsWith("*") && wanted.startsWith(given.slice(0, -1));
  return (name === "read" || name === "write") && isWithin(wanted, given);
}

/** Both as they are from where the command was typed; `../..` leads nowhere else than Deno goes. */
function isWithin(path: string, folder: string): boolean {
  const way = relative(resolve(folder), resolve(path));
  return way !== ".." && !/^\.\.[/\\]/.test(way) && !isAbsolute(way);
}

/** Like `net=example.com`, for people; `none` where nothing is allowed. */
export function tellPermissions(permissions: TaskPermissions): string[] {
  const told = Object.entries(permissions).map(([name, grant]) =>
    (grant === true ? name : `${name}=${grant.join(",")}`).slice(0, MAX_PERMISSION_CHARS)
  );
  return told.length > 0 ? told : ["none"];
}
