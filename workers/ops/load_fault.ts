/**
 * Why a task file could not be loaded, in words of the person who wrote it: the file as it was named on the
 * command line, the line, what is wrong. A stack is only of use where the error is in another file.
 */

import { fileURLToPath, pathToFileURL } from "node:url";

/** A task file that was named, and where it is. */
interface NamedFile {
  readonly url: string;
  readonly name: string;
  /** What it imports and may not be read, and why: a worker cannot look itself. */
  readonly unreadable?: readonly (readonly [path: string, why: string])[];
}

const NOT_FOUND = /^Module not found "([^"]+)"/;
const FOLDER = /(?:Directory import|Import) '([^']+\/)' (?:is not supported|failed)/;
const PLACE = /(file:\/\/[^\s()]+?):(\d+):(\d+)/;
/** Deno's way to say that a module may not be read: it is not there, or its name is computed. */
const DENIED = /^Requires (read|import) access to "([^"]+)"/;
/** What Deno says of what is not in its cache, where it may not fetch it. */
const NOT_FETCHED = /(?:not found in cache: "([^"]+)"), --cached-only/;
/** What executables say of imports that are neither a relative path nor `node:`. */
const NO_PACKAGE =
  /npm:|jsr:|https?:|Relative import path|not a dependency|in the list of packages|npm package/i;
/** Where code may come from that does not lie beside a task file. */
export const IMPORTABLE = "code may be imported from jsr:, npm:, and the hosts that Deno trusts";
const NOT_TRANSPILED =
  /Unexpected (strict mode reserved word|identifier|token)|Missing initializer/;

export class LoadFault extends Error {
  override readonly name = "LoadFault";
  /** The URL of what is imported and not there. */
  readonly missing: string | undefined;

  constructor(message: string, missing?: string) {
    super(message);
    this.missing = missing;
  }

  /** The fault of another thread, with what lies near what is missing; that thread may not look. */
  static toldBy(message: string, missing: string | undefined): LoadFault {
    return new LoadFault(missing === undefined ? message : message + nearbyText(missing));
  }

  /** What `error` means, which was thrown when `file` was imported. */
  static of(error: unknown, file: NamedFile): LoadFault {
    try {
      const missing = error instanceof Error ? missingIn(error.message, file) : undefined;
      return new LoadFault(tell(error, file), missing);
    } catch {
      return new LoadFault(`${file.name}: its top level threw something that cannot be read`);
    }
  }
}

/** `tasks.ts:12` of what `file` exports as `name`, or the file alone. */
export function placeOf(file: NamedFile, name: string): string {
  return placeOfLine(
    file,
    new RegExp(
      `^\\s*export\\s+(default\\b|(async\\s+)?function\\s*\\*?\\s*${name}\\b|` +
        `(const|let|var)\\s+${name}\\b|\\{[^}]*\\b${name}\\b)`,
    ),
  );
}

/** `tasks.ts:12` of the first line of `file` in which `text` is found, or the file alone. */
export function placeOfLine(file: NamedFile, text: RegExp): string {
  let lines: string[] = [];
  try {
    lines = Deno.readTextFileSync(new URL(file.url)).split("\n");
  } catch {
    // It was there a moment ago; the line is a service, not more.
  }
  const at = lines.findIndex((line) => text.test(line));
  return at < 0 ? file.name : `${file.name}:${at + 1}`;
}

function tell(error: unknown, file: NamedFile): string {
  if (!(error instanceof Error)) {
    return `${file.name}: its top level threw ${Deno.inspect(error).slice(0, 200)}`;
  }
  const [first = ""] = error.message.split("\n");
  const places = `${error.message}\n${error.stack ?? ""}`.matchAll(new RegExp(PLACE, "g"));
  const [, url, line] = [...places].find(([, at = ""]) => !isOurs(at)) ?? [];
  const place = url === undefined ? placeOfQuoted(first, file) : `${nameOf(url, file)}:${line}`;
  const denied = error.name === "NotCapable" ? null : DENIED.exec(first);
  if (denied) return `${place}: ${deniedText(denied, file)}`;
  const [, unfetched] = NOT_FETCHED.exec(error.message) ?? [];
  if (unfetched) return `${place}: it imports ${unfetched}, ${unfetchedText(unfetched)}`;
  const [, missing] = NOT_FOUND.exec(first) ?? [];
  if (missing) {
    return `${place}: it imports ${nameOf(missing, file)}, which is not there`;
  }
  const [, folder] = FOLDER.exec(first) ?? [];
  if (folder) return `${place}: it imports ${nameOf(folder, file)}, which is a folder`;
  const said = first.replace(PLACE, "").replace(/\s+at\s*$/, "").trim()
    .replace(/^The module's source code could not be parsed: /, "SyntaxError: ");
  const isPlain = error.name === "Error" ||
    error.name === "TypeError" && /^(SyntaxError|Import|Failed loading)/.test(said);
  return `${place}: ${isPlain ? "" : `${error.name}: `}${said}${hintOf(said, file)}`;
}

/** The line that holds what `message` quotes, by its last name: an import that failed is told without a line. */
function placeOfQuoted(message: string, file: NamedFile): string {
  for (const [, quoted = ""] of message.matchAll(/"([^"]+)"/g)) {
    const name = quoted.replace(/^.*\//, "").replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const place = placeOfLine(file, new RegExp(`["'/:]${name}["'@/]`));
    if (place !== file.name) return place;
  }
  return file.name;
}

function deniedText([, kind, what = ""]: RegExpExecArray, file: NamedFile): string {
  if (kind === "import") return `it imports from ${what}, from where nothing may be imported`;
  const name = nameOf(pathToFileURL(what).href, file);
  const why = whyUnreadable(what, file);
  if (why === "a folder") return `it imports ${name}/, which is a folder`;
  if (why !== undefined) return `it imports ${name}, which is ${why}`;
  return `it may not import ${name}: only relative paths that stand in its text can be imported`;
}

function unfetchedText(what: string): string {
  return /^https?:/.test(what)
    ? `which could not be fetched; ${IMPORTABLE}`
    : "which could not be fetched when sd started, or whose name is computed";
}

function missingIn(message: string, file: NamedFile): string | undefined {
  const [, , path = ""] = DENIED.exec(message) ?? [];
  if (whyUnreadable(path, file) !== undefined) return pathToFileURL(path).href;
  return (NOT_FOUND.exec(message) ?? FOLDER.exec(message))?.[1];
}

function whyUnreadable(path: string, file: NamedFile): string | undefined {
  return file.unreadable?.find(([other]) => other === path)?.[1];
}

/** What lies there under nearly that name: extensions are written out, and those of TypeScript are its own. */
function nearbyText(missing: string): string {
  const path = missing.replace(/\.[mc]?js$|\/$/, "");
  for (
    const end of [
      ".ts",
      ".js",
      ".mts",
      ".mjs",
      ".tsx",
      ".json",
      "/index.ts",
      "/index.js",
      "/mod.ts",
    ]
  ) {
    if (path + end === missing || !isThere(path + end)) continue;
    return `; there is ${
      (path + end).replace(/^.*\/(?=[^/]*$|index\.|mod\.)/, "")
    }: write the whole name, with its end`;
  }
  return "";
}

function isThere(url: string): boolean {
  try {
    return Deno.statSync(new URL(url)).isFile;
  } catch {
    return false;
  }
}

const COMMON_JS = /^(module|exports|require|__dirname|__filename) is not defined/;
const BARE = /^(?:Import|Relative import path) "([^"./][^":]*)"/;

function hintOf(said: string, file: NamedFile): string {
  const [, common] = COMMON_JS.exec(said) ?? [];
  if (common === "require") return '; a task file is an ES module: import fs from "node:fs"';
  if (common === "module" || common === "exports") {
    return "; a task file is an ES module: write export const name = … instead";
  }
  if (common) {
    return "; a task file is an ES module: there is import.meta.dirname and import.meta.filename";
  }
  if (!Deno.build.standalone) {
    const [, bare] = BARE.exec(said) ?? [];
    return bare ? `; write npm:${bare}@VERSION, or bundle the file first` : "";
  }
  if (NO_PACKAGE.test(said)) {
    return "; this executable holds no packages: bundle the file first (deno bundle, esbuild), " +
      "or run sd with Deno";
  }
  return /\.m?ts$/.test(file.name) && NOT_TRANSPILED.test(said)
    ? `; this executable runs on Deno ${Deno.version.deno}, which takes no TypeScript from outside ` +
      "(2.8.2 does): give it JavaScript"
    : "";
}

function isOurs(url: string): boolean {
  return url.startsWith(new URL(".", import.meta.url).href);
}

/** The file at `url` as the one who named `file` would call it. */
function nameOf(url: string, file: NamedFile): string {
  const folder = new URL(".", file.url).href;
  if (url === file.url) return file.name;
  const prefix = file.name.replace(/[^/\\]*$/, "");
  return url.startsWith(folder) ? prefix + url.slice(folder.length) : fileURLToPath(url);
}
