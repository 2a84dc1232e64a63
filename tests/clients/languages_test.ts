/** The clients of docs/clients.md in other languages: each that can run here does what the document says. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { isInstalled, needing } from "../kit/needs.ts";
import { TestServer } from "../kit/test_server.ts";

const FOLDER = new URL("../../examples/clients/", import.meta.url);
const MAX_LINES = 40;
const EMOJI = "é🎉";

interface Language {
  readonly file: string;
  /** Programs without which it cannot run. */
  readonly needs: readonly string[];
  /** Makes `program` in the folder where it runs; set for compiled languages. */
  readonly build?: string;
  readonly run: readonly string[];
}

const LANGUAGES: readonly Language[] = [
  { file: "client.py", needs: ["python3"], run: ["python3", "client.py"] },
  { file: "client.sh", needs: ["bash"], run: ["bash", "client.sh"] },
  {
    file: "client.go",
    needs: ["go"],
    build: "GO111MODULE=off go build -o program client.go",
    run: ["./program"],
  },
  { file: "client.rs", needs: ["rustc"], build: "rustc -o program client.rs", run: ["./program"] },
  {
    file: "Client.java",
    needs: ["javac", "java"],
    build: "javac Client.java",
    run: ["java", "Client"],
  },
  { file: "client.rb", needs: ["ruby"], run: ["ruby", "client.rb"] },
  { file: "client.php", needs: ["php"], run: ["php", "client.php"] },
  { file: "client.pl", needs: ["perl"], run: ["perl", "client.pl"] },
  {
    file: "client.c",
    needs: ["cc"],
    build: "cc -Wall -Wextra -Werror -o program client.c",
    run: ["./program"],
  },
];

/** A client where it can run, in a folder of its own. */
class Program implements Disposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "sd-language-" });
  readonly #run: readonly string[];

  private constructor({ file, run }: Language) {
    this.#run = run;
    Deno.copyFileSync(new URL(file, FOLDER), `${this.#folder}/${file}`);
  }

  static async make(language: Language): Promise<Program> {
    const program = new Program(language);
    const { build } = language;
    if (build === undefined) return program;
    const { success, stderr } = await new Deno.Command("sh", {
      args: ["-c", build],
      cwd: program.#folder,
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return program;
  }

  async run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    return await this.runWith({}, ...args);
  }

  async runWith(env: Record<string, string>, ...args: string[]) {
    const [path = "", ...first] = this.#run;
    const command = new Deno.Command(path, { args: [...first, ...args], cwd: this.#folder, env });
    const { code, stdout, stderr } = await command.output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

for (const language of LANGUAGES) {
  const { file, needs } = language;
  const inLanguage = needing(needs.join(" and "), await isInstalled(...needs));

  Deno.test({
    ...inLanguage(
      `${file} prints results and failures, and ends with the exit code of the last task`,
    ),
    fn: async () => {
      await using server = await TestServer.start();
      using program = await Program.make(language);
      const at = `127.0.0.1:${server.address.port}`;
      const results = [
        ['{"op":"square","n":7}', "49\n"],
        [`{"op":"echo","data":"${EMOJI}","task":{"id":"kept"}}`, `"${EMOJI}"\n`],
        // Again: its first reply says completed, and has no result yet.
        [`{"op":"echo","data":"${EMOJI}","task":{"id":"kept"}}`, `"${EMOJI}"\n`],
        ['{"op":"echo","data":null}', "null\n"],
        // A result that looks like a reply itself.
        [
          '{"op":"echo","data":{"error":{"status":"failed"},"result":[1,"\\"status\\":\\"failed\\""]}}',
          '{"error":{"status":"failed"},"result":[1,"\\"status\\":\\"failed\\""]}\n',
        ],
      ] as const;
      for (const [task, result] of results) {
        const { code, stdout, stderr } = await program.run(at, task);
        assertEquals([code, stdout], [0, result], `${task}: ${stderr}`);
      }
      const failed = await program.run(at, '{"op":"square","n":"x"}');
      assertEquals([failed.code, failed.stdout], [1, ""], failed.stderr);
      assertMatch(failed.stderr, /task_error.*square needs n/s);
      const expired = await program.run(
        at,
        '{"op":"square","n":1,"task":{"delay":5000,"expires":1}}',
      );
      assertEquals([expired.code, expired.stdout], [6, ""], expired.stderr);
      const refused = await program.run(at, '{"op":"squar","n":1}');
      assertEquals([refused.code, refused.stdout], [7, ""], refused.stderr);
      assertMatch(refused.stderr, /unknown_op.*did you mean/s);
      const usage = await program.run();
      assertEquals([usage.code, usage.stdout], [2, ""], usage.stderr);
      assertStringIncludes(usage.stderr, "usage:");
    },
  });

  Deno.test({
    ...inLanguage(`${file} gives its token, and says when there is no server`),
    fn: async () => {
      const token = "a-token-of-some-length";
      using program = await Program.make(language);
      let at = "";
      {
        await using server = await TestServer.start({ tokens: [token] });
        at = `127.0.0.1:${server.address.port}`;
        const task = '{"op":"square","n":7}';
        const known = await program.runWith({ SD_TOKEN: token }, at, task);
        assertEquals([known.code, known.stdout], [0, "49\n"], known.stderr);
        const unknown = await program.runWith({ SD_TOKEN: "" }, at, task);
        assertEquals([unknown.code, unknown.stdout], [7, ""], unknown.stderr);
        assertStringIncludes(unknown.stderr, "unauthorized");
      }
      const away = await program.run(at, '{"op":"square","n":7}');
      assertEquals([away.code, away.stdout], [3, ""], away.stderr);
    },
  });
}

Deno.test({
  ...needing("nc of OpenBSD", await hasOpenNc())("nc gets every answer before the server closes"),
  fn: async () => {
    await using server = await TestServer.start();
    const lines = [2, 3].map((n) => `'{"op":"square","n":${n},"task":{"id":"t-${n}"}}'`).join(" ");
    const line = `printf '%s\\n' ${lines} | nc -N 127.0.0.1 ${server.address.port}`;
    const { stdout } = await new Deno.Command("sh", { args: ["-c", line] }).output();
    const replies = new TextDecoder().decode(stdout).trim().split("\n").sort();
    assertEquals(replies, [
      '{"task_id":"t-2","status":"completed","result":4}',
      '{"task_id":"t-2","status":"queued"}',
      '{"task_id":"t-3","status":"completed","result":9}',
      '{"task_id":"t-3","status":"queued"}',
    ]);
  },
});

async function hasOpenNc(): Promise<boolean> {
  const args = ["-c", "nc -h 2>&1 | grep -q -- '-[^ ]*N'"];
  return (await new Deno.Command("sh", { args }).output()).success;
}

Deno.test("each client says how it is run, and is short", async () => {
  const files = [...Deno.readDirSync(FOLDER)].map(({ name }) => name);
  assertEquals(files.sort(), LANGUAGES.map(({ file }) => file).sort());
  for (const file of files) {
    const text = await Deno.readTextFile(new URL(file, FOLDER));
    const lines = text.split("\n").length - 1;
    assertEquals(lines <= MAX_LINES, true, `${file} has ${lines} lines`);
    assertStringIncludes(text.slice(0, 200), "Submits one task to sd and prints its result: ");
  }
});
