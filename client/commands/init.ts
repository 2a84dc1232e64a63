/** `sd init`: writes a first task file and the types that it uses. It connects to no server. */

import { defineCommand } from "../../cli/command.ts";
import { shellQuote } from "../../cli/completion/shell_words.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { escapeControls, print, say } from "../../cli/talk.ts";
import { writeWholeFile } from "../../cli/whole_file.ts";
import { type ClientCode, ClientError } from "../../net/client_error.ts";
import { quote } from "../../protocol/errors.ts";

const STARTER = new URL("../../examples/starter/", import.meta.url);
/** The first Deno whose executables load TypeScript files. */
const TRANSPILING_DENO = [2, 8, 2];

export const init = defineCommand({
  name: "init",
  summary: "write a first task file and its types",
  positional: "[DIR]",
  maxArgs: 1,
  flags: {
    js: { type: "boolean", help: "write tasks.js instead of tasks.ts" },
    force: { type: "boolean", help: "overwrite existing files" },
  },
  examples: [
    ["sd init", "tasks.ts and sd.d.ts in this folder"],
    ["sd init --js ops", "tasks.js and sd.d.ts in the folder ops"],
  ],
  notes: [
    "Run tasks.ts unchanged with: sd serve tasks.ts. Each of its functions shows one feature of tasks. " +
    "sd.d.ts declares, for editors and type checkers, everything that a task file can use without an import.",
  ],
  run({ flags, args: [folder = "."] }) {
    const name = flags.js || !takesTypeScript() ? "tasks.js" : "tasks.ts";
    const files = { [name]: starterText(name), "sd.d.ts": starterText("sd.d.ts") };
    const written = writeStarter({ folder, files, force: flags.force });
    if (flags.json) printData({ files: written });
    else {
      for (const path of written) print(escapeControls(path));
      printNextSteps(written[0] ?? name);
    }
    return Promise.resolve(EXIT.ok);
  },
});

function printNextSteps(taskFile: string): void {
  const file = shellQuote(taskFile);
  say(escapeControls(
    [
      "",
      "every exported function is an op. In one terminal:",
      "",
      `    sd serve ${file} --watch`,
      "",
      "in another:",
      "",
      `    sd submit '{"op":"greet","name":"Ada"}'`,
      `    sd submit '{"op":"countdown","seconds":3}'`,
    ].join("\n"),
    true,
  ));
}

/** The text of a starter file. `deno compile` puts the folder into the executable; see `COMPILE_INCLUDES`. */
function starterText(name: string): string {
  return Deno.readTextFileSync(new URL(name, STARTER));
}

/** Whether task files in TypeScript can be loaded: always by Deno, by an executable since a certain release. */
function takesTypeScript(): boolean {
  if (!Deno.build.standalone) return true;
  const own = Deno.version.deno.split(".").map(Number);
  for (const [at, least] of TRANSPILING_DENO.entries()) {
    const part = own[at] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}

const PLACE_ERRORS = [
  Deno.errors.NotADirectory,
  Deno.errors.IsADirectory,
  Deno.errors.PermissionDenied,
  Deno.errors.NotFound,
];

interface StarterFolder {
  /** The folder, which is made if it is missing. */
  readonly folder: string;
  /** Texts by file name. */
  readonly files: Readonly<Record<string, string>>;
  /** Overwrite existing files. */
  readonly force: boolean;
}

/** Writes the files and returns their paths. Throws `usage`, and writes none, if a file exists with another text. */
function writeStarter({ folder, files, force }: StarterFolder): string[] {
  const all = Object.entries(files).map(([name, text]) => ({ path: pathIn(folder, name), text }));
  const inTheWay = all.filter(({ path, text }) => !force && !isFree(path, text));
  if (inTheWay.length > 0) {
    const names = inTheWay.map(({ path }) => quote(path)).join(" and ");
    throw new ClientError(
      "usage",
      `${names} ${inTheWay.length > 1 ? "exist" : "exists"} already, and nothing was written`,
      { hint: "overwrite with --force, or name another folder: sd init DIR" },
    );
  }
  attempt(folder, () => Deno.mkdirSync(folder, { recursive: true }));
  for (const { path, text } of all) {
    attempt(path, () => writeWholeFile(path, text), "output_failed");
  }
  return all.map(({ path }) => path);
}

function pathIn(folder: string, name: string): string {
  return folder === "." ? name : `${folder.replace(/[/\\]+$/, "")}/${name}`;
}

/** Whether writing `text` to `path` loses nothing. */
function isFree(path: string, text: string): boolean {
  return attempt(path, () => {
    try {
      return Deno.readTextFileSync(path) === text;
    } catch (error) {
      // A link without a target is not free either.
      if (error instanceof Deno.errors.NotFound) return !isThere(path);
      if (error instanceof Deno.errors.IsADirectory) return false;
      throw error;
    }
  });
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Runs `work`. A wrong path throws `usage`; any other failure, such as a full disk, throws `code`. */
function attempt<T>(path: string, work: () => T, code: ClientCode = "usage"): T {
  try {
    return work();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const isPlace = PLACE_ERRORS.some((type) => error instanceof type);
    throw new ClientError(isPlace ? "usage" : code, `cannot write ${quote(path)}: ${reason}`, {
      cause: error,
    });
  }
}
