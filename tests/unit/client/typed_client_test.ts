/** The types of a client: wrong ops and arguments do not compile, and all examples do. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import ts from "typescript";

const ROOT = new URL("../../../", import.meta.url);

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

Deno.test("right uses of a typed client compile, and each mistake in tests/clients/typed_uses.ts is an error", async () => {
  assertEquals(await check(`import "${USES}";\n`), { success: true, told: "" });
});

/** Files of the library, and of what it exports of other folders. */
function* libraryFiles(folder = "client"): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, ROOT))) {
    const path = `${folder}/${name}`;
    if (isDirectory && path !== "client/commands") yield* libraryFiles(path);
    else if (name.endsWith(".ts")) yield path;
  }
  if (folder === "client") yield* ["net/client_error.ts", "protocol/errors.ts", "protocol/task.ts"];
}

/** Declarations that the examples use. */
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

/** Checks a module with a function for each of `examples`, in which `client` is a client of `Tasks`. */
async function checkExamples(examples: readonly string[]): Promise<void> {
  const functions = examples.map((text, index) => {
    const body = text.replace(/^import .*$/m, "").replace(/connect(<.*?>)?\(/, "connect<Tasks>(");
    const client = /(const|using) client =/.test(body)
      ? ""
      : "const client = await connect<Tasks>();\n";
    const used = client === "" ? "" : "void client;\n";
    return `export async function example${index}() {\n${client}${used}${body}}\n`;
  });
  const text = `
    import { type Client, ClientError, connect, SdError, TaskEndedError, TaskFailedError } from "${MOD}";
    ${AROUND_EXAMPLES}
    ${functions.join("")}
    void [pem, process, file, ClientError, SdError, TaskEndedError, TaskFailedError];
    export type { Client };\n`;
  assertEquals(await check(text), { success: true, told: "" });
}

Deno.test("the examples of docs/clients.md compile", async () => {
  const document = await Deno.readTextFile(new URL("../../../docs/clients.md", import.meta.url));
  const examples = [...document.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, text = ""]) => text);
  assert(examples.length >= 5);
  await checkExamples(examples);
});

Deno.test("the examples in the docstrings of the library compile", async () => {
  const examples: string[] = [];
  for (const path of libraryFiles()) {
    const text = await Deno.readTextFile(new URL(path, ROOT));
    for (const [, comment = ""] of text.matchAll(/^ *\* ```ts\n([^]*?)^ *\* ```$/gm)) {
      examples.push(comment.replace(/^ *\* ?/gm, ""));
    }
  }
  assert(examples.length >= 30);
  await checkExamples(examples);
});

Deno.test("every name that the library exports has a docstring, and every call an example", () => {
  const missing: string[] = [];
  const program = ts.createProgram([new URL("client/mod.ts", ROOT).pathname], {
    allowImportingTsExtensions: true,
    noEmit: true,
    target: ts.ScriptTarget.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    module: ts.ModuleKind.ESNext,
    types: [],
  });
  const checker = program.getTypeChecker();
  const hasDoc = (node: ts.Node) => ts.getJSDocCommentsAndTags(node).length > 0;
  const hasExample = (node: ts.Node) =>
    ts.getJSDocTags(node).some(({ tagName }) => tagName.text === "example");
  const mod = program.getSourceFile(new URL("client/mod.ts", ROOT).pathname);
  assert(mod);
  for (const exported of checker.getExportsOfModule(checker.getSymbolAtLocation(mod)!)) {
    const symbol = exported.flags & ts.SymbolFlags.Alias
      ? checker.getAliasedSymbol(exported)
      : exported;
    const [declaration] = symbol.declarations ?? [];
    if (!declaration || !hasDoc(declaration)) missing.push(symbol.name);
  }
  for (const [file, name] of [["server_client", "ServerClient"], ["base_client", "BaseClient"]]) {
    const source = program.getSourceFile(new URL(`client/${file}.ts`, ROOT).pathname);
    const declared = source?.statements.find((statement) =>
      ts.isClassDeclaration(statement) && statement.name?.text === name
    );
    assert(declared && ts.isClassDeclaration(declared), `${name} is not in ${file}.ts`);
    for (const member of declared.members) {
      const isCall = ts.isMethodDeclaration(member) || ts.isGetAccessor(member);
      if (!isCall || !ts.isIdentifier(member.name)) continue;
      if (!hasExample(member)) missing.push(`${name}.${member.name.text}`);
    }
  }
  assertEquals(missing, []);
});

Deno.test("a wrong argument does not compile", async () => {
  const { success, told } = await check(withClient('await sd.square({ n: "7" });'));
  assertEquals(success, false);
  assertStringIncludes(told, "'string' is not assignable to type 'number'");
});

Deno.test("a wrong op does not compile, and the error names the nearest op", async () => {
  const { success, told } = await check(withClient("await sd.squar({ n: 7 });"));
  assertEquals(success, false);
  assertStringIncludes(told, "Property 'squar' does not exist");
  assertStringIncludes(told, "Did you mean 'square'?");
});

Deno.test("a submit of a wrong op does not compile", async () => {
  const { success, told } = await check(withClient('await sd.submit("squar", { n: 7 });'));
  assertEquals(success, false);
  assertStringIncludes(told, '"squar"');
});
