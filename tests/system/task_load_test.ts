/** What a task file can have wrong: told with its file and line, by a server that does not start. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { Inspector } from "../../workers/inspector.ts";
import { LoadFault } from "../../workers/load_fault.ts";
import { notStarted, runSd } from "../sd_process.ts";
import { TaskFolder } from "../task_folder.ts";

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
  "nested.ts": 'import "./syntax.ts";\nexport const f = () => 1;\n',
};

/** What `sd serve` says of each, after the name of the program. */
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
  ["nested.ts", "syntax.ts:2: SyntaxError: Expression expected"],
];

Deno.test("sd serve ends with 2 and says which line of which task file is wrong", async (t) => {
  using folder = new TaskFolder(FILES);
  for (const [files, says] of FAULTS) {
    await t.step(files, async () => {
      const args = files.split(" ").map((name) => folder.file(name));
      const ended = await notStarted([...args, "--workers", "1"]);
      const last = ended.lines.at(-1)?.replaceAll(`${folder.path}/`, "") ?? "";
      assertStringIncludes(last, `sd: ${says}`);
      assertEquals(ended.code, 2);
    });
  }
});

Deno.test("a task file that is not there, or is none, is told before anything starts", async () => {
  using folder = new TaskFolder({ "notes.md": "", "none/.keep": "" });
  for (
    const [name, says] of [
      ["gone.ts", "is not there; sd init makes a tasks.ts to start from"],
      ["notes.md", "is no task file: its name ends in .ts or .js"],
      ["none", "holds no task file"],
    ] as const
  ) {
    const { code, stderr } = await runSd(["serve", folder.file(name), "--port", "0"]);
    assertStringIncludes(stderr, says);
    assertEquals(code, 2);
  }
});

Deno.test("a top level that never ends is given up, and the line in which it waits is told", async () => {
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
