/** Faults of task files: reported with file and line, by a server that does not start. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { Inspector } from "../../workers/pool/inspector.ts";
import { LoadFault } from "../../workers/ops/load_fault.ts";
import { RawClient } from "../kit/raw_client.ts";
import { notStarted, runSd, SdServe } from "../kit/sd_process.ts";
import { TaskFolder } from "../kit/task_folder.ts";

const FILES = {
  "syntax.ts": "export function f() {\n  return 1 +;\n}\n",
  "top.ts": "const x: number = 1;\n\nthrow new Error(`boom ${x}`);\nexport const f = () => 1;\n",
  "unknown.ts": "export const f = nosuch.foo;\n",
  "gone_import.ts": '\nimport { foo } from "./gone.ts";\nexport const f = foo;\n',
  "no_export.ts": 'import { nope } from "./ok.ts";\nexport const f = () => nope;\n',
  "ok.ts": "\nexport function f() {}\n",
  "same.ts": "// f as well\n\nexport function f() {}\n",
  "empty.ts": "export const x = 1;\n",
  "option.ts": "export function f() {}\n\nf.options = { timeot: 3 };\n",
  "duration.ts": 'export function f() {}\nf.options = { timeout: "3 parsecs" };\n',
  "rate.ts": 'export function f() {}\nf.options = { rate: "often" };\n',
  "schema.ts": "export function f() {}\nf.options = { schema: { parse() {} } };\n",
  "permission.ts": 'export function f() {}\nf.options = { permissions: { net: ["a.test"] } };\n',
  "generator.ts": "export function* f() { yield 1; }\n",
  "undefined.ts": "throw undefined;\nexport function f() {}\n",
  "host.ts": 'import x from "https://127.0.0.1:9/x.ts";\nexport const f = () => x;\n',
  "computed.ts": 'const name = "./ok.ts";\nawait import(name + "");\nexport const f = () => 1;\n',
  "forbidden.ts": '\nDeno.readTextFileSync("/etc/passwd");\nexport const f = () => 1;\n',
  "no_end.ts": '\nimport { f } from "./ok";\nexport const g = f;\n',
  "other_end.ts": '\nimport { f } from "./ok.js";\nexport const g = f;\n',
  "folder.ts": '\nimport { f } from "./lib/";\nexport const g = f;\n',
  "lib/index.ts": "export const f = 1;\n",
  "bare.ts": '\nimport _ from "lodash";\nexport const f = () => _;\n',
  "module.js": "module.exports = { f: () => 1 };\n",
  "require.js": '\nconst fs = require("fs");\nexport const f = () => fs;\n',
  "object.ts": "const f = () => 1;\nexport default { f };\n",
  "class.ts": "export default class A {}\n",
  "exit.ts": "export const f = () => 1;\nDeno.exit(0);\n",
  "crlf.ts": 'export const f = () => 1;\r\nimport "./gone.ts";\r\n',
  "nested.ts": 'import "./syntax.ts";\nexport const f = () => 1;\n',
};

/** The message of `sd serve` for each, without the name of the program. */
const FAULTS: [files: string, says: string][] = [
  ["syntax.ts", "syntax.ts:2: SyntaxError: Expression expected"],
  ["top.ts", "top.ts:3: boom 1"],
  ["unknown.ts", "unknown.ts:1: ReferenceError: nosuch is not defined"],
  ["gone_import.ts", "gone_import.ts:2: it imports gone.ts, which is not there"],
  ["no_export.ts", "no_export.ts:1: SyntaxError: The requested module './ok.ts' does not provide"],
  ["ok.ts same.ts", 'ok.ts:2 and same.ts:3 both export "f": an op has one handler'],
  ["empty.ts", "empty.ts: no op in it; export a function, and it is one"],
  ["option.ts", 'option.ts:3: f.options has no "timeot"; there are timeout,'],
  ["duration.ts", 'duration.ts:2: f.options.timeout is a duration like "30s"'],
  ["rate.ts", "rate.ts:2: f.options.rate: a rate is a number of starts and a time"],
  ["schema.ts", "schema.ts:2: f.options.schema is no Standard Schema"],
  [
    "permission.ts",
    "permission.ts:1: f asks for more than is allowed; it needs --allow-net=a.test",
  ],
  ["generator.ts", "generator.ts:1: f is a generator; an op is a function"],
  ["undefined.ts", "undefined.ts: its top level threw undefined"],
  [
    "host.ts",
    "host.ts:1: it imports https://127.0.0.1:9/x.ts, which could not be fetched; " +
    "code may be imported from jsr:, npm:",
  ],
  ["computed.ts", "computed.ts:2: it may not import ok.ts: only relative paths that stand in its"],
  ["forbidden.ts", 'forbidden.ts:2: NotCapable: Requires read access to "/etc/passwd"'],
  [
    "no_end.ts",
    "no_end.ts:2: it imports ok, which is not there; there is ok.ts: write the whole name",
  ],
  ["other_end.ts", "other_end.ts:2: it imports ok.js, which is not there; there is ok.ts: write"],
  [
    "folder.ts",
    "folder.ts:2: it imports lib/, which is a folder; there is index.ts: write the whole",
  ],
  ["bare.ts", 'bare.ts:2: Import "lodash" not a dependency'],
  ["module.js", "module.js:1: ReferenceError: module is not defined; a task file is an ES module"],
  [
    "require.js",
    "require.js:2: ReferenceError: require is not defined; a task file is an ES module",
  ],
  ["object.ts", "object.ts: no op in it; its default export is an object; export its functions by"],
  ["class.ts", "class.ts: no op in it; its default export is a class; export a function"],
  ["exit.ts", "exit.ts:2: a task cannot end its worker"],
  ["crlf.ts", "crlf.ts:2: it imports gone.ts, which is not there"],
  ["nested.ts", "syntax.ts:2: SyntaxError: Expression expected"],
];

Deno.test("sd serve ends with 2 and names the wrong line of the task file", async (t) => {
  using folder = new TaskFolder(FILES);
  for (const [files, says] of FAULTS) {
    await t.step(files, async () => {
      const args = files.split(" ").map((name) => folder.file(name));
      const ended = await notStarted([...args, "--workers", "1"]);
      const said = ended.lines.join("\n").replaceAll(`${folder.path}/`, "");
      assertStringIncludes(said, `sd: ${says}`);
      assertEquals(ended.code, 2);
    });
  }
});

Deno.test("a missing path, or one without task files, is reported before anything starts", async () => {
  using folder = new TaskFolder({
    "notes.md": "",
    "none/.keep": "",
    "old.cjs": "",
    "tasks.ts": "",
  });
  for (
    const [name, says] of [
      ["gone.ts", "is not there\n    sd init makes a tasks.ts to start from"],
      ["notes.md", "is no task file: its name ends in .ts or .js"],
      ["none", "holds no task file"],
      [
        "old.cjs",
        "is no task file: its name ends in .ts or .js\n    it is CommonJS; write it as an ES",
      ],
      ["tasks", 'tasks.ts": write the whole name, with its end'],
    ] as const
  ) {
    const { code, stderr } = await runSd(["serve", folder.file(name), "--port", "0"]);
    assertStringIncludes(stderr, says);
    assertEquals(code, 2);
  }
});

Deno.test("a top level that never ends is stopped, and the line in which it waits is reported", async () => {
  using folder = new TaskFolder({
    "fine.js": "export const f = () => 1;",
    "waits.js": "export function g() { for (;;); }\n\nawait new Promise(() => {});\n",
  });
  const fault = await Inspector.open({
    modules: folder.refs("fine.js", "waits.js").map(({ path, name }) => ({
      url: `file://${path}`,
      name,
    })),
    newWorker: () =>
      new Worker(new URL("../../workers/worker.ts", import.meta.url), {
        type: "module",
        deno: { permissions: { read: [folder.path] } },
      }),
    stuck: () => {},
    loadMs: 1500,
  }).then(() => undefined, (error) => error);
  assertEquals(fault instanceof LoadFault, true);
  assertEquals(
    fault.message,
    "waits.js:3: its top level, which first waits or loops in this line, did not end within 1.5 s " +
      "of loading",
  );
});

Deno.test("task files in common styles load", async () => {
  using folder = new TaskFolder({
    "both.ts": "export async function both() { return 1; }\nexport default both;\n",
    "then.ts": "export const then = () => 1;\nexport const beside = () => 2;\n",
    "bom.ts": "\uFEFFexport const bom = () => 3;\r\n",
    "tsx.tsx": "export const tsx = (): number => 4;\n",
    "circle.ts": 'import { other } from "./lib/other.ts";\nexport const circle = () => other();\n',
    "lib/other.ts":
      'import { circle } from "../circle.ts";\nexport const other = () => typeof circle;\n',
    "names.js": "const f = () => 5; export { f as constructor, f as __proto__, f as 'a b' };\n",
    "late.js": "Promise.reject(new Error('of the top level'));\nexport const late = () => 6;\n",
  });
  await using serve = await SdServe.start([folder.path, "--workers", "1"]);
  using client = await RawClient.connect(serve.address);
  const results: unknown[] = [];
  for (
    const op of [
      "both",
      "then",
      "beside",
      "bom",
      "tsx",
      "circle",
      "constructor",
      "__proto__",
      "a b",
      "late",
    ]
  ) {
    await client.ask({ op });
    const { result, error } = await client.object();
    results.push(error ?? result);
  }
  assertEquals(results, [1, 1, 2, 3, 4, "function", 5, 5, 5, 6]);
  assertEquals(serve.lines.filter((line) => line.startsWith("error:")), []);
});
