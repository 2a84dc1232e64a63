/** The table of operations against the readers of requests, the document of the wire, and the client side. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { readDocument } from "../../../../scripts/protocol_docs.ts";
import {
  commandNamed,
  type DoorCommand,
  isScan,
  runCommand,
  type UseCases,
} from "../../../../server/api/operations.ts";
import { checkRole } from "../../../../server/api/auth.ts";
import { readPingEvery, readRecords, readWatchScope } from "../../../../server/api/requests.ts";
import { SdError } from "../../../../protocol/errors.ts";
import type { JsonObject } from "../../../../protocol/message.ts";
import {
  type Argument,
  type CommandName,
  COMMANDS,
  type Operation,
  ROLES,
  SUBMITS,
  takesArgument,
} from "../../../../protocol/operations.ts";

const ENTRIES = Object.entries(COMMANDS) as [CommandName, Operation][];

/** Use cases that take whatever comes: only the reading of arguments can throw. */
const ACCEPT: unknown = new Proxy(() => ({}), {
  get: (_target, name) =>
    name === "then" ? undefined : name === "now" || name === "aheadMs" ? 0 : ACCEPT,
});

/** The readers of the commands that a door runs in its own way. */
const OWN: Readonly<Record<DoorCommand, (message: JsonObject) => unknown>> = {
  hello: () => {},
  ping: readPingEvery,
  health: () => {},
  watch: readWatchScope,
  unwatch: () => {},
  import: readRecords,
  backup: () => {},
};

async function read(name: CommandName, takes: JsonObject): Promise<unknown> {
  const message = { cmd: name, ...takes };
  if (Object.hasOwn(OWN, name)) return OWN[name as DoorCommand](message);
  const caller = { signal: new AbortController().signal, role: "admin" } as const;
  return await runCommand(name as Exclude<CommandName, DoorCommand>, ACCEPT as UseCases, {
    message,
    caller,
  });
}

/** Values that an argument cannot have: of another type, and one past each of its limits. */
function wrongValues(argument: Argument): unknown[] {
  switch (argument.type) {
    case "integer":
      return ["1", 1.5, argument.min - 1, argument.max + 1];
    case "choice":
      return ["no-such-choice", 1];
    case "texts":
      return ["one", [], [1], Array.from({ length: argument.max + 1 }, (_, i) => `t${i}`)];
    case "text":
      return [1, ...(argument.maxChars === undefined ? [] : ["x".repeat(argument.maxChars + 1)])];
    case "time":
      return ["yesterday", -1];
    default:
      return ["text"];
  }
}

/** A value that an argument can have. */
function rightValue(argument: Argument): unknown {
  switch (argument.type) {
    case "integer":
      return argument.max;
    case "choice":
      return argument.of[0];
    case "texts":
      return ["one"];
    case "objects":
      return [{}];
    case "time":
      return "2030-01-31T08:00:00Z";
    default:
      return "text";
  }
}

/** Arguments that a connection reads, which the readers of requests do not see. */
const OF_CONNECTION = ["hello.token", "import.part", "import.at", "import.last"];

function needed(takes: Operation["takes"], except: string): JsonObject {
  const names = Object.keys(takes).filter((name) => takes[name]!.required && name !== except);
  return Object.fromEntries(names.map((name) => [name, rightValue(takes[name]!)]));
}

for (const [name, { takes }] of ENTRIES) {
  Deno.test(`${name} takes the arguments that the table of operations gives it`, async () => {
    const arguments_ = Object.entries(takes);
    for (const [argument, about] of arguments_) {
      if (OF_CONNECTION.includes(`${name}.${argument}`)) continue;
      await read(name, { ...needed(takes, argument), [argument]: rightValue(about) });
      for (const value of wrongValues(about)) {
        const message = { ...needed(takes, argument), [argument]: value };
        const error = await assertRejects(() => read(name, message), SdError);
        assertEquals([error.code, error.message.includes(argument)], ["bad_request", true]);
      }
      if (about.required) {
        await assertRejects(() => read(name, needed(takes, argument)), SdError, argument);
      }
    }
  });
}

Deno.test("an unknown command is refused with all names, and with the nearest one if one is near", () => {
  const error = assertThrows(() => commandNamed("lst"), SdError, `did you mean "list"?`);
  assertEquals(error.code, "unknown_cmd");
  assert(error.message.endsWith(Object.keys(COMMANDS).join(", ")));
  assert(!assertThrows(() => commandNamed("submit"), SdError).message.includes("did you mean"));
  assert(!assertThrows(() => commandNamed("constructor"), SdError).message.includes("did you"));
  assertThrows(() => commandNamed(7), SdError, "no command is called 7.");
});

Deno.test("a scan is a command marked as one, or one that names several tasks", () => {
  assertEquals(isScan({ cmd: "list" }), true);
  assertEquals(isScan({ cmd: "cancel", task_id: "a" }), false);
  assertEquals(isScan({ cmd: "cancel", task_ids: ["a"] }), true);
  assertEquals(isScan({ cmd: "get", task_ids: ["a"] }), false);
  assertEquals(isScan({ cmd: "nothing", task_ids: ["a"] }), false);
});

Deno.test("a role may ask for its own operations and those of the roles before it", () => {
  const allowed = (role: typeof ROLES[number], operation: Operation) => {
    try {
      checkRole(role, operation);
      return true;
    } catch (error) {
      assertEquals((error as SdError).code, "unauthorized");
      return false;
    }
  };
  assertEquals(ROLES.map((role) => allowed(role, COMMANDS.get)), [true, true, true]);
  assertEquals(ROLES.map((role) => allowed(role, SUBMITS.submit)), [false, true, true]);
  assertEquals(ROLES.map((role) => allowed(role, COMMANDS.backup)), [false, false, true]);
});

Deno.test("commands that take op may stand beside it in a message", () => {
  const taking = ENTRIES.map(([name]) => name).filter((name) => takesArgument(name, "op"));
  assertEquals(taking.sort(), ["export", "list", "pause", "resume", "watch"]);
  assertEquals(takesArgument("constructor", "op"), false);
});

Deno.test("docs/protocol.md has each command in its table, with each of its arguments", () => {
  const document = readDocument();
  const section = /^## Commands: a line with `cmd`$(.*?)^## /ms.exec(document)![1]!;
  const rows = [...section.matchAll(/^\| `(\w+)` +\|([^|]*)\|/gm)]
    .map(([, name = "", takes = ""]) => [name, takes] as const);
  const commands = new Map<string, string>();
  const members = new Map(rows.filter(([name]) => !Object.hasOwn(COMMANDS, name)));
  for (const [name, takes] of rows) {
    if (Object.hasOwn(COMMANDS, name)) commands.set(name, (commands.get(name) ?? "") + takes);
  }
  assertEquals([...commands.keys()].sort(), Object.keys(COMMANDS).sort());
  for (const [name, { takes }] of ENTRIES) {
    const told = name === "list"
      ? Object.keys(takes).filter((member) =>
        members.has(member) || rows.some(([row]) => row === member)
      )
      : [...commands.get(name)!.matchAll(/`(\w+)`/g)].map(([, member]) => member!);
    assertEquals(told.sort(), Object.keys(takes).sort(), name);
  }
});

/** The text of each file with code that asks a server, by its path. */
function* sources(folder: string): Generator<[path: string, text: string]> {
  const root = new URL("../../../../", import.meta.url);
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, root))) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* sources(path);
    else if (name.endsWith(".ts")) yield [path, Deno.readTextFileSync(new URL(path, root))];
  }
}

Deno.test("the library, help and completion name no command that the table of operations lacks", () => {
  const named = ["client", "cli", "net", "server"].flatMap((folder) =>
    [...sources(folder)].flatMap(([path, text]) =>
      [...text.matchAll(/\bcmd"?: ?"([a-z_]+)"/g)].map(([, cmd = ""]) => [path, cmd] as const)
    )
  );
  assert(named.length > 20);
  // Worker processes and other servers, which are no clients, begin with a line of their own.
  const others = ["work", "relay"];
  const unknown = named.filter(([, cmd]) => !others.includes(cmd) && !Object.hasOwn(COMMANDS, cmd));
  assertEquals(unknown, []);
  const asked = new Set(named.filter(([path]) => path.startsWith("client/")).map(([, cmd]) => cmd));
  const verbs = ["cancel", "retry"];
  const unused = Object.keys(COMMANDS).filter((cmd) => !asked.has(cmd) && !verbs.includes(cmd));
  assertEquals(unused, [], "no method of the library asks for these");
});
