/**
 * What a task file is made of: itself and the files that it imports from beside it, by names that stand in
 * their text (`import_lexer.ts`). Task code may read these and no others, their text is its version, and a change
 * of one of them is a change of it. Only what is a regular file, or leads to one, is read or may be: never a
 * folder, which would give all below it, nor a device or pipe, which would not end.
 */

import { createHash } from "node:crypto";
import { dirname, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { findImports } from "./import_lexer.ts";

/** Beyond so many, a task file has not been written by hand. */
const MAX_FILES = 10_000;
/** Text beyond this is data: not looked into, and changed when its size or time is. */
const MAX_SOURCE_BYTES = 32 * 1024 * 1024;
const VERSION_CHARS = 12;
/** Most files that a line of the log names. */
const MAX_TOLD = 10;

/** Why an import gives no right to read; "no file": a device, a pipe or the like. */
type Unreadable = "not there" | "a folder" | "no file";

export interface TaskSource {
  /** Absolute paths, the task file's own first; also of what is not there yet. */
  readonly files: readonly string[];
  /** Those that are there, as regular files. */
  readonly readable: readonly string[];
  /** The others, without the slash that a folder may end with, and why. */
  readonly unreadable: readonly (readonly [path: string, why: Unreadable])[];
  /** Hosts from which it imports. */
  readonly hosts: readonly string[];
  /** From these, or packages. */
  readonly importsFromElsewhere: boolean;
  /** 12 hex digits of the SHA-256 of all their text. */
  readonly version: string;
}

/** The source of the task file at `path`; files that cannot be read are left for the loader to tell of. */
export function readTaskSource(path: string): TaskSource {
  const found = new Set([path]);
  const readable: string[] = [];
  const unreadable: [string, Unreadable][] = [];
  const hosts = new Set<string>();
  let importsFromElsewhere = false;
  const hash = createHash("sha256");
  // A set is walked with what is added on the way.
  for (const file of found) {
    const info = statOf(file);
    if (!info?.isFile) {
      const why = !info ? "not there" : info.isDirectory ? "a folder" : "no file";
      unreadable.push([file.replace(/[/\\]+$/, ""), why]);
      if (info) found.delete(file);
      continue;
    }
    readable.push(file);
    const text = readText(file, info);
    if (text === undefined) continue;
    hash.update(`${text.length}\n`).update(text);
    if (!/\.[mc]?[jt]sx?$/.test(file)) continue;
    for (const specifier of findImports(text, { jsx: file.endsWith("x") })) {
      importsFromElsewhere ||= /^(npm:|jsr:|https?:)/.test(specifier);
      const host = hostOf(specifier);
      if (host) hosts.add(host);
      const local = localOf(specifier, file);
      if (local && found.size < MAX_FILES) found.add(local);
    }
  }
  const version = hash.digest("hex").slice(0, VERSION_CHARS);
  return {
    files: [...found],
    readable,
    unreadable,
    hosts: [...hosts],
    importsFromElsewhere,
    version,
  };
}

/** What the task files at `paths` let task code read besides themselves, in words; empty where it is nothing. */
export function tellReadable(paths: readonly string[]): string {
  const own = new Set(paths);
  const others = new Map<string, string>();
  for (const path of paths) {
    for (const file of readTaskSource(path).readable) {
      if (!own.has(file)) others.set(file, nameOf(file, dirname(path)));
    }
  }
  const told = [...others.values()].slice(0, MAX_TOLD).join(", ");
  return others.size > MAX_TOLD ? `${told} and ${others.size - MAX_TOLD} more` : told;
}

/** Changes when one of `files` is written, comes or goes. */
export function stampOf(files: readonly string[]): string {
  return files.map((file) => {
    try {
      const { mtime, size, ino } = Deno.statSync(file);
      return `${mtime?.getTime()} ${size} ${ino}`;
    } catch {
      return "";
    }
  }).join("\n");
}

function localOf(specifier: string, from: string): string | undefined {
  if (!/^(\.{1,2}\/|\/|file:)/.test(specifier)) return undefined;
  try {
    return fileURLToPath(new URL(specifier, pathToFileURL(from)));
  } catch {
    // Text that looks like an import, or an import that names no file: of another host, with a %2F.
    return undefined;
  }
}

function hostOf(specifier: string): string | undefined {
  if (specifier.startsWith("jsr:")) return "jsr.io:443";
  if (!/^https?:\/\//.test(specifier) || !URL.canParse(specifier)) return undefined;
  const { hostname, port, protocol } = new URL(specifier);
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}

/** Of what `file` leads to, where it is a link: the text that names it is the operator's own. */
function statOf(file: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(file);
  } catch {
    // Not there, or not for us: the loader meets it again and says so.
    return undefined;
  }
}

function readText(file: string, { size, mtime }: Deno.FileInfo): string | undefined {
  if (size > MAX_SOURCE_BYTES) return `${size} ${mtime?.getTime()}`;
  try {
    return Deno.readTextFileSync(file);
  } catch {
    // Gone meanwhile, or not for us: as above.
    return undefined;
  }
}

/** As seen from `folder`, and where it is a link, where that leads. */
function nameOf(file: string, folder: string): string {
  const way = relative(folder, file);
  const name = way.startsWith("..") ? file : way;
  const real = realPathOf(file);
  return real === undefined || real === file ? name : `${name} (a link to ${real})`;
}

function realPathOf(file: string): string | undefined {
  try {
    return Deno.realPathSync(file);
  } catch {
    // Gone meanwhile.
    return undefined;
  }
}
