/** `sd init`: a task file to start from, and the types that it uses. Speaks to no server. */

import { defineCommand } from "../../cli/command.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { shellQuote } from "../../cli/completion/shell_words.ts";
import { escapeControls, print, say } from "../../cli/talk.ts";
import { STARTER_FILES } from "./starter/starter_files.ts";
import { writeStarter } from "./starter/starter_folder.ts";

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
    const files = { [name]: STARTER_FILES[name], "sd.d.ts": STARTER_FILES["sd.d.ts"] };
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
