/** The files that imports let task code read: files that real imports name, and no others. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { SdServe } from "../kit/sd_process.ts";
import { RawClient } from "../kit/raw_client.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestServer } from "../kit/test_server.ts";

const PEEK = "export const peek = ({ path }) => Deno.readTextFileSync(path);\n";
/** Text in which a regular expression would find imports. */
const LOOKALIKES = `// Paths are taken from "/" here, import("../"), from "./".
const help = \`write import x from "/"\`, more = 'import "/etc/hostname"';
const pattern = /import "\\/"/;
export const load = (p) => import("file://" + p);
export const other = (p) => import(\`/\${p}\`);
const jsx = "<a>from '/'</a>";
`;

Deno.test("text that looks like an import lets task code read nothing", async () => {
  using folder = new TaskFolder({
    "t/tasks.js": LOOKALIKES + PEEK,
    "t/beside.txt": "a secret beside it",
    "secret.txt": "a secret",
  });
  await using server = await TestServer.start({ work: { taskFiles: folder.refs("t/tasks.js") } });
  using client = await server.connect();
  const peek = async (path: string) => {
    await client.ask({ op: "peek", path });
    return await client.object();
  };
  for (const name of ["secret.txt", "t/beside.txt", "t"]) {
    assertStringIncludes((await peek(folder.file(name))).error.message, "read access", name);
  }
  for (const path of ["/etc/hostname", "/proc/self/environ", "/"]) {
    assertEquals((await peek(path)).error.code, "task_error", path);
  }
  // It can read its own file, as always.
  assertEquals((await peek(folder.file("t/tasks.js"))).result, LOOKALIKES + PEEK);
  assert(!server.lines.some((line) => line.includes("may read")));
});

Deno.test("a file that an import names can be read, and a warning says so", async () => {
  using folder = new TaskFolder({
    "t/tasks.js":
      'export const unused = () => import("../beside.json", { with: { type: "json" } });\n' +
      'import { one } from "./lib/one.js";\n' + PEEK,
    "t/lib/one.js": "export const one = 1;\n",
    "t/lib/two.js": "export const two = 2;\n",
    "beside.json": '{"beside":true}',
  });
  await using serve = await SdServe.start([folder.file("t/tasks.js"), "--workers", "1"]);
  using client = await RawClient.connect(serve.address);
  const peek = async (name: string) => {
    await client.ask({ op: "peek", path: folder.file(name) });
    return await client.object();
  };
  assertEquals((await peek("beside.json")).result, '{"beside":true}');
  assertEquals((await peek("t/lib/one.js")).status, "completed");
  assertEquals((await peek("t/lib/two.js")).error.code, "task_error");
  assertStringIncludes(
    serve.lines.join("\n"),
    `task code may read what task files import: ${folder.file("beside.json")}, lib/one.js`,
  );
});

Deno.test("an import of a folder does not load, and makes no file in it readable", async () => {
  using folder = new TaskFolder({ "tasks.js": `import "./lib/";\n${PEEK}`, "lib/a.txt": "x" });
  const { code, lines } = await SdServe.start([folder.file("tasks.js"), "--workers", "1"])
    .then(() => ({ code: 0, lines: [] }), (error) => error);
  assertEquals(code, 2);
  assertStringIncludes(lines.join("\n"), "lib/, which is a folder");
});
