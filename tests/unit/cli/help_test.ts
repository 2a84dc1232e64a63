/** What --help tells, and that it is right for every command. */

import { assert, assertEquals } from "@std/assert";
import { type Command, defineCommand } from "../../../cli/command.ts";
import { kebab } from "../../../cli/flags.ts";
import { commandHelp } from "../../../cli/help.ts";
import { nearest } from "../../../cli/nearest.ts";
import { GROUPS, main } from "../../../main.ts";
import { type CommandName, COMMANDS, type Operation } from "../../../protocol/operations.ts";
import { captureOutput } from "../../kit/captured_output.ts";

const ENTRIES = GROUPS.flatMap(([, entries]) => Object.entries(entries));
const plain = { heading: (text: string) => text };

async function loadAll(): Promise<[string, string, Command][]> {
  return await Promise.all(
    ENTRIES.map(async ([name, { summary, load }]) => [name, summary, await load()] as const),
  ) as [string, string, Command][];
}

Deno.test("name and summary of every command are the same in the overview and in its help", async () => {
  for (const [name, summary, command] of await loadAll()) {
    assertEquals([command.name, command.summary], [name, summary]);
  }
});

Deno.test("every flag of every command has a help in one style and a letter of its own", async () => {
  for (const [name, , command] of await loadAll()) {
    const letters = new Set<string>();
    for (const [flag, spec] of Object.entries(command.flags)) {
      const where = `sd ${name} --${kebab(flag)}`;
      if (spec.hidden) continue;
      assert(spec.help.length > 0, `${where} has no help`);
      assert(!/^[A-Z]|\.$/.test(spec.help), `${where}: ${spec.help}`);
      if (spec.short === undefined) continue;
      assert(/^[a-z]$/i.test(spec.short) && !letters.has(spec.short), where);
      letters.add(spec.short);
    }
  }
});

Deno.test("every command takes --json and --help and shows an example of itself", async () => {
  for (const [name, , command] of await loadAll()) {
    const help = commandHelp(command, plain);
    for (const flag of ["--json", "-h, --help"]) assert(help.includes(flag), `sd ${name} ${flag}`);
    assert(command.examples.length > 0, name);
    for (const [line] of command.examples) assert(line.includes(`sd ${name}`), line);
  }
});

Deno.test("help fits in 88 columns, except for examples, which are not broken", async () => {
  for (const [, , command] of await loadAll()) {
    const examples = command.examples.map(([line]) => line);
    const wide = commandHelp(command, plain).split("\n")
      .filter((line) => line.length > 88 && !examples.some((example) => line.includes(example)));
    assertEquals(wide, []);
  }
});

Deno.test("help shows values, defaults, limits and variables, and omits hidden flags", () => {
  const help = commandHelp({
    name: "demo",
    summary: "show help",
    positional: "[X]",
    flags: {
      server: { type: "string", value: "H:P", help: "where", env: "SD_X", default: "here" },
      runTimeout: { type: "duration", value: "TIME", help: "how long", default: 90_000 },
      count: { type: "integer", value: "N", help: "how many", min: 1, max: 9, short: "n" },
      op: { type: "string", value: "OP", help: "which", choices: ["a", "b"] },
      color: { type: "boolean", help: "paint", negatable: true },
      pool: { type: "boolean", help: "secret", hidden: true },
    },
    examples: [["sd demo 1", "one"]],
  }, plain);
  assertEquals(
    help,
    [
      "sd demo: show help",
      "",
      "Usage: sd demo [X] [flags]",
      "",
      "Examples:",
      "  sd demo 1  one",
      "",
      "Flags:",
      "  --server H:P        where (default here; env SD_X)",
      "  --run-timeout TIME  how long (default 1.5m)",
      "  -n, --count N       how many (1 to 9)",
      "  --op OP             which (a, b)",
      "  --[no-]color        paint",
    ].join("\n"),
  );
});

Deno.test("--help prints help beside any other argument, and runs nothing", async () => {
  const command = defineCommand({
    name: "demo",
    summary: "never run",
    flags: {},
    examples: [],
    run: () => Promise.reject(new Error("it ran")),
  });
  for (const argv of [["--help"], ["-h"], ["--nope", "a", "b", "--help"]]) {
    const { value, stdout, stderr } = await captureOutput(() => command.main(argv));
    assertEquals([value, stdout.split("\n")[0], stderr], [0, "sd demo: never run", ""]);
  }
});

Deno.test("sd alone, sd --help and sd help print the overview with every command", async () => {
  for (const argv of [[], ["--help"], ["-h"], ["help"]]) {
    const { value, stdout, stderr } = await captureOutput(() => main(argv));
    assertEquals([value, stderr], [0, ""]);
    for (const [name, { summary }] of ENTRIES) {
      assert(
        stdout.split("\n").some((line) => line.trim().startsWith(name) && line.endsWith(summary)),
      );
    }
  }
});

Deno.test("sd help NAME prints the help of that command", async () => {
  const { value, stdout } = await captureOutput(() => main(["help", "submit"]));
  assertEquals([value, stdout.split("\n")[0]], [0, "sd submit: send a task and print its result"]);
});

Deno.test("sd --version prints the version of sd and of the runtime", async () => {
  const { value, stdout } = await captureOutput(() => main(["--version"]));
  assertEquals(value, 0);
  assert(/^sd \d+\.\d+\.\d+ \(deno [\d.]+, v8 [\w.-]+\)\n$/.test(stdout), stdout);
});

Deno.test("a mistyped command is refused with the nearest one", async () => {
  const told = async (...argv: string[]) => {
    const { value, stdout, stderr } = await captureOutput(() => main(argv));
    assertEquals(value, 2);
    return stdout + stderr;
  };
  assertEquals(await told("sumbit"), "sd: unknown command sumbit\n    did you mean sd submit?\n");
  assertEquals(
    await told("frobnicate"),
    "sd: unknown command frobnicate\n    see all commands with: sd --help\n",
  );
  assertEquals(JSON.parse(await told("sumbit", "--json")).error.code, "usage");
  await told("constructor");
  await told("__proto__");
});

Deno.test("only near words are suggested", () => {
  assertEquals(nearest("sumbit", ["submit", "status"]), "submit");
  assertEquals(nearest("Status", ["submit", "status"]), "status");
  assertEquals(nearest("x", ["id", "at"]), undefined);
  assertEquals(nearest("anything", []), undefined);
});

Deno.test("flags that are arguments of an operation have its choices and its description", async () => {
  const entries = new Map(GROUPS.flatMap(([, entries]) => Object.entries(entries)));
  const shared: [command: string, operation: CommandName, names: string[]][] = [
    ["ls", "list", ["status", "op", "key"]],
    ["export", "export", ["status", "op"]],
    ["watch", "watch", ["op"]],
    ["cancel", "list", ["op", "key"]],
    ["retry", "list", ["op", "key"]],
  ];
  for (const [command, operation, names] of shared) {
    const { flags } = await entries.get(command)!.load();
    const takes: Operation["takes"] = COMMANDS[operation].takes;
    for (const name of names) {
      const [flag, argument] = [flags[name]!, takes[name]!];
      assertEquals(flag.help, argument.about, `${command} --${name}`);
      const choices = flag.type === "string" ? flag.choices : undefined;
      assertEquals(choices, argument.type === "choice" ? argument.of : undefined);
    }
  }
});
