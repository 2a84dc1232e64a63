/** The npm package, freshly built: its behaviour on each installed runtime, and its types. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import ts from "typescript";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { packageFiles, writePackage } from "../../scripts/npm_package.ts";
import { Certificate, HAS_OPENSSL } from "../kit/certificate.ts";
import { isInstalled, needing } from "../kit/needs.ts";
import { shell } from "../kit/sd_process.ts";

const HERE = new URL("./", import.meta.url);
const OLDEST_NODE = 20;
const nodeMajor = Number((await shell("node --version")).replace(/^v(\d+).*/, "$1"));

/** Made once, since it takes some seconds. */
let files: Promise<ReadonlyMap<string, string>> | undefined;

/** A project that depends on the package. */
class Project implements AsyncDisposable {
  private constructor(readonly folder: string) {}

  static async make(taken: readonly string[] = []): Promise<Project> {
    const project = new Project(await Deno.makeTempDir({ prefix: "sd-npm-" }));
    files ??= packageFiles();
    await writePackage(`${project.folder}/node_modules/@sd/sd/`, await files);
    await Deno.writeTextFile(`${project.folder}/package.json`, '{"type":"module"}\n');
    for (const file of taken) await project.take(file);
    return project;
  }

  /** Copies a file of this folder, which then imports the package by its name. */
  async take(file: string): Promise<void> {
    const text = await Deno.readTextFile(new URL(file, HERE));
    await Deno.writeTextFile(
      `${this.folder}/${file}`,
      text.replace('"../../client/mod.ts"', '"@sd/sd"').replace(
        "./typed_tasks.ts",
        "./typed_tasks.js",
      ),
    );
  }

  /** The errors that `tsc --strict` finds in a file. */
  tsc(file: string, module: ts.ModuleKind): string[] {
    const program = ts.createProgram([`${this.folder}/${file}`], {
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noEmit: true,
      target: ts.ScriptTarget.ES2022,
      module,
      lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
      types: [],
    });
    return ts.getPreEmitDiagnostics(program).map(({ messageText, file, start = 0 }) => {
      const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line + 1;
      return `${file?.fileName}:${line} ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function runChecks(runtime: readonly string[]): Promise<void> {
  await using project = await Project.make(["package_checks.mjs"]);
  using certificate = HAS_OPENSSL ? await Certificate.make("localhost") : undefined;
  const { path, args } = selfCommand(["serve"]);
  const [command = "", ...flags] = runtime;
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args: [...flags, "package_checks.mjs"],
    cwd: project.folder,
    env: {
      SD_SERVE: JSON.stringify([path, ...args]),
      ...(certificate && { SD_CERT: certificate.certFile, SD_KEY: certificate.keyFile }),
    },
  }).output();
  const decoder = new TextDecoder();
  const told = decoder.decode(stdout) + decoder.decode(stderr);
  assertEquals(code, 0, told);
  assertEquals(told.match(/^(held|skipped)/gm)?.length, 7, told);
}

const RUNTIMES: readonly { name: string; command: readonly string[]; isHere: boolean }[] = [
  { name: "Node", command: ["node"], isHere: nodeMajor >= OLDEST_NODE },
  { name: "Bun", command: ["bun"], isHere: await isInstalled("bun") },
  {
    name: "Deno",
    command: [Deno.execPath(), "run", "-A", "--no-lock", "--node-modules-dir=manual"],
    isHere: true,
  },
];

for (const { name, command, isHere } of RUNTIMES) {
  Deno.test({
    ...needing(name, isHere)(`the package runs on ${name}`),
    fn: () => runChecks(command),
  });
}

Deno.test("a project in TypeScript has the types of its task file, with each way to resolve modules", async () => {
  await using project = await Project.make(["typed_uses.ts", "typed_tasks.ts"]);
  for (const module of [ts.ModuleKind.Node16, ts.ModuleKind.NodeNext]) {
    assertEquals(project.tsc("typed_uses.ts", module), []);
  }
});

Deno.test("a wrong argument does not compile against the package", async () => {
  await using project = await Project.make(["typed_tasks.ts"]);
  await Deno.writeTextFile(
    `${project.folder}/wrong.ts`,
    `import { connect } from "@sd/sd";
     const sd = await connect<typeof import("./typed_tasks.js")>();
     await sd.square({ n: "7" });\n`,
  );
  const [told = "", ...others] = project.tsc("wrong.ts", ts.ModuleKind.Node16);
  assertStringIncludes(told, "wrong.ts:3 Type 'string' is not assignable to type 'number'");
  assertEquals(others, []);
});

Deno.test("the package is client/ without its commands, net/, and the files of protocol/ that they import", async () => {
  files ??= packageFiles();
  const modules = [...(await files).keys()].filter((path) => path.endsWith(".js"));
  const isLibrary = /^(client\/(?!commands\/)|net\/|protocol\/|std\/async\/)/;
  assertEquals(modules.filter((path) => !isLibrary.test(path)), []);
  assertEquals(modules.filter((path) => /^(client|net)\//.test(path)).length > 15, true);
});

Deno.test("the types of the package have the docstrings of the library", async () => {
  files ??= packageFiles();
  const types = (await files).get("client/server_client.d.ts") ?? "";
  assertStringIncludes(types, "The ops that can be submitted now");
  assertStringIncludes(types, "@example");
  assertStringIncludes((await files).get("protocol/task.d.ts") ?? "", "The reply to `stats`.");
});

Deno.test("the package imports only its own files and modules that every runtime has", async () => {
  files ??= packageFiles();
  const imported = new Set<string>();
  for (const [path, text] of await files) {
    if (!path.endsWith(".js")) continue;
    for (const { fileName } of ts.preProcessFile(text).importedFiles) imported.add(fileName);
  }
  const others = [...imported].filter((name) => !/^\.\.?\/.*\.js$/.test(name));
  assertEquals(others.sort(), ["node:buffer", "node:net", "node:tls"]);
});
