/** `sd init`: writes a task file to start from and the types that it uses. It connects to no server. */

import { defineCommand } from "../../cli/command.ts";
import { shellQuote } from "../../cli/completion/shell_words.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { escapeControls, print, say } from "../../cli/talk.ts";
import { writeWholeFile } from "../../cli/whole_file.ts";
import { type ClientCode, ClientError } from "../../net/client_error.ts";
import { quote } from "../../protocol/errors.ts";

const STARTER = new URL("../../examples/starter/", import.meta.url);
/** The first Deno whose executables take TypeScript from outside. */
const TRANSPILING_DENO = [2, 8, 2];

export const init = defineCommand({
  name: "init",
  summary: "write a task file to start from, and its types",
  positional: "[DIR]",
  maxArgs: 1,
  flags: {
    js: { type: "boolean", help: "write tasks.js instead of tasks.ts" },
    force: { type: "boolean", help: "write over files that are there already" },
  },
  examples: [
    ["sd init", "tasks.ts and sd.d.ts, here"],
    ["sd init --js ops", "tasks.js and sd.d.ts, in the folder ops"],
  ],
  notes: [
    "tasks.ts runs as it stands: sd serve tasks.ts. Each function in it shows something that a task can " +
    "do. sd.d.ts tells editors and type checkers what a task file can use without importing it.",
  ],
  run({ flags, args: [folder = "."] }) {
    const name = flags.js || !takesTypeScript() ? "tasks.js" : "tasks.ts";
    const files = { [name]: starterText(name), "sd.d.ts": starterText("sd.d.ts") };
    const written = writeStarter({ folder, files, force: flags.force });
    if (flags.json) printData({ files: written });
    else {
      for (const path of written) print(escapeControls(path));
      tellNext(written[0] ?? name);
    }
    return Promise.resolve(EXIT.ok);
  },
});

function tellNext(taskFile: string): void {
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

/** The text of a starter file. The executable carries the folder: it is one of `COMPILE_INCLUDES`. */
function starterText(name: string): string {
  return Deno.readTextFileSync(new URL(name, STARTER));
}

/** Deno itself always does; an executable since a certain release. */
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

export interface StarterFolder {
  /** Made where it is not there. */
  readonly folder: string;
  /** Texts by file names. */
  readonly files: Readonly<Record<string, string>>;
  /** Write over what is there. */
  readonly force: boolean;
}

/** Writes them and answers their paths. Throws `usage` where a file is there with another text, and writes none. */
export function writeStarter({ folder, files, force }: StarterFolder): string[] {
  const all = Object.entries(files).map(([name, text]) => ({ path: pathIn(folder, name), text }));
  const inTheWay = all.filter(({ path, text }) => !force && !isFree(path, text));
  if (inTheWay.length > 0) {
    const names = inTheWay.map(({ path }) => quote(path)).join(" and ");
    throw new ClientError(
      "usage",
      `${names} ${inTheWay.length > 1 ? "are" : "is"} there already, and nothing is written`,
      { hint: "write over it with --force, or name another folder: sd init DIR" },
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

/** Whether nothing is lost when `text` is written to `path`. */
function isFree(path: string, text: string): boolean {
  return attempt(path, () => {
    try {
      return Deno.readTextFileSync(path) === text;
    } catch (error) {
      // A link to nowhere is something as well.
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

/** `code` is that of a disk or device that fails; a place that is no place is `usage`. */
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
