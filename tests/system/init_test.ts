/** `sd init`: its files are served unchanged, pass every check, and replace no changed file. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { TaskContext } from "../../workers/ops/context.ts";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { runSd, SdServe } from "../kit/sd_process.ts";
import { STARTER_FILES, TaskFolder } from "../kit/task_folder.ts";

/** What each op of the starter is given, and gives. */
const CASES: [task: Record<string, unknown>, result: unknown][] = [
  [{ op: "greet", name: "Ada" }, "Hello, Ada!\n"],
  [{ op: "countdown", seconds: 1 }, "lift-off\n"],
  [{ op: "knock", times: 2 }, "open after 2\n"],
  [{ op: "sum" }, "0\n"],
  [{ op: "invoice", price: 2.5 }, '{"total":2.5}\n'],
  [{ op: "calculate", formula: "2 * (3 + 4)" }, "14\n"],
];

if ("log" in TaskContext.prototype) CASES.push([{ op: "count_words", text: "two words" }, "2\n"]);

async function deno(args: string[], cwd: string): Promise<{ code: number; stderr: string }> {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

for (const [name, flags] of [["tasks.ts", []], ["tasks.js", ["--js"]]] as const) {
  Deno.test(`the ${name} of sd init runs without permissions, and its ops return the documented results`, async () => {
    using folder = new TaskFolder();
    const written = await runSd(["init", ...flags, folder.path]);
    assertEquals([written.code, written.stdout], [
      0,
      `${folder.file(name)}\n${folder.file("sd.d.ts")}\n`,
    ]);
    assertStringIncludes(written.stderr, `sd serve ${folder.file(name)} --watch`);

    await using serve = await SdServe.start([folder.file(name), "--workers", "2"]);
    const env = { SD_SERVER: serve.server };
    for (const [task, result] of CASES) {
      const { stdout, stderr } = await runSd(["submit", JSON.stringify(task)], env);
      assertEquals(stdout, result, stderr);
    }
    const square = (n: number) =>
      runSd(["submit", "--id", `${n}`, JSON.stringify({ op: "square", n })], env);
    await square(3);
    await square(4);
    const sum = await runSd(["submit", "--after", "3,4", '{"op":"sum"}'], env);
    assertEquals(sum.stdout, "25\n");

    const wrong = await runSd(["submit", '{"op":"invoice","count":2}'], env);
    assert(wrong.code !== 0);
    assertMatch(wrong.stderr, /price.*a number/);
    const never = await runSd(["submit", '{"op":"knock","times":6}', "--json"], env);
    assertEquals(JSON.parse(never.stdout).error.attempt, 1);
    const read = '{"op":"calculate","formula":"Deno.readTextFileSync(\'/etc/hostname\')"}';
    assertMatch((await runSd(["submit", read], env)).stderr, /Requires read access/);
  });
}

Deno.test("the files of sd init pass deno check, lint and fmt as a project of their own", async () => {
  using folder = new TaskFolder(STARTER_FILES);
  for (const command of ["check", "lint", "fmt --check"]) {
    const { code, stderr } = await deno([...command.split(" "), "--no-config", "."], folder.path);
    assertEquals(code, 0, stderr);
  }
});

Deno.test("the types of sd init make a checker find errors in a task file", async () => {
  using folder = new TaskFolder({
    "sd.d.ts": STARTER_FILES["sd.d.ts"],
    "tasks.ts": `/// <reference path="./sd.d.ts" />
export function a(_: unknown, ctx: TaskContext) { return ctx.ID; }
a.options = { timeout: "2 minutes" } satisfies TaskOptions;
export function b() { throw new TaskError("b", { retries: 2 }); }
b.options = { retries: 2 } satisfies TaskOptions;
`,
  });
  const { code, stderr } = await deno(["check", "--no-config", "tasks.ts"], folder.path);
  assertEquals(code, 1);
  assertEquals([...stderr.matchAll(/TS\d+/g)].length, 4, stderr);
});

Deno.test("sd init overwrites changed files only with --force", async () => {
  using folder = new TaskFolder({ "ops/tasks.ts": "export const mine = () => 1;\n" });
  const ops = folder.file("ops");
  const text = (name: string) => Deno.readTextFileSync(`${ops}/${name}`);
  const refused = await runSd(["init", ops]);
  assertEquals(refused.code, 2);
  assertStringIncludes(refused.stderr, 'tasks.ts" exists already, and nothing was written');
  assertStringIncludes(refused.stderr, "--force");
  assertEquals([...Deno.readDirSync(ops)].map(({ name }) => name), ["tasks.ts"]);

  const forced = await runSd(["init", ops, "--force", "--json"]);
  assertEquals(JSON.parse(forced.stdout), {
    ok: true,
    data: { files: [`${ops}/tasks.ts`, `${ops}/sd.d.ts`] },
  });
  assertEquals(text("tasks.ts"), STARTER_FILES["tasks.ts"]);
  // Its own earlier files do not stop it.
  assertEquals((await runSd(["init", "--js", ops])).code, 0);
  assertEquals(text("tasks.js"), STARTER_FILES["tasks.js"]);
});

Deno.test("sd init makes its folder, and reports a folder that it cannot make", async () => {
  using folder = new TaskFolder({ file: "" });
  assertEquals((await runSd(["init", folder.file("new/ops")])).code, 0);
  assertEquals(Deno.statSync(folder.file("new/ops/tasks.ts")).isFile, true);
  const { code, stderr } = await runSd(["init", folder.file("file")]);
  assertEquals(code, 2);
  assertStringIncludes(stderr, `cannot write ${JSON.stringify(folder.file("file/tasks.ts"))}`);
  Deno.symlinkSync(folder.file("nowhere"), folder.file("tasks.ts"));
  assertEquals((await runSd(["init", folder.path])).code, 2);
});

Deno.test("sd init on a full disk leaves old files unchanged, and no temporary file", async () => {
  using folder = new TaskFolder({ "tasks.ts": "export const mine = () => 1;\n" });
  // No file grows beyond 1 KiB, as if its disk were full.
  const self = selfCommand(["init", "--force", folder.path]);
  const { code, stderr } = await new Deno.Command("sh", {
    args: ["-c", `trap "" XFSZ; ulimit -f 2; exec "$0" "$@"`, self.path, ...self.args],
    env: { NO_COLOR: "1", LC_ALL: "C" },
  }).output();
  const said = new TextDecoder().decode(stderr);
  assertEquals(code, 74, said);
  assertStringIncludes(said, `cannot write ${JSON.stringify(folder.file("tasks.ts"))}`);
  assertEquals([...Deno.readDirSync(folder.path)].map(({ name }) => name), ["tasks.ts"]);
  assertEquals(Deno.readTextFileSync(folder.file("tasks.ts")), "export const mine = () => 1;\n");
});
