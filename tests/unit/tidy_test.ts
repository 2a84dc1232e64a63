/** The house rules that a machine can hold: which room imports which, sizes of rooms, files and functions, and names. */

import { assertEquals } from "@std/assert";
import ts from "typescript";
import { VERSION } from "../../cli/version.ts";
import { ENTRY_PERMISSIONS } from "../../cli/pool/self_command.ts";

const ROOT = new URL("../../", import.meta.url);
const SOURCES = ["protocol", "net", "cli", "workers", "client", "server"];

/**
 * Rungs of the ladder. A file may import files of its own room, and rooms on lower rungs. The room of a path is the longest
 * entry that it starts with.
 */
const LADDER: readonly (readonly string[])[] = [
  ["protocol"],
  ["net"],
  ["cli"],
  ["cli/completion", "cli/pool", "client/connection"],
  ["client/task"],
  ["client", "workers/primordials.ts"],
  [
    "client/commands/base",
    "workers/bridge/log_text.ts",
    "workers/bridge/task_table.ts",
    "workers/realm",
  ],
  ["client/commands/input", "client/commands/bench", "client/commands/doctor"],
  [
    "client/commands/bulk",
    "client/commands/batch",
    "client/commands/top",
  ],
  ["client/commands", "workers/ops"],
  ["workers/bridge"],
  ["workers/worker"],
  ["workers/worker.ts"],
  ["workers/pool"],
  ["workers"],
  [
    "server/breath.ts",
    "server/clock.ts",
    "server/log.ts",
    "server/metrics.ts",
    "server/lifecycle.ts",
    "server/config.ts",
    "server/limits.ts",
    "server/messages.ts",
  ],
  ["server/task"],
  ["server/engine"],
  ["server/engine/live"],
  ["server/engine/journaled", "server/engine/memory"],
  ["server/engine/sqlite/file"],
  ["server/engine/sqlite", "server/engine/postgres", "server/engine/redis"],
  ["server/engine/open.ts"],
  ["server/dispatch", "server/api"],
  ["server/tcp/socket"],
  ["server/tcp/client", "server/tcp/link"],
  ["server/tcp"],
  ["server/cluster", "server/bridge"],
  ["server"],
  ["main.ts"],
];
const MAX_FILE_LINES = 400;
const MAX_FUNCTION_LINES = 70;
const MAX_ROOM_FILES = 20;
/** A file with fewer lines needs two importers, or a test that imports it. */
const MIN_FILE_LINES = 80;
/** Files that something other than an import starts. */
const ENTRIES = [
  "main.ts",
  "client/mod.ts",
  "server/engine/redis/open_redis.ts",
  "protocol/std.d.ts",
  "client/commands/batch/cli_progress.d.ts",
  "server/engine/pg.d.ts",
  // The store starts it as a thread.
  "server/engine/sqlite/file/store_thread.ts",
];
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

const RUNG_OF_ROOM = new Map(LADDER.flatMap((rooms, rung) => rooms.map((room) => [room, rung])));

/** The room of `path`: itself, or the nearest folder above it that stands on the ladder. */
function roomOf(path: string): string {
  for (let room = path; room !== ""; room = room.slice(0, Math.max(0, room.lastIndexOf("/")))) {
    if (RUNG_OF_ROOM.has(room)) return room;
  }
  return "";
}

Deno.test("every import points down the ladder of rooms", () => {
  const wrong = FILES.flatMap(({ path, imports }) => {
    const from = roomOf(path);
    return imports.filter((target) => {
      const to = roomOf(target);
      return from !== to && !(RUNG_OF_ROOM.get(to)! < RUNG_OF_ROOM.get(from)!);
    }).map((target) => `${path} imports ${target}`);
  });
  assertEquals(wrong, []);
});

Deno.test("the library, the commands, the workers and the server do not import each other", () => {
  const sideOf = (path: string) => /^(client|workers|server)\//.exec(path)?.[1];
  const wrong = FILES.flatMap(({ path, imports }) =>
    imports.filter((target) => sideOf(path) && sideOf(target) && sideOf(path) !== sideOf(target))
      .map((target) => `${path} imports ${target}`)
  );
  assertEquals(wrong, []);
});

Deno.test("the library is client/ without its commands, over net/ and protocol/", () => {
  const byPath = new Map(FILES.map((file) => [file.path, file]));
  const reached = new Set<string>();
  const visit = (path: string) => {
    if (reached.has(path)) return;
    reached.add(path);
    byPath.get(path)?.imports.forEach(visit);
  };
  visit("client/mod.ts");
  const isLibrary = (path: string) => /^client\/(?!commands\/)/.test(path);
  assertEquals(
    [...reached].filter((path) => !isLibrary(path) && !/^(net|protocol)\//.test(path)),
    [],
  );
  assertEquals(FILES.map(({ path }) => path).filter((p) => isLibrary(p) && !reached.has(p)), []);
});

Deno.test("the pool's main thread imports nothing that runs beside task code, and the realm imports primordials alone", () => {
  const inRoom = (room: string, path: string) => path.startsWith(`${room}/`);
  const wrong = FILES.flatMap(({ path, imports }) => {
    const allows = inRoom("workers/pool", path)
      ? (target: string) => !inRoom("workers/worker", target) && !inRoom("workers/realm", target)
      : inRoom("workers/realm", path)
      ? (target: string) => inRoom("workers/realm", target) || target === "workers/primordials.ts"
      : () => true;
    return imports.filter((target) => !allows(target)).map((target) => `${path} imports ${target}`);
  });
  assertEquals(wrong, []);
});

/** Files whose functions run between and during tasks, in the realm that task code can change. */
const BESIDE_TASKS = [
  "workers/bridge/log_text.ts",
  "workers/ops/context.ts",
  "workers/ops/handler.ts",
  "workers/ops/leased_run.ts",
  "workers/worker/log_outlet.ts",
  "workers/worker/task_loop.ts",
  "workers/worker/task_owner.ts",
  "workers/worker/task_reports.ts",
];
/** Uses of what task code can replace: iterators, methods of built-in prototypes, members of namespaces. */
const REPLACEABLE = new RegExp(
  [
    /\bfor (?:await )?\([^;]* of /,
    /\.(?:at|call|apply|charCodeAt|concat|every|exec|filter|find|forEach|includes|indexOf|join|map|padStart|pop)\(/,
    /\.(?:push|replace|shift|slice|some|sort|splice|split|startsWith|test|then|toString|trim|unshift)\(/,
    /\b(?:JSON|Math|Number|Object|Promise|Reflect)\.\w+\(/,
  ].map(({ source }) => source).join("|"),
);

Deno.test("files that run beside task code use primordials, and nothing that task code can replace", () => {
  const wrong = FILES.filter(({ path }) => BESIDE_TASKS.includes(path)).flatMap(({ path, text }) =>
    text.split("\n")
      // The top level of a file runs before any task code loads; what stands in comments does not run.
      .filter((line) => /^ +(?!\*|\/)/.test(line) && REPLACEABLE.test(line.replace(/\/\/.*/, "")))
      .map((line) => `${path}: ${line.trim()}`)
  );
  assertEquals(wrong, []);
});

Deno.test("every folder stands on the ladder", () => {
  assertEquals(FILES.filter(({ path }) => roomOf(path) === "").map(({ path }) => path), []);
});

Deno.test("one place of the server turns ends of tasks into news: the sink of its engine", () => {
  const callers = FILES.filter(({ path, text }) =>
    path.startsWith("server/") && /\bemit\(/.test(text)
  );
  assertEquals(callers.map(({ path }) => path).sort(), [
    "server/rooms.ts",
    "server/task/task_events.ts",
  ]);
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
  assertEquals(
    FILES.map(({ path }) => path).filter((path) => !imported.has(path) && !ENTRIES.includes(path)),
    [],
  );
});

const linesOf = (text: string) => text.split("\n").length - 1;

Deno.test(`no room has more than ${MAX_ROOM_FILES} files; the commands, one file each, aside`, () => {
  const sizes = new Map<string, number>();
  for (const { path } of FILES) {
    const room = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    sizes.set(room, (sizes.get(room) ?? 0) + 1);
  }
  const wrong = [...sizes].filter(([room, size]) =>
    size > MAX_ROOM_FILES && room !== "client/commands"
  );
  assertEquals(wrong, []);
});

Deno.test(`a file has ${MIN_FILE_LINES} lines, or two importers, or a test that imports it`, () => {
  const importers = new Map<string, number>();
  for (const { imports } of FILES) {
    for (const path of new Set(imports)) importers.set(path, (importers.get(path) ?? 0) + 1);
  }
  const tested = new Set(
    TESTS.flatMap(({ path, imports }) => path.startsWith("tests/") ? imports : []),
  );
  const isCommand = (path: string) => /^client\/commands\/[^/]+$/.test(path);
  const wrong = FILES.filter(({ path, text }) =>
    linesOf(text) < MIN_FILE_LINES && (importers.get(path) ?? 0) < 2 && !tested.has(path) &&
    !ENTRIES.includes(path) && !isCommand(path)
  );
  assertEquals(wrong.map(({ path }) => path), []);
});

const parse = ({ path, text }: SourceFile) =>
  ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);

Deno.test(`no function has more than ${MAX_FUNCTION_LINES} lines`, () => {
  const wrong: string[] = [];
  for (const source of FILES.map(parse)) {
    const lineAt = (position: number) => source.getLineAndCharacterOfPosition(position).line + 1;
    const visit = (node: ts.Node) => {
      if (ts.isFunctionLike(node)) {
        const first = lineAt(node.getStart());
        const lines = lineAt(node.end) - first + 1;
        const name = node.name?.getText() ?? "";
        if (lines > MAX_FUNCTION_LINES) {
          wrong.push(`${source.fileName}:${first}: ${name} has ${lines} lines`);
        }
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  assertEquals(wrong, []);
});

/** The names that `source` itself declares and exports. */
function exportedNames(source: ts.SourceFile): string[] {
  return source.statements.flatMap((statement) => {
    const isExported = ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
    if (!isExported) return [];
    const declared = ts.isVariableStatement(statement)
      ? statement.declarationList.declarations
      : [statement as ts.DeclarationStatement];
    return declared.flatMap(({ name }) => name && ts.isIdentifier(name) ? [name.text] : []);
  });
}

Deno.test("no two files export something by the same name", () => {
  const owners = new Map<string, Set<string>>();
  for (const source of FILES.map(parse)) {
    for (const name of exportedNames(source)) {
      owners.set(name, (owners.get(name) ?? new Set()).add(source.fileName));
    }
  }
  const wrong = [...owners].filter(([, files]) => files.size > 1);
  assertEquals(wrong.map(([name, files]) => `${name}: ${[...files].join(", ")}`), []);
});

Deno.test("no file is over its size, and each says at its head what it is for", () => {
  assertEquals(
    FILES.filter(({ text }) => linesOf(text) > MAX_FILE_LINES).map(({ path }) => path),
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
    !/^npm:@?[^@]+@\d+\.\d+\.\d+(\/|$)/.test(source)
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
