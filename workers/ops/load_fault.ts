/**
 * Why a task file could not be loaded, in the terms of its author: the file as it was named on the command line, the
 * line, the fault, and often a cure. The message has no stack.
 */

import { fileURLToPath, pathToFileURL } from "node:url";

/** A task file: its URL, and its name on the command line. */
interface NamedFile {
  readonly url: string;
  readonly name: string;
  /** Imports that may not be read, and why: a worker cannot check that itself. */
  readonly unreadable?: readonly (readonly [path: string, why: string])[];
}

const NOT_FOUND = /^Module not found "([^"]+)"/;
const FOLDER = /(?:Directory import|Import) '([^']+\/)' (?:is not supported|failed)/;
const PLACE = /(file:\/\/[^\s()]+?):(\d+):(\d+)/;
/** Deno's message for a module that may not be read: it does not exist, or its name is computed. */
const DENIED = /^Requires (read|import) access to "([^"]+)"/;
/** Deno's message for an import that is not in its cache and may not be fetched. */
const NOT_FETCHED = /(?:not found in cache: "([^"]+)"), --cached-only/;
/** Messages of an executable for imports that are neither a relative path nor `node:`. */
const NO_PACKAGE =
  /npm:|jsr:|https?:|Relative import path|not a dependency|in the list of packages|npm package/i;
/** Allowed sources of code that is no local file. */
export const IMPORTABLE = "code may be imported from jsr:, npm:, and the hosts that Deno trusts";
const NOT_TRANSPILED =
  /Unexpected (strict mode reserved word|identifier|token)|Missing initializer/;

export class LoadFault extends Error {
  override readonly name = "LoadFault";
  /** The URL of an import that does not exist. */
  readonly missing: string | undefined;

  constructor(message: string, missing?: string) {
    super(message);
    this.missing = missing;
  }

  /** A fault that a worker reported, with the name of a similar file, which the worker may not look for. */
  static reported(message: string, missing: string | undefined): LoadFault {
    return new LoadFault(missing === undefined ? message : message + nearbyText(missing));
  }

  /** The fault for `error`, which was thrown when `file` was imported. */
  static of(error: unknown, file: NamedFile): LoadFault {
    try {
      const missing = error instanceof Error ? missingIn(error.message, file) : undefined;
      return new LoadFault(describe(error, file), missing);
    } catch {
      return new LoadFault(`${file.name}: its top level threw something that cannot be read`);
    }
  }
}

/** The place where `file` exports `name`, like `tasks.ts:12`; or the file alone. */
export function placeOf(file: NamedFile, name: string): string {
  return placeOfLine(
    file,
    new RegExp(
      `^\\s*export\\s+(default\\b|(async\\s+)?function\\s*\\*?\\s*${name}\\b|` +
        `(const|let|var)\\s+${name}\\b|\\{[^}]*\\b${name}\\b)`,
    ),
  );
}

/** The first line of `file` that matches `text`, like `tasks.ts:12`; or the file alone. */
export function placeOfLine(file: NamedFile, text: RegExp): string {
  let lines: string[] = [];
  try {
    lines = Deno.readTextFileSync(new URL(file.url)).split("\n");
  } catch {
    // The file was removed a moment ago: the message has no line then.
  }
  const at = lines.findIndex((line) => text.test(line));
  return at < 0 ? file.name : `${file.name}:${at + 1}`;
}

function describe(error: unknown, file: NamedFile): string {
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

/** The line with the import that `message` quotes, found by its last name: Deno's message has no line. */
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

/** A hint at a file with a similar name: Deno wants the whole name, with `.ts` for TypeScript. */
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
  return url.startsWith(new URL("..", import.meta.url).href);
}

/** The name of the file at `url`, in the same form as that of `file`. */
function nameOf(url: string, file: NamedFile): string {
  const folder = new URL(".", file.url).href;
  if (url === file.url) return file.name;
  const prefix = file.name.replace(/[^/\\]*$/, "");
  return url.startsWith(folder) ? prefix + url.slice(folder.length) : fileURLToPath(url);
}

/** Comments, strings and templates, whose content is skipped; then the words and signs that matter. A line that begins with a
 * word begins a statement. */
const TOKEN =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|[{}()[\];]|=>|\n(?=\w)|(?<![.\w])(?:await|while|for|do)\b/g;

/**
 * The number of the first line that awaits or loops outside of every function; `undefined` if there is none. A guess from the
 * text alone, for a file whose top level does not end.
 */
export function firstWait(text: string): number | undefined {
  let braces = 0;
  // For each open bracket: whether it is in an arrow function without braces, which ends with the bracket.
  let inArrow = [false];
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (token === "{") braces++;
    else if (token === "}") braces--;
    else if (braces > 0) continue;
    else if (token === "(" || token === "[") inArrow.push(inArrow.at(-1) ?? false);
    else if (token === ")" || token === "]") inArrow.pop();
    else if (token === "=>") inArrow.splice(-1, 1, true);
    else if (token === ";" || token === "\n") inArrow = [false];
    else if (/^[a-z]/.test(token) && !inArrow.at(-1)) {
      return text.slice(0, index).split("\n").length;
    }
  }
  return undefined;
}
