/** The compiled executable in a folder of its own, with nothing around it, and its server. `SD_BINARY` names it. */

import { assert } from "@std/assert";
import { TextLineStream } from "@std/streams/text-line-stream";
import { needing } from "../kit/needs.ts";

export const BINARY = Deno.env.get("SD_BINARY");
export const withBinary = needing("SD_BINARY", BINARY !== undefined);

/** The executable in a new folder, with a home of its own and nothing of this machine around it. */
export class Installed implements Disposable {
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
      ...options,
      env: { HOME: this.folder, PATH: "/nowhere", ...options.env },
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

/** Processes that run the executable in `folder`. Asks `ps`, since Deno grants /proc only together with all permissions. */
export async function processesOf(folder: string): Promise<number[]> {
  const { stdout } = await new Deno.Command("ps", { args: ["-eo", "pid=,args="] }).output();
  return new TextDecoder().decode(stdout).split("\n")
    .map((line) => /^\s*(\d+) (.*)$/.exec(line))
    .filter((match) => match?.[2]?.startsWith(folder))
    .map((match) => Number(match?.[1]));
}

export async function untilNoneLeft(folder: string): Promise<void> {
  const end = Date.now() + 10_000;
  for (let left = await processesOf(folder); left.length > 0; left = await processesOf(folder)) {
    assert(Date.now() < end, `processes are left behind: ${left}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Starts `sd serve` with `args` more, and two workers if these name no number; answers the process, its address, and its lines on stderr so far. */
export async function serve(sd: Installed, args: string[] = [], env: Record<string, string> = {}) {
  const workers = args.includes("--workers") ? [] : ["--workers", "2"];
  const child = sd.command(["serve", "--port", "0", ...workers, ...args], {
    stderr: "piped",
    stdout: "null",
    stdin: "null",
    env,
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
  const server = /listening on (.*)$/m.exec(lines.join("\n"))?.[1] ?? "";
  return { child, talk, lines, server };
}
