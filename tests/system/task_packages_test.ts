/** Packages in task files: fetched before a worker process starts, and never afterwards. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { connect } from "../../client/mod.ts";
import { PackageRegistry } from "../kit/package_registry.ts";
import { notStarted, SdServe } from "../kit/sd_process.ts";
import { TaskFolder } from "../kit/task_folder.ts";

/** A task file whose op `number` returns the export of a package. */
const importing = (name: string) => `import n from "${name}";\nexport const number = () => n;\n`;
const PATIENCE_MS = 60_000;
const NUMBER_OF_TWO = importing("npm:@sd-test/two@1.0.0");

async function said(serve: SdServe, what: string): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(20)) {
    if (serve.lines.some((line) => line.includes(what))) return;
  }
  throw new Error(`the server has not said ${what}, but: ${serve.lines.join("\n")}`);
}

Deno.test("task files get their packages, and names made up by task code reach no registry", async () => {
  await using registry = new PackageRegistry();
  const greeter = await registry.add("greeter", "export const greet = (name) => `hello ${name}`;");
  const later = await registry.add("later", "export default 42;");
  using folder = new TaskFolder({
    "tasks.js": `
      import { greet } from "${greeter}";
      export const hello = ({ name }) => greet(name);
      export const answer = async () => (await import("${later}")).default;
      export const leak = async ({ secret }) => {
        const told = [];
        for (const name of ["@sd-test/" + secret, "@sd-test/" + secret + "@1"]) {
          try { await import("npm:" + name); told.push("sent"); } catch (error) { told.push(error.message); }
        }
        return told;
      };`,
  });
  await using serve = await SdServe.start([folder.file("tasks.js"), "--workers", "2"], {
    env: registry.env,
  });
  await using sd = await connect(serve.server);
  assertEquals(await sd.run("hello", { name: "Ada" }), "hello Ada");
  assertEquals(await sd.run("answer"), 42);
  for (const name of ["greeter", "later"]) {
    assert(registry.asked.includes(`/@sd-test/${name}`), registry.asked.join(" "));
  }
  const before = registry.asked.length;
  const told = await sd.run("leak", { secret: "the-password" }) as string[];
  assertEquals(told.length, 2);
  for (const message of told) assertStringIncludes(message, "--cached-only");
  assertEquals(registry.asked.slice(before), []);
});

Deno.test("a missing package is reported with the line that imports it", async () => {
  await using registry = new PackageRegistry();
  using folder = new TaskFolder({
    "tasks.js": '// Greets.\nimport x from "npm:@sd-test/nobody@1";\nexport const f = () => x;\n',
  });
  const args = [folder.file("tasks.js"), "--workers", "1"];
  const ended = await notStarted(args, { env: registry.env });
  assertEquals(ended.code, 2);
  const lines = ended.lines.map((line) => line.replaceAll(`${folder.path}/`, ""));
  assertMatch(lines.join("\n"), /imports of task files: .*@sd-test\/nobody/);
  assertMatch(lines.join("\n"), /tasks\.js:2: it imports @sd-test\/nobody, which could not be/);
});

Deno.test("with --watch, a new package of a changed file is fetched before the file is loaded", async () => {
  await using registry = new PackageRegistry();
  const one = await registry.add("one", "export default 1;");
  using folder = new TaskFolder({ "tasks.js": importing(one) });
  await using serve = await SdServe.start(
    [folder.file("tasks.js"), "--workers", "1", "--watch"],
    { env: registry.env },
  );
  await using sd = await connect(serve.server);
  assertEquals(await sd.run("number"), 1);
  folder.write("tasks.js", NUMBER_OF_TWO);
  await said(serve, "tasks.js:1: it imports @sd-test/two");
  assertEquals(await sd.run("number"), 1);
  await registry.add("two", "export default 2;");
  folder.write("tasks.js", `${NUMBER_OF_TWO}// again\n`);
  await said(serve, "their new version is loaded");
  assertEquals(await sd.run("number"), 2);
});

Deno.test("without --watch, a changed file gets its new packages when its process is replaced", async () => {
  await using registry = new PackageRegistry();
  using folder = new TaskFolder({ "tasks.js": "export const number = () => 1;\n" });
  await using serve = await SdServe.start([folder.file("tasks.js"), "--workers", "1"], {
    env: registry.env,
  });
  await using sd = await connect(serve.server);
  assertEquals(await sd.run("number"), 1);
  folder.write("tasks.js", NUMBER_OF_TWO);
  const killWorker = async () => {
    const [{ pid = 0 } = {}] = (await sd.stats()).pools;
    Deno.kill(pid, "SIGKILL");
  };
  await killWorker();
  await said(serve, "tasks.js:1: it imports @sd-test/two");
  // The loaded version goes on.
  assertEquals(await sd.run("number"), 1);
  // Each replacement asks the registry again, until it has the package.
  await registry.add("two", "export default 2;");
  while (await sd.run("number") === 1) {
    await killWorker();
    await delay(500);
  }
  assertEquals(await sd.run("number"), 2);
});
