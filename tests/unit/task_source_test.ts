/** What a task file is made of: found in its text, changed with it, whatever else stands there. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { readTaskSource } from "../../cli/task_source.ts";
import { TaskFolder } from "../task_folder.ts";

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

Deno.test("what imported files import is found too, once, in circles as well", () => {
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

Deno.test("hosts are told with their ports", () => {
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

Deno.test("whether anything comes from elsewhere is told, also of files that are imported", () => {
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
