/**
 * The compiled executable, alone in a folder of its own: serve, submit, stop. `SD_BINARY` names it. On
 * a person's machine these tests say that they were skipped when it does not; in CI they fail.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { TextLineStream } from "@std/streams/text-line-stream";
import { VERSION } from "../../cli/version.ts";

const BINARY = Deno.env.get("SD_BINARY");
const IN_CI = Deno.env.get("CI") === "true";

/** The executable in a new folder, with a home of its own and nothing of this machine around it. */
class Installed implements Disposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "sd-binary-" });
  readonly path = `${this.folder}/sd`;

  constructor(binary: string) {
    Deno.copyFileSync(binary, this.path);
    Deno.chmodSync(this.path, 0o755);
  }

  command(args: string[], options: Deno.CommandOptions = {}): Deno.Command {
    return new Deno.Command(this.path, {
      args,
      cwd: this.folder,
      clearEnv: true,
      env: { HOME: this.folder, PATH: "/nowhere", ...options.env },
      ...options,
    });
  }

  async run(args: string[], env: Record<string, string> = {}) {
    const { code, stdout, stderr } = await this.command(args, { env }).output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

/** Processes that run the executable in `folder`. Asks `ps`: Deno lets nobody read /proc but all. */
async function processesOf(folder: string): Promise<number[]> {
  const { stdout } = await new Deno.Command("ps", { args: ["-eo", "pid=,args="] }).output();
  return new TextDecoder().decode(stdout).split("\n")
    .map((line) => /^\s*(\d+) (.*)$/.exec(line))
    .filter((match) => match?.[2]?.startsWith(folder))
    .map((match) => Number(match?.[1]));
}

async function untilNoneLeft(folder: string): Promise<void> {
  const end = Date.now() + 10_000;
  for (let left = await processesOf(folder); left.length > 0; left = await processesOf(folder)) {
    assert(Date.now() < end, `processes are left behind: ${left}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Starts `sd serve`; answers the process, its address, and its lines on stderr so far. */
async function serve(sd: Installed) {
  const child = sd.command(["serve", "--port", "0", "--workers", "2"], {
    stderr: "piped",
    stdout: "null",
    stdin: "null",
  }).spawn();
  const lines: string[] = [];
  const ready = Promise.withResolvers<void>();
  const talk = (async () => {
    const text = child.stderr.pipeThrough(new TextDecoderStream()).pipeThrough(
      new TextLineStream(),
    );
    for await (const line of text) {
      lines.push(line);
      if (line === "[dispatcher] started") ready.resolve();
    }
    ready.reject(new Error(`sd serve ended: ${lines.join("\n")}`));
  })();
  ready.promise.catch(() => {});
  await ready.promise;
  const server = /listening on (.*)$/.exec(lines[0] ?? "")?.[1] ?? "";
  return { child, talk, lines, server };
}

Deno.test({
  name: BINARY
    ? "the executable alone serves, submits, and leaves nothing behind when it is told to stop"
    : "the executable: skipped, SD_BINARY names none",
  ignore: !BINARY && !IN_CI,
  async fn() {
    assert(BINARY, "SD_BINARY must name the executable in CI");
    using sd = new Installed(BINARY);
    const { child, talk, lines, server } = await serve(sd);
    const env = { SD_SERVER: server };
    try {
      assertMatch(lines[0] ?? "", /^\[server\] listening on 127\.0\.0\.1:\d+$/);
      assertEquals(lines.slice(1, 3), ["[server] 2 workers started", "[dispatcher] started"]);
      const square = await sd.run(["submit", '{"op":"square","n":7}'], env);
      assertEquals([square.code, square.stdout], [0, "49\n"]);
      assertMatch(
        square.stderr,
        /^\[client\] task queued id=\S+\n\[client\] waiting for the result…\n\[client\] result received\n$/,
      );
      assertEquals((await sd.run(["submit", '<"op":"square","n":7>'], env)).stdout, "49\n");
      assertEquals((await sd.run(["submit", "¡hola!"], env)).stdout, "¡hola!\n");
      assertEquals((await sd.run(["submit", '{"op":"square"}'], env)).code, 1);
      assertEquals((await sd.run(["submit", '{"op":"nothing"}'], env)).code, 7);
      assertEquals((await sd.run(["status", "--json"], env)).code, 0);
      assertMatch((await sd.run(["--version"])).stdout, new RegExp(`^sd ${VERSION} `));
      const spin = ["submit", '{"op":"hash","data":"x","rounds":1e12}', "--run-timeout", "300ms"];
      const spun = await sd.run(spin, env);
      assertEquals([spun.code, spun.stdout], [1, ""]);
      assertMatch(spun.stderr, /timeout/);
      assertEquals((await sd.run(["submit", '{"op":"square","n":8}'], env)).stdout, "64\n");
    } finally {
      child.kill("SIGTERM");
    }
    assertEquals((await child.status).code, 0);
    await talk;
    await untilNoneLeft(sd.folder);
    assertEquals((await sd.run(["submit", "x"], env)).code, 3);
  },
});

Deno.test({
  name: BINARY
    ? "no process is left behind when the server is killed"
    : "the executable: skipped, SD_BINARY names none",
  ignore: !BINARY && !IN_CI,
  async fn() {
    assert(BINARY, "SD_BINARY must name the executable in CI");
    using sd = new Installed(BINARY);
    const { child, talk, server } = await serve(sd);
    // A task that spins, so that the pool's threads are as busy as they can be.
    const spinning = sd.run(
      ["submit", '{"op":"hash","data":"x","rounds":1e12}', "--detach"],
      { SD_SERVER: server },
    );
    assertEquals((await spinning).code, 0);
    assert((await processesOf(sd.folder)).length >= 2);
    child.kill("SIGKILL");
    await child.status;
    await talk;
    await untilNoneLeft(sd.folder);
  },
});
