/** The house rules that a machine can hold: who imports whom, how large a room is, what it is called. */

import { assertEquals } from "@std/assert";
import { VERSION } from "../../cli/version.ts";
import { ENTRY_PERMISSIONS } from "../../cli/self_command.ts";

const ROOT = new URL("../../", import.meta.url);
const SOURCES = ["protocol", "cli", "workers", "client", "server"];

/** Rungs of the ladder: a file imports from its own rung's room and from rungs below. */
const LADDER: readonly (readonly string[])[] = [
  ["protocol"],
  ["cli"],
  ["workers", "client", "server"],
];
const SERVER_LADDER: readonly (readonly string[])[] = [
  [
    "breath.ts",
    "clock.ts",
    "log.ts",
    "metrics.ts",
    "lifecycle.ts",
    "config.ts",
    "limits.ts",
    "messages.ts",
  ],
  ["task"],
  ["engine"],
  ["dispatch", "api"],
  ["tcp"],
  ["server.ts", "serve_flags.ts", "pool_secret_file.ts"],
  ["serve.ts"],
];
const MAX_FILE_LINES = 400;
const FORBIDDEN_NAMES = ["utils", "helpers", "types", "common", "index"];
/** Words that the vocabulary replaces; see the table in docs/architecture.md. */
const FORBIDDEN_WORDS = /\b(job|jobs|backend|broker|driver|tube)\b/i;

interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function* walk(folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(new URL(folder + "/", ROOT))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* walk(path);
    else if (entry.name.endsWith(".ts")) yield path;
  }
}

function read(path: string): SourceFile {
  const text = Deno.readTextFileSync(new URL(path, ROOT));
  const imports = [...text.matchAll(/(?:from|import\(|new URL\()\s*"(\.[^"]+\.ts)"/g)]
    .map((match) => new URL(match[1]!, new URL(path, ROOT)).href.slice(ROOT.href.length))
    // Starting the executable again is no import of it.
    .filter((target) => target !== "main.ts");
  return { path, text, imports };
}

const FILES = [...SOURCES.flatMap((folder) => [...walk(folder)]), "main.ts"].map(read);
const TESTS = ["tests", "bench", "examples", "scripts"].flatMap((folder) => [...walk(folder)])
  .map(read);

function rungOf(ladder: readonly (readonly string[])[], room: string): number {
  return ladder.findIndex((rooms) => rooms.includes(room));
}

Deno.test("every import points down the ladder of rooms", () => {
  const wrong = FILES.filter(({ path }) => path !== "main.ts").flatMap(({ path, imports }) =>
    imports.filter((target) => {
      const [from = "", to = ""] = [path.split("/")[0], target.split("/")[0]];
      if (from !== to) return !(rungOf(LADDER, to) < rungOf(LADDER, from));
      if (from !== "server") return false;
      const [a = "", b = ""] = [path.split("/")[1], target.split("/")[1]];
      return a !== b && !(rungOf(SERVER_LADDER, b) < rungOf(SERVER_LADDER, a));
    }).map((target) => `${path} imports ${target}`)
  );
  assertEquals(wrong, []);
});

Deno.test("every room of the server stands on the ladder", () => {
  const rooms = new Set(
    FILES.filter(({ path }) => path.startsWith("server/")).map(({ path }) => path.split("/")[1]!),
  );
  assertEquals([...rooms].filter((room) => rungOf(SERVER_LADDER, room) < 0), []);
});

Deno.test("no circle of imports", () => {
  const byPath = new Map(FILES.map((file) => [file.path, file]));
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, trail: readonly string[]) => {
    if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
    else if (!done.has(path)) {
      for (const next of byPath.get(path)?.imports ?? []) visit(next, [...trail, path]);
      done.add(path);
    }
  };
  for (const { path } of FILES) visit(path, []);
  assertEquals(circles, []);
});

Deno.test("every source file is imported by another, or is an entry", () => {
  const imported = new Set([...FILES, ...TESTS].flatMap(({ imports }) => imports));
  const entries = [
    "main.ts",
    "client/mod.ts",
    "protocol/std.d.ts",
    "client/many/cli_progress.d.ts",
  ];
  assertEquals(
    FILES.map(({ path }) => path).filter((path) => !imported.has(path) && !entries.includes(path)),
    [],
  );
});

Deno.test("no file is over its size, and each says at its head what it is for", () => {
  const lines = (text: string) => text.split("\n").length - 1;
  assertEquals(
    FILES.filter(({ text }) => lines(text) > MAX_FILE_LINES).map(({ path }) => path),
    [],
  );
  assertEquals(
    [...FILES, ...TESTS].filter(({ text }) => !/^(#!.*\n)?\/\*\*/.test(text)).map(({ path }) =>
      path
    ),
    [],
  );
});

Deno.test("files have names of the house, and the words of the vocabulary", () => {
  const names = FILES.filter(({ path }) => {
    const name = path.split("/").at(-1)!.replace(/\.(d\.)?ts$/, "");
    return !/^[a-z0-9_]+$/.test(name) || FORBIDDEN_NAMES.includes(name);
  });
  assertEquals(names.map(({ path }) => path), []);
  const words = FILES.flatMap(({ path, text }) =>
    text.split("\n").filter((line) => FORBIDDEN_WORDS.test(line)).map((line) => `${path}: ${line}`)
  );
  assertEquals(words, []);
});

Deno.test("no unfinished work is marked, no test is switched off or singled out", () => {
  // Put together, so that this line is not found itself.
  const marks = new RegExp(["TO" + "DO", "FIX" + "ME", "\\.on" + "ly\\("].join("|"));
  assertEquals(
    [...FILES, ...TESTS].filter(({ text }) => marks.test(text)).map(({ path }) => path),
    [],
  );
});

Deno.test("every dependency is pinned to one version, so that none needs the lock file for that", () => {
  const config = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  const loose = Object.entries<string>(config.imports).filter(([, source]) =>
    !/^npm:[^@]+@\d+\.\d+\.\d+(\/|$)/.test(source)
  );
  assertEquals(loose, []);
});

Deno.test("deno.json, the version and the permissions say the same everywhere", () => {
  const config = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  assertEquals(VERSION, config.version);
  for (const name of ["sd", "demo"]) {
    for (const permission of ENTRY_PERMISSIONS) {
      assertEquals(config.tasks[name].includes(` ${permission} `), true, `${name}: ${permission}`);
    }
  }
});
