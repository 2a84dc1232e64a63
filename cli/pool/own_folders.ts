/**
 * Temporary folders of this process. A process that is killed leaves them behind, and the next `sd` of the same user on
 * the same machine removes them. A folder's name says which process made it, and where that runs: another machine or
 * container that shares the folder has processes with the same numbers.
 */

import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

export type OwnFolderKind = "sd-tasks" | "sd-executable";

const NAME = /^sd-(?:tasks|executable)-([0-9a-f]{8})-(\d+)-/;
/** User, machine, and the space in which processes have their numbers. */
const ASK_PLACE = "id -u && uname -n && { readlink /proc/self/ns/pid || true; }";
const PLACE_CHARS = 8;

/** Makes a folder for this user alone, in `parent` or the system's temporary folder; returns its path. */
export function makeOwnFolder(kind: OwnFolderKind, parent?: string): string {
  const key = place()?.key ?? "0".repeat(PLACE_CHARS);
  return Deno.makeTempDirSync({
    prefix: `${kind}-${key}-${Deno.pid}-`,
    ...(parent === undefined ? {} : { dir: parent }),
  });
}

/** Removes folders of processes that have ended, from `parents` and the system's temporary folder, as far as they can be. */
export function removeLeftFolders(...parents: (string | undefined)[]): void {
  for (const parent of new Set([tmpdir(), ...parents])) {
    if (parent === undefined) continue;
    for (const name of namesIn(parent)) {
      const [, key, pid] = NAME.exec(name) ?? [];
      if (key === undefined || key !== place()?.key || isAlive(Number(pid))) continue;
      const path = join(parent, name);
      // Any user can make a folder of this name.
      if (ownerOf(path) === place()?.uid) removeOwnFolder(path);
    }
  }
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].filter((entry) => entry.isDirectory)
      .map(({ name }) => name);
  } catch {
    // Not there, or not for us: then nothing of ours is in it.
    return [];
  }
}

/** Removes a folder with all that is in it. What the system does not let go is left to the next `sd`. */
export function removeOwnFolder(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    // Another sd may remove it at this moment; on Windows, a program that runs cannot be.
    if (!(error instanceof Error)) throw error;
  }
}

function ownerOf(path: string): number | null | undefined {
  try {
    return Deno.lstatSync(path).uid;
  } catch {
    // Gone meanwhile.
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // One of another user cannot be asked, and is there.
    return (error as { code?: string }).code !== "ESRCH";
  }
}

let found: { readonly place: { key: string; uid: number } | undefined } | undefined;

/** Asked once; `undefined` where there is no shell to ask. */
function place(): { key: string; uid: number } | undefined {
  return (found ??= { place: Deno.build.os === "windows" ? undefined : askPlace() }).place;
}

function askPlace(): { key: string; uid: number } | undefined {
  try {
    const asked = new Deno.Command("sh", {
      args: ["-c", ASK_PLACE],
      stdin: "null",
      stderr: "null",
    });
    const { success, stdout } = asked.outputSync();
    const text = new TextDecoder().decode(stdout);
    const uid = Number.parseInt(text, 10);
    if (!success || Number.isNaN(uid)) return undefined;
    return { key: createHash("sha256").update(text).digest("hex").slice(0, PLACE_CHARS), uid };
  } catch {
    // There is no shell here.
    return undefined;
  }
}
