/** The task files in docs/tasks.md pass a type check and load, and their schemas check arguments. */

import { assertEquals, assertMatch } from "@std/assert";
import { runSd, SdServe } from "../kit/sd_process.ts";
import { STARTER_FILES, TaskFolder } from "../kit/task_folder.ts";

const GUIDE = Deno.readTextFileSync(new URL("../../docs/tasks.md", import.meta.url));

/** Code blocks that begin with the name of a file, by that name. */
function shownFiles(): Record<string, string> {
  const blocks = [...GUIDE.matchAll(/^```ts\n\/\/ (\S+\.ts)\n([\s\S]*?)^```$/gm)];
  return Object.fromEntries(blocks.map(([, name, text]) => [name, text]));
}

Deno.test("the task files of the guide load, and their schemas check arguments on submit", async () => {
  const files = shownFiles();
  const names = Object.keys(files).sort();
  assertEquals(names, [
    "order.ts",
    "resize.ts",
    "tasks.ts",
    "weather.ts",
    "with_arktype.ts",
    "with_valibot.ts",
    "with_zod.ts",
  ]);
  using folder = new TaskFolder({ ...files, "sd.d.ts": STARTER_FILES["sd.d.ts"] });
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["check", "--no-config", "."],
    cwd: folder.path,
  }).output();
  assertEquals(success, true, new TextDecoder().decode(stderr));

  await using serve = await SdServe.start(
    [folder.path, "--workers", "1", "--allow-net=api.example.com"],
  );
  const submit = (task: Record<string, unknown>) =>
    runSd(["submit", JSON.stringify(task)], { SD_SERVER: serve.server });
  assertEquals((await submit({ op: "triple", n: 7 })).stdout, "21\n");
  for (const library of ["zod", "valibot", "arktype"]) {
    const op = `invoice_${library}`;
    assertEquals((await submit({ op, price: 2.5 })).stdout, '{"total":2.5}\n');
    assertEquals((await submit({ op, price: 2.5, count: 4 })).stdout, '{"total":10}\n');
    for (const args of [{ price: "free" }, { price: -1 }, {}]) {
      const refused = await submit({ op, ...args });
      assertEquals(refused.stdout, "");
      assertMatch(refused.stderr, /argument "?price"?: .../);
    }
  }
});

Deno.test("the guide names every option and every flag", () => {
  const { "sd.d.ts": types } = STARTER_FILES;
  const [, options = ""] = /interface TaskOptions \{([\s\S]*?)\n\}/.exec(types) ?? [];
  const names = [...options.matchAll(/^ {2}(\w+)\??:/gm)].map(([, name]) => name);
  assertEquals(names.length, 9);
  for (const name of names) assertMatch(GUIDE, new RegExp(`^\\| \`${name}\` `, "m"));
  for (const name of ["net", "read", "write", "env", "sys", "run", "ffi"]) {
    assertMatch(GUIDE, new RegExp(`^\\| \`--allow-${name}\\b`, "m"));
  }
});
