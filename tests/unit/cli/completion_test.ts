/** What may follow on a command line, for every command there is. */

import { assert, assertEquals } from "@std/assert";
import { completionsOf, readTyped, type Source } from "../../../cli/completion/completion.ts";
import { COMPLETION_SCRIPTS } from "../../../cli/completion/completion_scripts.ts";
import { kebab, tokensOf } from "../../../cli/flags.ts";
import { CLIENT_FLAGS } from "../../../cli/server_flags.ts";
import { shellWords } from "../../../cli/completion/shell_words.ts";
import { GROUPS } from "../../../main.ts";

const COMMANDS = new Map(GROUPS.flatMap(([, entries]) => Object.entries(entries)));

async function after(...words: string[]) {
  const { candidates, source, prefix, start } = await completionsOf(words, COMMANDS);
  return { values: candidates.map(({ value }) => value), source, prefix, start };
}

Deno.test("completion offers every visible command and flag", async () => {
  const { values } = await after("");
  for (const [name, { load }] of COMMANDS) {
    assert(values.includes(name), name);
    const shown = Object.entries((await load()).flags).filter(([, { hidden }]) => !hidden);
    const offered = (await after(name, "--")).values;
    assertEquals(
      offered.filter((flag) => !flag.startsWith("--no-")).sort(),
      shown.map(([flag]) => `--${kebab(flag)}`).sort(),
    );
  }
});

Deno.test("completion offers commands by their beginning, and after help", async () => {
  assertEquals((await after("su")).values, ["submit"]);
  assertEquals((await after("--v")).values, ["--version"]);
  assertEquals((await after("help", "su")).values, ["submit"]);
  assertEquals((await after("nope", "")).values, []);
  assertEquals((await after("constructor", "--")).values, []);
});

Deno.test("the value of a flag is one of its choices, or comes from the source of its placeholder", async () => {
  assertEquals((await after("ls", "--status", "c")).values, ["completed", "cancelled"]);
  assertEquals((await after("ls", "--status=c")).values, [
    "--status=completed",
    "--status=cancelled",
  ]);
  assertEquals((await after("submit", "--lang", "")).values, ["en", "es"]);
  const cases: [string[], Source | undefined, string, string][] = [
    [["ls", "--op", "sq"], "ops", "", "sq"],
    [["ls", "--op=sq"], "ops", "--op=", "sq"],
    [["submit", "-f", "a/"], "files", "", "a/"],
    [["submit", "--after", "a,b"], "tasks", "a,", "b"],
    [["submit", "--after=a,b"], "tasks", "--after=a,", "b"],
    [["serve", "--data", ""], "folders", "", ""],
    [["status", "--context", "p"], "contexts", "", "p"],
    [["ls", "--limit", ""], undefined, "", ""],
    [["serve", "--allow-env=", ""], "files", "", ""],
  ];
  for (const [words, source, prefix, start] of cases) {
    assertEquals(await after(...words), { values: [], source, prefix, start });
  }
});

Deno.test("arguments come from the source that the usage line names", async () => {
  assertEquals((await after("cron", "")).values, ["pause", "resume", "rm"]);
  assertEquals((await after("completions", "z")).values, ["zsh"]);
  const cases: [string[], string | undefined][] = [
    [["cron", "pause", ""], "crons"],
    [["cron", "rm", "a", "b", ""], "crons"],
    [["cancel", ""], "tasks"],
    [["cancel", "a", "b", ""], "tasks"],
    [["why", ""], "tasks"],
    [["why", "a", ""], undefined],
    [["pause", ""], "ops"],
    [["ops", ""], "ops"],
    [["backup", "--force", ""], "files"],
    [["serve", "a.ts", ""], "files"],
    [["submit", ""], undefined],
    [["cancel", "--server", ""], undefined],
    [["cancel", "--server", "h:1", ""], "tasks"],
    [["cancel", "--", "-a"], "tasks"],
  ];
  for (const [words, source] of cases) assertEquals((await after(...words)).source, source);
});

Deno.test("typed words are parsed leniently", () => {
  const words = ["--server", "a:1", "--json", "--nope", "id", "--server=b:2", "--token"];
  const { values, args, awaiting } = readTyped(words, tokensOf(CLIENT_FLAGS));
  assertEquals([...values], [["server", "b:2"]]);
  assertEquals([args, awaiting?.flag], [["id"], "token"]);
});

Deno.test("a line is split as by a shell, and its last word is being typed", () => {
  const cases: [string, string[]][] = [
    ["", [""]],
    ["sd", ["sd"]],
    ["sd ", ["sd", ""]],
    [`sd  submit '{"op":"x y"}' --f`, ["sd", "submit", '{"op":"x y"}', "--f"]],
    [`sd "a \\"b\\" \\n" c\\ d`, ["sd", 'a "b" \\n', "c d"]],
    ["sd 'open quo", ["sd", "open quo"]],
    ["sd '' x", ["sd", "", "x"]],
    ["sd a\\", ["sd", "a\\"]],
  ];
  for (const [line, words] of cases) assertEquals(shellWords(line), words);
});

Deno.test("each script calls sd and explains how to load it", () => {
  for (const [shell, script] of Object.entries(COMPLETION_SCRIPTS)) {
    assert(script.includes(`sd complete ${shell} -- `), shell);
    assert(script.includes(`sd completions ${shell}`), shell);
  }
});
