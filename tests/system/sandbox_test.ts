/** The permissions of task code: the grants of `sd serve`, or fewer for an op that names fewer. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { TaskPermissions } from "../../protocol/pool_start.ts";
import type { RawClient } from "../kit/raw_client.ts";
import { runSd, SdServe } from "../kit/sd_process.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestServer } from "../kit/test_server.ts";

/** Each does one thing that needs a permission. */
const PROBES = `
export const read = ({ path }) => Deno.readTextFileSync(path);
export const write = ({ path }) => Deno.writeTextFileSync(path, "written");
export const net = async ({ port }) => (await Deno.connect({ port })).close() ?? "connected";
export const env = ({ name }) => Deno.env.get(name) ?? null;
export const environment = () => Object.keys(Deno.env.toObject()).sort();
export const sys = () => typeof Deno.hostname();
export const run = () => new Deno.Command("true").outputSync().success;
export const ffi = () => Deno.dlopen("/lib/none.so", {});
export const import_json = async ({ path }) =>
  (await import(path, { with: { type: "json" } })).default;
export const literal = async () => (await import("./beside.json", { with: { type: "json" } })).default;
export const grant = async () => (await Deno.permissions.request({ name: "read" })).state;
export const nested = () => {
  const text = "postMessage(Deno.readTextFileSync('/etc/hostname'))";
  new Worker("data:text/javascript," + text, { type: "module", deno: { permissions: "inherit" } });
};
`;

async function endOf(client: RawClient, task: object): Promise<string> {
  await client.ask(task);
  const { result, error } = await client.object();
  return error ? error.message : JSON.stringify(result);
}

async function serving(
  files: Record<string, string>,
  permissions: TaskPermissions,
): Promise<{ server: TestServer; client: RawClient; folder: TaskFolder } & AsyncDisposable> {
  const folder = new TaskFolder(files);
  const server = await TestServer.start({
    work: { taskFiles: folder.refs("tasks.js"), permissions },
  });
  const client = await server.connect();
  return {
    server,
    client,
    folder,
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await server.stop();
      folder[Symbol.dispose]();
    },
  };
}

Deno.test("task code has no permissions by default", async () => {
  await using set = await serving({ "tasks.js": PROBES, "secret.json": '{"secret":1}' }, {});
  const { server, client, folder } = set;
  const path = folder.file("secret.json");
  const denied: [task: object, says: RegExp][] = [
    [{ op: "read", path: "/etc/hostname" }, /Requires read access/],
    [{ op: "read", path }, /Requires read access/],
    [{ op: "write", path: folder.file("new") }, /Requires write access/],
    [{ op: "net", port: server.address.port }, /Requires net access/],
    [{ op: "env", name: "HOME" }, /Requires env access/],
    [{ op: "environment" }, /Requires env access/],
    [{ op: "sys" }, /Requires sys access/],
    [{ op: "run" }, /Requires run access/],
    [{ op: "ffi" }, /Requires ffi access/],
    [{ op: "import_json", path: `file://${path}` }, /Requires read access/],
    [{ op: "grant" }, /^"(denied|prompt)"$/],
  ];
  for (const [task, says] of denied) assertMatch(await endOf(client, task), says);
});

Deno.test("task code can do what its permissions allow, and nothing else", async () => {
  using folder = new TaskFolder({ "in/note.txt": "a note" });
  Deno.env.set("SD_TEST_NOT_OURS", "never");
  Deno.env.set("TASK_TEST_WORD", "word");
  await using set = await serving({ "tasks.js": PROBES }, {
    read: [folder.file("in")],
    write: [folder.file("out")],
    env: ["TASK_TEST_WORD"],
    sys: ["hostname"],
    run: true,
  });
  const { client } = set;
  assertEquals(await endOf(client, { op: "read", path: folder.file("in/note.txt") }), '"a note"');
  assertMatch(await endOf(client, { op: "read", path: "/etc/hostname" }), /Requires read access/);
  assertEquals(await endOf(client, { op: "write", path: folder.file("out") }), "null");
  assertMatch(await endOf(client, { op: "write", path: folder.file("in/x") }), /Requires write/);
  assertEquals(await endOf(client, { op: "env", name: "TASK_TEST_WORD" }), '"word"');
  assertMatch(await endOf(client, { op: "env", name: "HOME" }), /Requires env access/);
  assertEquals(await endOf(client, { op: "sys" }), '"string"');
  assertEquals(await endOf(client, { op: "run" }), "true");
});

Deno.test("a task file can read the files that it imports by relative paths, and no others", async () => {
  await using set = await serving({
    "tasks.js": PROBES +
      "export const own = () => Deno.readTextFileSync(new URL(import.meta.url)).length;",
    "beside.json": '{"beside":true}',
  }, {});
  const { client, folder } = set;
  assertEquals(await endOf(client, { op: "literal" }), '{"beside":true}');
  folder.write("other.json", "{}");
  const other = `file://${folder.file("other.json")}`;
  assertMatch(await endOf(client, { op: "import_json", path: other }), /Requires read access/);
});

Deno.test("with the whole environment allowed, task code does not see the server's secrets", async () => {
  using folder = new TaskFolder({ "tasks.js": PROBES });
  const token = "a-token-of-this-test-0123456789";
  await using serve = await SdServe.start(
    [folder.file("tasks.js"), "--workers", "1", "--allow-env"],
    { env: { SD_TOKEN: token, SD_POOL_SECRET: "a-pool-secret-of-this-test", MINE: "yes" } },
  );
  const { stdout, stderr } = await runSd(["submit", '{"op":"environment"}'], {
    SD_SERVER: serve.server,
    SD_TOKEN: token,
  });
  assertEquals(stderr.includes("failed"), false, stderr);
  const names: string[] = JSON.parse(stdout);
  assert(names.includes("MINE"));
  assertEquals(names.filter((name) => name.startsWith("SD_")), []);
});

Deno.test("a variable with a secret of the server cannot be allowed by its name", async () => {
  using folder = new TaskFolder({ "tasks.js": PROBES });
  const { code, stderr } = await runSd([
    "serve",
    folder.file("tasks.js"),
    "--allow-env=HOME,SD_TOKEN",
  ]);
  assertStringIncludes(stderr, '--allow-env cannot give "SD_TOKEN"');
  assertEquals(code, 2);
});

Deno.test("an op that names its permissions has these and no others", async () => {
  const files = {
    "tasks.js": `
      ${PROBES}
      export const only_read = ({ path }) => Deno.readTextFileSync(path);
      only_read.options = { permissions: { read: ["/etc/hostname"] } };
      export const only_env = ({ path }) => Deno.readTextFileSync(path);
      only_env.options = { permissions: { env: true } };
    `,
  };
  await using set = await serving(files, { read: ["/etc"], env: true });
  const { client } = set;
  const path = "/etc/hostname";
  const hostname = JSON.stringify(Deno.readTextFileSync(path));
  for (let round = 0; round < 3; round++) {
    assertEquals(await endOf(client, { op: "read", path }), hostname);
    assertEquals(await endOf(client, { op: "only_read", path }), hostname);
    assertMatch(await endOf(client, { op: "only_read", path: "/etc/hosts" }), /Requires read/);
    assertMatch(await endOf(client, { op: "only_env", path }), /Requires read access/);
  }
});

Deno.test("sd serve warns if task code can read the server's own files, and only then", async () => {
  using folder = new TaskFolder({ "tasks.js": PROBES, "data/.keep": "", "other/.keep": "" });
  const data = folder.file("data");
  const warns = async (grant: string) => {
    await using serve = await SdServe.start([folder.file("tasks.js"), "--workers=1", grant], {
      env: { SD_DATA: data, XDG_STATE_HOME: folder.file("state") },
    });
    return serve.lines.some((line) => line.includes("read the server's own files"));
  };
  assertEquals(await warns("--allow-read"), true);
  assertEquals(await warns(`--allow-read=${folder.path}`), true);
  assertEquals(await warns(`--allow-read=${data}/sd.db`), true);
  assertEquals(await warns(`--allow-read=${folder.file("other")}`), false);
  assertEquals(await warns("--allow-sys"), false);
});
