/**
 * `deno task npm`: the client library as a package for Node and Bun, in `npm/`: plain ES modules, one for each
 * source file, with their types. Nothing is bundled and nothing depended on; what the library calls of `@std` is
 * copied along. `npm publish npm/` publishes it.
 */

import ts from "typescript";
import { VERSION } from "../cli/version.ts";

const ROOT = new URL("../", import.meta.url);
const ENTRY = "client/mod";
/** What the library imports of `@std`. */
const STD: readonly string[] = ["@std/async/delay"];
/** `Symbol.asyncDispose`, which the types of no older runtime name. */
const DISPOSABLE = '/// <reference lib="esnext.disposable" />\n';

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  lib: ["lib.es2024.d.ts", "lib.esnext.disposable.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
  types: [],
  strict: true,
  exactOptionalPropertyTypes: true,
  declaration: true,
  rewriteRelativeImportExtensions: true,
};

/** Writes `files`, by their paths in the package, into `folder`, a path that ends with a slash. */
export async function writePackage(
  folder: string,
  files: ReadonlyMap<string, string>,
): Promise<void> {
  for (const [path, text] of files) {
    const file = `${folder}${path}`;
    await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(file, text);
  }
}

/** All that is in the package. */
export async function packageFiles(): Promise<Map<string, string>> {
  const files = emitted();
  for (const name of STD) {
    files.set(stdPath(name), await Deno.readTextFile(new URL(import.meta.resolve(name))));
  }
  files.set("package.json", `${JSON.stringify(manifest(), null, 2)}\n`);
  files.set("README.md", readme(await Deno.readTextFile(new URL("docs/clients.md", ROOT))));
  files.set("LICENSE", await Deno.readTextFile(new URL("LICENSE", ROOT)));
  return files;
}

/** The modules and their types, by path. `deno check` proves the types; here the globals of Deno are unknown. */
function emitted(): Map<string, string> {
  const files = new Map<string, string>();
  const root = ROOT.pathname;
  const program = ts.createProgram([`${root}${ENTRY}.ts`, `${root}protocol/std.d.ts`], {
    ...OPTIONS,
    rootDir: root,
    outDir: root,
  });
  program.emit(undefined, (file, text) => {
    const path = file.slice(root.length);
    files.set(path, path.endsWith(".d.ts") ? packagedTypes(path, text) : packaged(path, text));
  });
  return files;
}

/** The text of the module at `path`, with what it imports of `@std` where that is in the package. */
function packaged(path: string, text: string): string {
  const up = "../".repeat(path.split("/").length - 1);
  return STD.reduce((text, name) => text.replace(`"${name}"`, `"${up}${stdPath(name)}"`), text);
}

/** TypeScript leaves the imports of types as they are in the source. */
function packagedTypes(path: string, text: string): string {
  const types = text.replace(/((?:from|import\()\s*"\.[^"]+)\.ts"/g, '$1.js"');
  return path === `${ENTRY}.d.ts` ? DISPOSABLE + types : types;
}

function stdPath(name: string): string {
  return `${name.replace("@std/", "std/")}.js`;
}

function manifest(): Record<string, unknown> {
  return {
    name: "@sd/sd",
    version: VERSION,
    description: "The client of sd, a durable task server in one executable",
    keywords: ["task", "queue", "durable", "client"],
    license: "MIT",
    type: "module",
    exports: { ".": { types: `./${ENTRY}.d.ts`, default: `./${ENTRY}.js` } },
    types: `./${ENTRY}.d.ts`,
    sideEffects: false,
    engines: { node: ">=20", bun: ">=1.1", deno: ">=2" },
    files: ["client", "net", "protocol", "std"],
  };
}

/** The part of `document`, docs/clients.md, about the library. The documents that it links to are not in the package. */
function readme(document: string): string {
  const [, library = ""] = /^## The library\n([^]*?)^## /m.exec(document) ?? [];
  const text = library.trim().replace(/\[([^\]]+)\]\([^)]*\.md[^)]*\)/g, "$1");
  return `# @sd/sd\n\nThe client of sd, a durable task server in one executable.\n\n${text}\n`;
}

if (import.meta.main) {
  const folder = new URL("npm/", ROOT).pathname;
  await Deno.remove(folder, { recursive: true }).catch((error: unknown) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  await writePackage(folder, await packageFiles());
}
