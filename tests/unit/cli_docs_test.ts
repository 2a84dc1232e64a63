/** docs/cli.md shows what the program says, and every line of it that a person would type can be typed. */

import { assert, assertEquals } from "@std/assert";
import { ClientError } from "../../net/client_error.ts";
import { checkArgs } from "../../cli/command.ts";
import { parseFlags } from "../../cli/flags.ts";
import { shellWords } from "../../cli/completion/shell_words.ts";
import { GROUPS } from "../../main.ts";
import { partOf, readDocument, reference } from "../../scripts/cli_docs.ts";
import { SCENES } from "../../scripts/cli_scenes.ts";

const COMMANDS = new Map(GROUPS.flatMap(([, entries]) => Object.entries(entries)));
/** A typo in a scene is there to be answered. */
const TYPOS = ["sumbit"];

/** The commands of `sd` in a line for a shell, each as its words. */
function commandsIn(line: string): string[][] {
  return line.split(/ \| | && | & |; /).map((part) => {
    const words = shellWords(part.replace(/ (2?>|<).*$/, ""));
    return words.slice(words.indexOf("sd"));
  }).filter(([first]) => first === "sd");
}

async function check(line: string): Promise<void> {
  for (const [, name = "", ...argv] of commandsIn(line)) {
    if (TYPOS.includes(name)) continue;
    const entry = COMMANDS.get(name);
    assert(entry, line);
    const command = await entry.load();
    try {
      const { args } = parseFlags(command.flags, { argv, env: () => undefined });
      checkArgs(command, args);
    } catch (error) {
      throw error instanceof ClientError ? new Error(`${line}: ${error.message}`) : error;
    }
  }
}

Deno.test("the help in docs/cli.md is that of the commands", async () => {
  assertEquals(partOf(readDocument(), "reference"), await reference(), "run: deno task docs:cli");
});

Deno.test("the scenes in docs/cli.md are those that there are, in their order", () => {
  const shown = partOf(readDocument(), "scenes").split("\n")
    .filter((line) => line.startsWith("$ ")).map((line) => line.slice(2));
  const lines = SCENES.flatMap(({ lines }) => lines);
  assertEquals(shown, ["sd serve --workers 2", ...lines], "run: deno task docs:cli");
});

Deno.test("every command that a scene, an example or a README shows can be typed", async () => {
  for (const line of SCENES.flatMap(({ lines }) => lines)) await check(line);
  for (const { load } of COMMANDS.values()) {
    for (const [line] of (await load()).examples) {
      if (!line.includes("<(") && !line.includes("…")) await check(line);
    }
  }
  for (const name of ["README.md", "README.es.md"]) {
    const readme = Deno.readTextFileSync(new URL(`../../${name}`, import.meta.url));
    for (const [, line = ""] of readme.matchAll(/^ *\$ (.*\bsd .*)$/gm)) {
      if (!line.includes("…")) await check(line);
    }
  }
});

Deno.test("every command has a scene or is one that runs on", () => {
  const played = new Set(
    SCENES.flatMap(({ lines }) => lines).flatMap(commandsIn).map(([, name]) => name),
  );
  const others = ["serve", "work", "completions"];
  const missing = [...COMMANDS.keys()].filter((name) =>
    !played.has(name) && !others.includes(name)
  );
  assertEquals(missing, []);
});

Deno.test("the tables of docs/cli.md tell of every command and every exit code", () => {
  const document = readDocument();
  for (const name of COMMANDS.keys()) {
    assert(new RegExp(`\`${name}[\` ]|sd ${name}`).test(document), name);
  }
});
