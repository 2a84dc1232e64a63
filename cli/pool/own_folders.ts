/**
 * Temporary folders of this process, for copies of the executable and of task files. A killed process leaves its folders
 * behind; the next `sd` of the same user on the same machine removes them. The name of a folder contains the number of
 * its process, and a key of the machine: another machine or container that shares the folder can use the same numbers.
 */

import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

type OwnFolderKind = "sd-tasks" | "sd-executable";

const NAME = /^sd-(?:tasks|executable)-([0-9a-f]{8})-(\d+)-/;
/** Prints the user, the machine, and the namespace of process numbers. */
const ASK_PLACE = "id -u && uname -n && { readlink /proc/self/ns/pid || true; }";
const PLACE_CHARS = 8;

/** Makes a folder that only this user can read, in `parent` or the system's temporary folder; returns its path. */
export function makeOwnFolder(kind: OwnFolderKind, parent?: string): string {
  const key = place()?.key ?? "0".repeat(PLACE_CHARS);
  return Deno.makeTempDirSync({
    prefix: `${kind}-${key}-${Deno.pid}-`,
    ...(parent === undefined ? {} : { dir: parent }),
  });
}

/** Removes folders of ended processes from `parents` and the system's temporary folder, as far as possible. */
export function removeLeftFolders(...parents: (string | undefined)[]): void {
  for (const parent of new Set([tmpdir(), ...parents])) {
    if (parent === undefined) continue;
    for (const name of namesIn(parent)) {
      const [, key, pid] = NAME.exec(name) ?? [];
      if (key === undefined || key !== place()?.key || isAlive(Number(pid))) continue;
      const path = join(parent, name);
      // Another user can make a folder with such a name.
      if (ownerOf(path) === place()?.uid) removeOwnFolder(path);
    }
  }
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].filter((entry) => entry.isDirectory)
      .map(({ name }) => name);
  } catch {
    // The folder does not exist or cannot be read, so it has no folder of this user.
    return [];
  }
}

/** Removes a folder with its content. If the system refuses, the next `sd` tries again. */
export function removeOwnFolder(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    // Another sd may be removing it now; on Windows, a running program cannot be removed.
    if (!(error instanceof Error)) throw error;
  }
}

function ownerOf(path: string): number | null | undefined {
  try {
    return Deno.lstatSync(path).uid;
  } catch {
    // Removed meanwhile.
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // A process of another user refuses the signal, but exists.
    return (error as { code?: string }).code !== "ESRCH";
  }
}

let found: { readonly place: { key: string; uid: number } | undefined } | undefined;

/** The key of the machine and the user, read once; `undefined` if there is no shell. */
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
