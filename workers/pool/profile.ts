/**
 * The profile of a worker: its permissions, and whether it runs one task or many. Most ops share one profile, with all
 * that the command line allows. An op that asks for less, or for a fresh worker for each run, has another profile, and
 * runs only on workers with that one.
 */

import { pathToFileURL } from "node:url";
import { isWithin } from "../../cli/pool/task_files.ts";
import { MAX_PERMISSION_CHARS } from "../../protocol/limits.ts";
import type { TaskPermissions } from "../../protocol/pool_start.ts";

export interface Profile {
  readonly permissions: TaskPermissions;
  /** A worker runs one task and is then replaced. */
  readonly isolate: boolean;
}

/** Permissions that every worker needs to load its task files. */
interface LoadNeeds {
  /** Absolute paths. */
  readonly files: readonly string[];
  readonly hosts: readonly string[];
}

/** All profiles of a process: one object for equal permissions. */
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

/** `permissions` in the form that Deno takes for a worker. */
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
 * The first part of `wanted` that the command line does not allow, as the flag that would allow it:
 * `--allow-net=example.com`. `undefined` if all of it is allowed.
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
  // A host without a port stands for all its ports; an IPv6 address has its colons in brackets.
  if (name === "net") return !/:\d+$/.test(given) && wanted.startsWith(`${given}:`);
  if (name === "env") return given.endsWith("*") && wanted.startsWith(given.slice(0, -1));
  return (name === "read" || name === "write") && isWithin(wanted, given);
}

/** The permissions in words for people, like `net=example.com`; `none` if there are none. */
export function permissionTexts(permissions: TaskPermissions): string[] {
  const texts = Object.entries(permissions).map(([name, grant]) =>
    (grant === true ? name : `${name}=${grant.join(",")}`).slice(0, MAX_PERMISSION_CHARS)
  );
  return texts.length > 0 ? texts : ["none"];
}
