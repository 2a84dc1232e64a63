/** Real shells complete real lines: commands, flags, files, and the ids and ops of a real server. */

import { assertEquals } from "@std/assert";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { isInstalled, needing } from "../kit/needs.ts";
import { runSd } from "../kit/sd_process.ts";
import { onTerminal } from "../kit/terminal.ts";
import { TestServer } from "../kit/test_server.ts";

const BEGINNING_OF_LINE = "\x01";
const END_OF_LINE = "\x05";

/** What is typed before Tab, and the line that it becomes. FOLDER is one with `records.ndjson` in it. */
const LINES: readonly (readonly [typed: string, completed: string])[] = [
  ["sd sub", "sd submit"],
  ["sd submit --cat", "sd submit --catch-up"],
  ["sd ls --status del", "sd ls --status delayed"],
  ["sd cron pau", "sd cron pause"],
  ["sd result z-d", "sd result z-done"],
  ["sd cancel u:o", "sd cancel u:one"],
  ["sd ls --op squ", "sd ls --op square"],
  ["sd import FOLDER/rec", "sd import FOLDER/records.ndjson"],
];

/** `sd` on the PATH, a server with tasks, a file. */
class Stage implements AsyncDisposable {
  private constructor(
    readonly server: TestServer,
    readonly folder: string,
    readonly env: Record<string, string>,
  ) {}

  static async open(): Promise<Stage> {
    const server = await TestServer.start({ workers: 1 });
    const folder = await Deno.makeTempDir({ prefix: "sd-test-" });
    const { path, args } = selfCommand([]);
    const words = [path, ...args].map((word) => `'${word}'`).join(" ");
    await Deno.writeTextFile(`${folder}/sd`, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
    await Deno.writeTextFile(`${folder}/records.ndjson`, "");
    using client = await server.connect();
    await client.ask({ op: "echo", task: { id: "u:one", delay: 60_000, wait: false } });
    await client.ask({ op: "echo", task: { id: "z-done", wait: false } });
    await client.ask({ cmd: "wait", task_id: "z-done" });
    return new Stage(server, folder, {
      PATH: `${folder}:${Deno.env.get("PATH")}`,
      SD_SERVER: `127.0.0.1:${server.address.port}`,
      XDG_CONFIG_HOME: folder,
      HOME: folder,
      DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`,
    });
  }

  /** The lines that `LINES` become in an interactive shell, which is started by `shell`. */
  async complete(shell: string, setUp: readonly string[]): Promise<string[]> {
    // The completed line becomes the argument of an echo, and is seen in what that prints.
    const typed = LINES.map(([line]) =>
      `${line.replace("FOLDER", this.folder)}\t${BEGINNING_OF_LINE}echo GOT ${END_OF_LINE}\n`
    );
    const text = await onTerminal(shell, {
      typed: [...setUp.map((line) => `${line}\n`), ...typed, "exit\n"].join(""),
      columns: 200,
      env: this.env,
    });
    // bash says before each output that what is pasted is no longer told apart.
    return [...text.replaceAll("\x1b[?2004l", "").matchAll(/^GOT (.*)$/gm)]
      .map(([, line = ""]) => line.trimEnd().replace(this.folder, "FOLDER"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop();
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function testShell(
  { shell, start, setUp }: { shell: string; start: string; setUp: readonly string[] },
): Promise<void> {
  const withShell = needing(`${shell} and script`, await isInstalled(shell, "script"));
  Deno.test({
    ...withShell(`${shell} completes commands, flags, choices, files, ids and ops`),
    async fn() {
      await using stage = await Stage.open();
      assertEquals(await stage.complete(start, setUp), LINES.map(([, completed]) => completed));
    },
  });
}

await testShell({
  shell: "bash",
  start: "bash --norc --noprofile -i",
  setUp: ["source <(sd completions bash)"],
});
await testShell({
  shell: "zsh",
  start: "zsh -f -i",
  // Whatever EDITOR says: npm names vi, and zsh then has the keys of vi.
  setUp: ["bindkey -e", "autoload -U compinit; compinit -u -D", "source <(sd completions zsh)"],
});

const withFish = needing("fish", await isInstalled("fish"));
Deno.test({
  ...withFish("fish completes commands, flags, choices, files, ids and ops"),
  async fn() {
    await using stage = await Stage.open();
    for (const [typed, completed] of LINES) {
      const line = typed.replace("FOLDER", stage.folder);
      const { stdout } = await new Deno.Command("fish", {
        args: ["-c", `sd completions fish | source; complete -C '${line}'`],
        env: stage.env,
      }).output();
      const [word = ""] = new TextDecoder().decode(stdout).split(/[\t\n]/);
      const last = completed.replace("FOLDER", stage.folder).split(" ").at(-1);
      assertEquals(word, last);
    }
  },
});

Deno.test("completion prints no errors and never takes long", async () => {
  // Accepts and says nothing.
  using deaf = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const lines = [
    ["cancel", ""],
    ["cancel", "--server", "127.0.0.1:1", ""],
    ["cancel", "--server", "not an address", ""],
    ["cancel", "--token-file", "/nowhere/token", ""],
    ["cancel", "--context", "nobody", ""],
    ["no-such-command", ""],
    [],
  ];
  const env = { SD_SERVER: `127.0.0.1:${deaf.addr.port}` };
  for (const line of lines) {
    const said = await runSd(["complete", "fish", "--", ...line], env);
    assertEquals([said.code, /\bid\b/.test(said.stdout), said.stderr], [0, false, ""]);
  }
  assertEquals((await runSd(["complete", "tcsh", "--", "a"])).stdout, "");
  assertEquals((await runSd(["complete"])).code, 0);
});

Deno.test("PowerShell gets candidates with their descriptions", async () => {
  const { stdout } = await runSd(["complete", "powershell", "--", "help", "=subm"]);
  assertEquals(stdout, "submit\tsend a task and print its result\n");
});
