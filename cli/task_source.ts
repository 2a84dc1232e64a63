/**
 * What a task file is made of: itself and the files that it imports from beside it, found in their text.
 * Finding one too many does no harm, so nothing is parsed. Task code may read these files and no others,
 * their text is its version, and a change of one of them is a change of it.
 */

import { createHash } from "node:crypto";
import { fileURLToPath, pathToFileURL } from "node:url";

/** Beyond so many, a task file has not been written by hand. */
const MAX_FILES = 10_000;
const VERSION_CHARS = 12;

/** `import … from "./a.ts"`, `export … from "./a.ts"`, `import "./a.ts"`, `import("./a.ts")`. */
const IMPORTED = /\b(?:from|import)\s*\(?\s*(["'])([^"'\n\\]+)\1/g;

export interface TaskSource {
  /** Absolute paths, the task file's own first. */
  readonly files: readonly string[];
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
  const hosts = new Set<string>();
  let importsFromElsewhere = false;
  const hash = createHash("sha256");
  // A set is walked with what is added on the way.
  for (const file of found) {
    const text = readText(file);
    if (text === undefined) continue;
    hash.update(`${text.length}\n`).update(text);
    if (!/\.[mc]?[jt]sx?$/.test(file)) continue;
    for (const [, , specifier = ""] of text.matchAll(IMPORTED)) {
      importsFromElsewhere ||= /^(npm:|jsr:|https?:)/.test(specifier);
      const host = hostOf(specifier);
      if (host) hosts.add(host);
      const local = localOf(specifier, file);
      if (local && found.size < MAX_FILES) found.add(local);
    }
  }
  const version = hash.digest("hex").slice(0, VERSION_CHARS);
  return { files: [...found], hosts: [...hosts], importsFromElsewhere, version };
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

function readText(file: string): string | undefined {
  try {
    return Deno.readTextFileSync(file);
  } catch {
    // Not there, a folder, not for us: whatever it is, the loader meets it again and says so.
    return undefined;
  }
}
