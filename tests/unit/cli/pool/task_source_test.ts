/** The source of a task file: found in its text, and changed with it, whatever else the text holds. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { describeReadable, isWithin, readTaskSource } from "../../../../cli/pool/task_files.ts";
import { TaskFolder } from "../../../kit/task_folder.ts";

/** The files of `tasks.ts` beside itself, as they are called in the folder. */
function importsOf(text: string): string[] {
  using folder = new TaskFolder({ "tasks.ts": text });
  const { files } = readTaskSource(folder.file("tasks.ts"));
  assertEquals(files[0], folder.file("tasks.ts"));
  return files.slice(1).map((file) => file.replace(`${folder.path}/`, ""));
}

Deno.test("every way to write an import is found", () => {
  assertEquals(
    importsOf(`
      import a from "./a.ts";
      import{b}from'./b.ts';
      import * as c from
        "./lib/c.js";
      import "./d.ts";
      export * from "./e.ts";
      export { f } from "./f.mjs";
      const g = await import("./g.ts");
      const h = import( './h.ts' );
      import data from "./data.json" with { type: "json" };
      import type { I } from "./i.ts";
      import q from "./q.ts?version=2#part";
    `),
    ["a.ts", "b.ts", "lib/c.js", "d.ts", "e.ts", "f.mjs", "g.ts", "h.ts", "data.json", "i.ts"]
      .concat("q.ts"),
  );
});

Deno.test("packages and built-in modules are no files", () => {
  assertEquals(
    importsOf(`
      import { z } from "npm:zod@4";
      import { assert } from "jsr:@std/assert@1";
      import { createHash } from "node:crypto";
      import bare from "bare";
      const from = "somewhere";
    `),
    [],
  );
});

Deno.test("imports of imported files are found too, once, also in circles", () => {
  using folder = new TaskFolder({
    "tasks.ts": 'import "./lib/a.ts";',
    "lib/a.ts": 'import "./b.ts"; import "../tasks.ts";',
    "lib/b.ts": 'import "./a.ts"; import "./gone.ts"; import "./text.md";',
    "lib/text.md": 'from "./not_read.ts"',
  });
  assertEquals(
    readTaskSource(folder.file("tasks.ts")).files.map((file) => file.slice(folder.path.length + 1)),
    ["tasks.ts", "lib/a.ts", "lib/b.ts", "lib/gone.ts", "lib/text.md"],
  );
});

Deno.test("hosts are listed with their ports", () => {
  using folder = new TaskFolder({
    "tasks.ts": `
      import "https://esm.sh/zod@4";
      import "http://127.0.0.1:8080/x.ts";
      import "jsr:@std/assert@1";
      import "https://esm.sh/other";
      import "https://";
    `,
  });
  const { hosts } = readTaskSource(folder.file("tasks.ts"));
  assertEquals(hosts, ["esm.sh:443", "127.0.0.1:8080", "jsr.io:443"]);
});

Deno.test("imports from elsewhere are noticed, also in imported files", () => {
  using folder = new TaskFolder({
    "tasks.ts": 'import "./lib.ts"; import "node:fs"; import bare from "bare";',
    "lib.ts": 'const { z } = await import("npm:zod@4");',
    "alone.ts": 'import "./own.ts"; // see https://example.com',
    "own.ts": "",
  });
  const told = (name: string) => readTaskSource(folder.file(name)).importsFromElsewhere;
  assertEquals([told("tasks.ts"), told("lib.ts"), told("alone.ts")], [true, true, false]);
});

Deno.test("no text stops it", () => {
  using folder = new TaskFolder({ "tasks.ts/inner.ts": "", "binary.ts": "" });
  const texts = [
    '// from "//cdn.example.com/x.ts"',
    'import "file://elsewhere/x.ts"',
    'import "./a%2fb.ts"',
    'import "./a%00b.ts"',
    'import "file:"',
    'import "./binary.ts/inside.ts"',
    `import "./${"long".repeat(2000)}.ts"`,
    'import "./"; import "/"',
    "from ''",
  ];
  for (const text of texts) {
    folder.write("odd.ts", text);
    assertEquals(readTaskSource(folder.file("odd.ts")).files[0], folder.file("odd.ts"));
  }
  Deno.writeFileSync(folder.file("binary.ts"), new Uint8Array([0xff, 0xfe, 0, 0x80]));
  readTaskSource(folder.file("binary.ts"));
  readTaskSource(folder.file("tasks.ts"));
  readTaskSource(folder.file("gone.ts"));
});

Deno.test("the version is that of all the text, and of nothing else", () => {
  using folder = new TaskFolder({ "tasks.ts": 'import "./a.ts";', "a.ts": "1", "other.ts": "1" });
  const version = () => readTaskSource(folder.file("tasks.ts")).version;
  const first = version();
  assert(/^[0-9a-f]{12}$/.test(first));
  folder.write("other.ts", "2");
  folder.write("a.ts", "1");
  assertEquals(version(), first);
  folder.write("a.ts", "2");
  assertNotEquals(version(), first);
  using copy = new TaskFolder({ "tasks.ts": 'import "./a.ts";', "a.ts": "1" });
  assertEquals(readTaskSource(copy.file("tasks.ts")).version, first);
});

Deno.test({
  name: "only regular files, and links to them, may be read: no folder, device or pipe",
  ignore: Deno.build.os === "windows",
  async fn() {
    using folder = new TaskFolder({
      "tasks.ts":
        `import "./"; import "/"; import "../"; import "./lib"; import "/dev/zero"; import "./pipe.ts";
        import "./link.json"; import "./dangling.ts"; import "./loop.ts"; import "./lib/a.ts"; import "./gone.ts";`,
      "lib/a.ts": 'import "../tasks.ts"; import "."; import "..";',
      "data.json": "{}",
    });
    Deno.symlinkSync(folder.file("data.json"), folder.file("link.json"));
    Deno.symlinkSync(folder.file("nowhere"), folder.file("dangling.ts"));
    Deno.symlinkSync(folder.file("loop.ts"), folder.file("loop.ts"));
    // It would never end to read from it.
    await new Deno.Command("mkfifo", { args: [folder.file("pipe.ts")] }).output();
    const { readable, files } = readTaskSource(folder.file("tasks.ts"));
    const names = (paths: readonly string[]) =>
      paths.map((file) => file.replace(`${folder.path}/`, ""));
    assertEquals(names(readable), ["tasks.ts", "link.json", "lib/a.ts"]);
    // Once it is there, the task file is another one.
    assert(names(files).includes("gone.ts"));
    assert(!names(files).includes("pipe.ts") && !files.includes("/"));
    assertEquals(
      describeReadable([folder.file("tasks.ts")]),
      `link.json (a link to ${folder.file("data.json")}), lib/a.ts`,
    );
  },
});

Deno.test("a path is within a folder unless it leads out of it; a name may begin with dots", () => {
  for (const path of ["/a", "/a/b", "/a/..data", "/a/..data/x", "/a/b/../c", "/a/.../x"]) {
    assert(isWithin(path, "/a"), path);
  }
  for (const path of ["/", "/b", "/ab", "/a/..", "/a/../b", "/..data"]) {
    assert(!isWithin(path, "/a"), path);
  }
  assert(isWithin("x/..data", "x") && isWithin("x", ".") && !isWithin("..", "."));
});

Deno.test("a file whose name begins with dots is named from its folder", () => {
  using folder = new TaskFolder({ "tasks.ts": 'import "./..data.ts";', "..data.ts": "" });
  assertEquals(describeReadable([folder.file("tasks.ts")]), "..data.ts");
});

Deno.test("a huge file is data: it may be read, and is not searched for imports", () => {
  using folder = new TaskFolder({ "tasks.ts": 'import "./huge.js";', "other.js": "" });
  const huge = Deno.openSync(folder.file("huge.js"), { create: true, write: true });
  huge.writeSync(new TextEncoder().encode('import "./other.js";'));
  huge.truncateSync(3 * 1024 ** 3);
  huge.close();
  const { readable } = readTaskSource(folder.file("tasks.ts"));
  assertEquals(readable, [folder.file("tasks.ts"), folder.file("huge.js")]);
});
