/** From arguments to task files: files, folders, and what is refused in which words. */

import { assertEquals, assertThrows } from "@std/assert";
import { ClientError } from "../../../../net/client_error.ts";
import { findTaskFiles } from "../../../../cli/pool/task_files.ts";
import { MAX_TASK_FILES } from "../../../../protocol/limits.ts";
import { TaskFolder } from "../../../kit/task_folder.ts";

function refusal(...args: string[]): string {
  const error = assertThrows(() => findTaskFiles(args), ClientError);
  assertEquals(error.code, "usage");
  return error.hint === undefined ? error.message : `${error.message}; ${error.hint}`;
}

Deno.test("files keep the names that they were given, and are found by their real paths", () => {
  using folder = new TaskFolder({ "a.ts": "", "b.mjs": "" });
  assertEquals(findTaskFiles([]), []);
  assertEquals(findTaskFiles([folder.file("b.mjs"), folder.file("./a.ts")]), [
    { name: folder.file("b.mjs"), path: folder.file("b.mjs") },
    { name: folder.file("./a.ts"), path: folder.file("a.ts") },
  ]);
});

Deno.test("a folder stands for the modules that lie in it, by their names", () => {
  using folder = new TaskFolder({
    "ops/c.mts": "",
    "ops/b.js": "",
    "ops/a.ts": "",
    "ops/sd.d.ts": "",
    "ops/a_test.ts": "",
    "ops/b.test.js": "",
    "ops/.hidden.ts": "",
    "ops/deep/d.ts": "",
    "ops/README.md": "",
    "ops/view.tsx": "",
  });
  for (const arg of [folder.file("ops"), folder.file("ops/"), folder.file("ops//")]) {
    assertEquals(
      findTaskFiles([arg]).map(({ name }) => name),
      ["a.ts", "b.js", "c.mts", "view.tsx"].map((name) => folder.file(`ops/${name}`)),
    );
  }
});

Deno.test("a file that is named twice is one file, by whatever way", () => {
  using folder = new TaskFolder({ "ops/a.ts": "" });
  Deno.symlinkSync(folder.file("ops/a.ts"), folder.file("link.ts"));
  const args = [folder.file("ops"), folder.file("ops/a.ts"), folder.file("link.ts")];
  assertEquals(findTaskFiles(args).map(({ path }) => path), [folder.file("ops/a.ts")]);
});

Deno.test("a path that does not exist, or is no module, is reported", () => {
  using folder = new TaskFolder({ "notes.md": "", "empty/.keep": "" });
  const gone = folder.file("gone.ts");
  const say = (name: string) => JSON.stringify(folder.file(name));
  assertEquals(
    refusal(gone),
    `the task file ${say("gone.ts")} is not there; sd init makes a tasks.ts to start from`,
  );
  assertEquals(
    refusal(folder.file("notes.md")),
    `${say("notes.md")} is no task file: its name ends in .ts or .js`,
  );
  assertEquals(
    refusal(folder.file("empty")),
    `the folder ${say("empty")} holds no task file; task files end in .ts or .js and lie in the ` +
      "folder itself",
  );
  Deno.symlinkSync(gone, folder.file("empty/broken.ts"));
  assertEquals(refusal(folder.file("empty")).includes("is not there"), true);
  assertEquals(refusal("").startsWith('the task file "" '), true);
});

Deno.test("task files up to the limit are accepted, and not one more", () => {
  using folder = new TaskFolder();
  for (let i = 0; i < MAX_TASK_FILES; i++) folder.write(`ops/${i}.js`, "");
  assertEquals(findTaskFiles([folder.file("ops")]).length, MAX_TASK_FILES);
  folder.write("one_more.js", "");
  assertEquals(
    refusal(folder.file("ops"), folder.file("one_more.js")),
    `these are ${MAX_TASK_FILES + 1} task files, the most is ${MAX_TASK_FILES}`,
  );
});
