/** A client that knows a task file refuses wrong ops and arguments before anything runs: at the type check. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";

const CONFIG = new URL("../../../deno.json", import.meta.url).pathname;
const MOD = new URL("../../../client/mod.ts", import.meta.url).href;
const USES = new URL("../../clients/typed_uses.ts", import.meta.url).href;
const TASKS = new URL("../../clients/typed_tasks.ts", import.meta.url).href;

async function check(text: string): Promise<{ success: boolean; told: string }> {
  const file = await Deno.makeTempFile({ prefix: "sd-types-", suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, text);
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--quiet", "--config", CONFIG, file],
      env: { NO_COLOR: "1" },
    }).output();
    return { success, told: new TextDecoder().decode(stderr) };
  } finally {
    await Deno.remove(file);
  }
}

const withClient = (use: string) =>
  `import { connect } from "${MOD}";
const sd = await connect<typeof import("${TASKS}")>();
${use}
`;

Deno.test("what the types of a task file allow compiles, and each mistake in tests/clients/typed_uses.ts is one", async () => {
  assertEquals(await check(`import "${USES}";\n`), { success: true, told: "" });
});

/** What the examples of docs/clients.md take for granted. */
const AROUND_EXAMPLES = `
  import process from "node:process";
  interface Tasks {
    square(args: { n: number }): number;
    resize(args: { path: string }): { path: string };
    report(args: { month: number }): string;
  }
  declare const file: { readLines(): AsyncIterable<string> };
  declare const pem: string;
`;

Deno.test("what docs/clients.md shows of the library compiles", async () => {
  const document = await Deno.readTextFile(new URL("../../../docs/clients.md", import.meta.url));
  const examples = [...document.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, text = ""], index) => {
    const body = text.replace(/^import .*$/m, "")
      .replace(/connect(<.*>)?\(/, "connect<Tasks>(");
    const sd = body.includes("const sd =") ? "" : "const sd = await connect<Tasks>();\n";
    return `export async function example${index}() {\n${sd}${body}}\n`;
  });
  assert(examples.length >= 5);
  const text = `import { connect } from "${MOD}";\n${AROUND_EXAMPLES}${
    examples.join("")
  }void [pem, process];\n`;
  assertEquals(await check(text), { success: true, told: "" });
});

Deno.test("a wrong argument does not compile", async () => {
  const { success, told } = await check(withClient('await sd.square({ n: "7" });'));
  assertEquals(success, false);
  assertStringIncludes(told, "'string' is not assignable to type 'number'");
});

Deno.test("a wrong op does not compile, and the nearest one is named", async () => {
  const { success, told } = await check(withClient("await sd.squar({ n: 7 });"));
  assertEquals(success, false);
  assertStringIncludes(told, "Property 'squar' does not exist");
  assertStringIncludes(told, "Did you mean 'square'?");
});

Deno.test("a task that is submitted by a wrong name does not compile", async () => {
  const { success, told } = await check(withClient('await sd.submit("squar", { n: 7 });'));
  assertEquals(success, false);
  assertStringIncludes(told, '"squar"');
});
