/**
 * Task files on disk: the files that the arguments of `sd serve` and `sd work` name, and for each the source that it
 * is made of. The source is the file itself and the files that it imports by relative paths in its text
 * (`import_lexer.ts`). Task code may read these files and no others; their text is the version of the task file, and a
 * change of one is a change of all. Only regular files, and links to them, are read: never a folder, which would
 * give all below it, nor a device or pipe, which would not end.
 */

import { createHash } from "node:crypto";
import { dirname, isAbsolute, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ClientError } from "../../net/client_error.ts";
import { quote } from "../../protocol/errors.ts";
import { MAX_FILE_NAME_CHARS, MAX_TASK_FILES } from "../../protocol/limits.ts";
import type { TaskFileRef } from "../../protocol/pool_start.ts";
import { findImports } from "./import_lexer.ts";

const IS_MODULE = /\.(ts|mts|tsx|js|mjs|jsx)$/;
const ENDS = [".ts", ".js", ".mts", ".mjs", ".tsx", ".jsx"];
/** Modules in a folder of task files that are no task files. */
const IS_OTHER = /(\.d\.m?ts|[._]test\.(ts|mts|tsx|js|mjs|jsx))$/;
/** Most files of one task file: more were not written by hand. */
const MAX_FILES = 10_000;
/** Longest text that is searched for imports; a longer one is data, and its size and time stand for its text. */
const MAX_SOURCE_BYTES = 32 * 1024 * 1024;
const VERSION_CHARS = 12;
/** Most files that a line of the log names. */
const MAX_NAMED = 10;

/**
 * The task files that `args` name. A folder stands for the modules directly in it, sorted by name. Throws `usage` for
 * a path that does not exist, is no module, or is a folder without modules.
 */
export function findTaskFiles(args: readonly string[]): TaskFileRef[] {
  const refs = new Map<string, TaskFileRef>();
  for (const arg of args) {
    for (const name of modulesOf(arg)) {
      if (name.length > MAX_FILE_NAME_CHARS) {
        throw new ClientError(
          "usage",
          `the name of a task file has ${MAX_FILE_NAME_CHARS} characters at most; this is ${
            quote(name)
          }`,
        );
      }
      const path = Deno.realPathSync(name);
      // A file that is named twice, for example by itself and by its folder, is one file.
      if (!refs.has(path)) refs.set(path, { path, name });
    }
  }
  if (refs.size > MAX_TASK_FILES) {
    throw new ClientError(
      "usage",
      `these are ${refs.size} task files, the most is ${MAX_TASK_FILES}`,
    );
  }
  return [...refs.values()];
}

function modulesOf(arg: string): string[] {
  const { isDirectory } = stat(arg);
  if (!isDirectory) {
    if (IS_MODULE.test(arg)) return [arg];
    throw new ClientError("usage", `${quote(arg)} is no task file: its name ends in .ts or .js`, {
      hint: /\.c[jt]s$/.test(arg) ? "it is CommonJS; write it as an ES module" : undefined,
    });
  }
  const folder = arg.replace(/[/\\]+$/, "");
  const names = [...Deno.readDirSync(arg)]
    .filter(({ name, isDirectory }) =>
      !isDirectory && !name.startsWith(".") && IS_MODULE.test(name) && !IS_OTHER.test(name)
    )
    .map(({ name }) => `${folder}/${name}`)
    .sort();
  // One of them can be a link to a file that does not exist.
  for (const name of names) stat(name);
  if (names.length > 0) return names;
  throw new ClientError("usage", `the folder ${quote(arg)} holds no task file`, {
    hint: "task files end in .ts or .js and lie in the folder itself",
  });
}

function stat(arg: string): Deno.FileInfo {
  try {
    return Deno.statSync(arg);
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound;
    const whole = isMissing ? ENDS.map((end) => arg + end).find(isFile) : undefined;
    const what = isMissing ? "is not there" : `cannot be read: ${String(error)}`;
    throw new ClientError("usage", `the task file ${quote(arg)} ${what}`, {
      cause: error,
      hint: whole !== undefined
        ? `there is ${quote(whole)}: write the whole name, with its end`
        : isMissing
        ? "sd init makes a tasks.ts to start from"
        : undefined,
    });
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Why an import gives no right to read; "no file": a device, a pipe or the like. */
type Unreadable = "not there" | "a folder" | "no file";

export interface TaskSource {
  /** Absolute paths, the task file's own first; also of files that do not exist yet. */
  readonly files: readonly string[];
  /** The regular files among them. */
  readonly readable: readonly string[];
  /** The others, without the slash at the end of a folder, and why. */
  readonly unreadable: readonly (readonly [path: string, why: Unreadable])[];
  /** Hosts from which it imports. */
  readonly hosts: readonly string[];
  /** It imports from hosts, or packages. */
  readonly importsFromElsewhere: boolean;
  /** 12 hex digits of the SHA-256 of all the text. */
  readonly version: string;
}

/** The source of the task file at `path`. Files that cannot be read are left out: the loader reports them. */
export function readTaskSource(path: string): TaskSource {
  const found = new Set([path]);
  const readable: string[] = [];
  const unreadable: [string, Unreadable][] = [];
  const hosts = new Set<string>();
  let importsFromElsewhere = false;
  const hash = createHash("sha256");
  // A loop over a set includes what is added meanwhile.
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

/** The files that task code may read besides the task files at `paths`, in words; empty if there are none. */
export function describeReadable(paths: readonly string[]): string {
  const own = new Set(paths);
  const others = new Map<string, string>();
  for (const path of paths) {
    for (const file of readTaskSource(path).readable) {
      if (!own.has(file)) others.set(file, nameOf(file, dirname(path)));
    }
  }
  const named = [...others.values()].slice(0, MAX_NAMED).join(", ");
  return others.size > MAX_NAMED ? `${named} and ${others.size - MAX_NAMED} more` : named;
}

/** A text that changes when one of `files` is written, created or removed. */
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

/** Whether `path` is `folder` or lies in it. Relative paths count from where the command was typed. */
export function isWithin(path: string, folder: string): boolean {
  const way = relative(resolve(folder), resolve(path));
  // A name can begin with two dots: only the whole part ".." leads out.
  return way !== ".." && !/^\.\.[/\\]/.test(way) && !isAbsolute(way);
}

function localOf(specifier: string, from: string): string | undefined {
  if (!/^(\.{1,2}\/|\/|file:)/.test(specifier)) return undefined;
  try {
    return fileURLToPath(new URL(specifier, pathToFileURL(from)));
  } catch {
    // The text only looks like an import, or the import names no file: another host, a %2F.
    return undefined;
  }
}

function hostOf(specifier: string): string | undefined {
  if (specifier.startsWith("jsr:")) return "jsr.io:443";
  if (!/^https?:\/\//.test(specifier) || !URL.canParse(specifier)) return undefined;
  const { hostname, port, protocol } = new URL(specifier);
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}

/** Follows links: the text that names them is the operator's own. */
function statOf(file: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(file);
  } catch {
    // It does not exist, or may not be read: the loader reports it.
    return undefined;
  }
}

function readText(file: string, { size, mtime }: Deno.FileInfo): string | undefined {
  if (size > MAX_SOURCE_BYTES) return `${size} ${mtime?.getTime()}`;
  try {
    return Deno.readTextFileSync(file);
  } catch {
    // Removed meanwhile, or it may not be read: as above.
    return undefined;
  }
}

/** The name of a file as seen from `folder`; for a link, also its target. */
function nameOf(file: string, folder: string): string {
  const name = isWithin(file, folder) ? relative(folder, file) : file;
  const real = realPathOf(file);
  return real === undefined || real === file ? name : `${name} (a link to ${real})`;
}

function realPathOf(file: string): string | undefined {
  try {
    return Deno.realPathSync(file);
  } catch {
    // Removed meanwhile.
    return undefined;
  }
}
