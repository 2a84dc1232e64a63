/** `sd pause`, `why`, `watch`, `backup`, `export`, `import` as a person types them. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { runSd, SdServe } from "../kit/sd_process.ts";

Deno.test("a server is operated from the command line", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await using server = await SdServe.start(["--workers", "1", "--data", `${folder}/data`]);
    const env = { SD_SERVER: server.server };
    const sd = (...args: string[]) => runSd(args, env);

    assertEquals((await sd("pause")).code, 2);
    assertEquals((await sd("pause", "square")).stdout, "square\n");
    await sd("submit", "--detach", "--id", "a", '{"op":"square","n":4}');
    const child = ["submit", "-d", "--id", "b", "--after", "a", "--key", "k", "--limit", "2"];
    await sd(...child, "--rate", "5/1m", '{"op":"echo"}');
    assertEquals(
      (await sd("why", "a")).stdout,
      'op "square" is paused; resume it with: sd resume square\n',
    );
    assertEquals((await sd("why", "b")).stdout, "it waits for 1 task to complete: a\n");
    assertEquals(JSON.parse((await sd("why", "a", "--json")).stdout).data.code, "paused");
    assertEquals((await sd("why", "nobody")).code, 5);
    assertStringIncludes((await sd("ops")).stdout, "paused");
    assertStringIncludes((await sd("status")).stdout, "square");
    assertStringIncludes((await sd("ls")).stdout, "KEY");

    const lines = (await sd("export")).stdout;
    assertEquals(lines.trimEnd().split("\n").length, 3);
    const file = `${folder}/records.ndjson`;
    await Deno.writeTextFile(file, `${lines}\n{"sd":7}\n`);
    const wrong = await sd("import", file);
    assertEquals([wrong.code, wrong.stdout], [2, "imported 0, there already 3\n"]);
    assertStringIncludes(wrong.stderr, "line 5: a record begins with");
    const clash = lines.replaceAll('"n":4', '"n":5');
    await Deno.writeTextFile(file, clash);
    const other = await sd("import", file, "--json");
    assertEquals(other.code, 7);
    assertEquals(JSON.parse(other.stdout).data.conflicts, ["a"]);

    const copy = `${folder}/copy.db`;
    assertEquals((await sd("backup", copy)).code, 0);
    const again = await sd("backup", copy);
    assertEquals(again.code, 2);
    assertStringIncludes(again.stderr, "--force");
    assertEquals((await sd("backup", copy, "--force")).code, 0);
    assertEquals([...Deno.readDirSync(folder)].filter(({ name }) => name.endsWith(".part")), []);
    assertEquals((await sd("backup", "-", "--json")).code, 2);

    assertEquals((await sd("resume", "--all")).code, 0);
    assertEquals((await sd("wait", "b")).stdout, '{"a":16}\n');
    const watched = await sd("watch", "b");
    assertEquals(watched.code, 0);
    assertStringIncludes(watched.stdout, "completed b echo attempt 1");
    assertEquals((await sd("watch", "nobody")).code, 5);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test({
  name: "a backup never replaces the file or log of the server, under any name",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      await using server = await SdServe.start(["--workers", "1", "--data", `${folder}/data`]);
      const sd = (...args: string[]) => runSd(args, { SD_SERVER: server.server });
      assertEquals((await sd("submit", "--id", "a", '{"op":"square","n":4}')).stdout, "16\n");
      const [file, log] = [`${folder}/data/sd.db`, `${folder}/data/sd.db-wal`];
      await Deno.symlink(file, `${folder}/link.db`);
      await Deno.link(file, `${folder}/hard.db`);
      await Deno.link(log, `${folder}/hard-wal`);
      await Deno.symlink(file, `${folder}/other.db.part`);
      await Deno.symlink(`${folder}/data`, `${folder}/way`);
      const names = [file, log, `${folder}/data/../data/./sd.db`, `${folder}/way/sd.db`];
      const links = ["link.db", "hard.db", "hard-wal", "other.db"].map((name) =>
        `${folder}/${name}`
      );
      for (const name of [...names, ...links]) {
        const { code, stderr } = await sd("backup", name, "--force");
        assertEquals(code, 2, name);
        assertStringIncludes(stderr, "is a file of the server itself");
      }
      // The remains of a killed backup stop no later one, and the target of a link is unchanged.
      const mine = `${folder}/mine.txt`;
      await Deno.writeTextFile(mine, "mine");
      await Deno.symlink(mine, `${folder}/copy.db.part`);
      assertEquals((await sd("backup", `${folder}/copy.db`)).code, 0);
      assertEquals(await Deno.readTextFile(mine), "mine");
      assertEquals((await sd("result", "a")).stdout, "16\n");
      assertEquals((await sd("submit", '{"op":"square","n":5}')).stdout, "25\n");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "a server without work notices that its file was removed, and a backup still has the tasks",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const data = `${folder}/data`;
      await using server = await SdServe.start(["--workers", "1", "--data", data]);
      const sd = (...args: string[]) => runSd(args, { SD_SERVER: server.server });
      assertEquals((await sd("submit", "--id", "a", '{"op":"square","n":4}')).stdout, "16\n");
      await Deno.remove(`${data}/sd.db`);
      const said = () => server.lines.find((line) => line.includes("sd.db was removed"));
      const giveUpAt = Date.now() + 60_000;
      while (!said() && Date.now() < giveUpAt) await delay(50);
      assertStringIncludes(said() ?? "nothing was said", "sd backup FILE");
      const refused = await sd("submit", '{"op":"square","n":5}');
      assertEquals(refused.code, 7);
      assertStringIncludes(refused.stderr, "sd.db was removed");
      // As the message says.
      assertEquals((await sd("backup", `${folder}/copy.db`)).code, 0);
      await server.stop();
      await Deno.rename(`${folder}/copy.db`, `${data}/sd.db`);
      await Deno.remove(`${data}/sd.db-wal`);
      await using next = await SdServe.start(["--workers", "1", "--data", data]);
      const { stdout } = await runSd(["result", "a"], { SD_SERVER: next.server });
      assertEquals(stdout, "16\n");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
