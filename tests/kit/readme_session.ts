/**
 * Runs the commands of a README in a copy of its folder, and compares their output with the README. A command stands
 * behind `$ ` in an indented block. The lines after it are its stdout, in which `…` stands for anything within a line.
 * A command that starts a server (`sd serve`, `deno run … server.ts`) is left running.
 */

import { deadline } from "@std/async/deadline";
import { assert } from "@std/assert";
import { TextLineStream } from "@std/streams/text-line-stream";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { SdServe } from "./sd_process.ts";

const PATIENCE_MS = 120_000;

interface ReadmeCommand {
  readonly line: string;
  /** What the README shows of its stdout. */
  readonly shows: string;
}

export class ReadmeSession implements AsyncDisposable {
  readonly folder: string;
  readonly #commands: readonly ReadmeCommand[];
  readonly #env: Record<string, string>;
  readonly #running: AsyncDisposable[] = [];

  /** `ports`: the ports in the README and its files; each is replaced by a free one. */
  constructor(source: URL, ports: readonly number[] = []) {
    this.folder = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "sd-readme-" }));
    let text = Deno.readTextFileSync(new URL("README.md", source));
    for (const port of ports) text = text.replaceAll(String(port), String(freePort()));
    this.#commands = commandsOf(text);
    copy(source, new URL(`file://${this.folder}/`));
    this.#env = { PATH: `${this.#programs()}:${Deno.env.get("PATH")}`, NO_COLOR: "1" };
  }

  /** The address of the README's `sd serve`. */
  get server(): string {
    return this.#env.SD_SERVER ?? "";
  }

  async run(): Promise<void> {
    assert(this.#commands.length > 1, "the README shows no commands");
    for (const { line, shows } of this.#commands) {
      if (line.startsWith("sd serve ")) await this.#serve(line);
      else if (/_server\.ts /.test(line)) await this.#start(line);
      else {
        const { stdout, stderr } = await this.shell(line);
        assert(
          isShown(shows, stdout),
          `$ ${line}\nprints\n${stdout}and not\n${shows}\nstderr:\n${stderr}`,
        );
      }
    }
  }

  /** Runs a command in the same way as the commands of the README. */
  async shell(line: string): Promise<{ stdout: string; stderr: string }> {
    const command = new Deno.Command("sh", {
      args: ["-c", line],
      cwd: this.folder,
      env: this.#env,
      stdin: "null",
    });
    const { stdout, stderr } = await deadline(command.output(), PATIENCE_MS);
    const decoder = new TextDecoder();
    return { stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const running of this.#running.reverse()) await running[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }

  async #serve(line: string): Promise<void> {
    const [, , ...args] = line.split(/\s+/);
    const serve = await SdServe.start(args, { before: `cd '${this.folder}'` });
    this.#running.push(serve);
    this.#env.SD_SERVER = serve.server;
  }

  /** Starts a server of the README's own, and waits until it says something. */
  async #start(line: string): Promise<void> {
    const child = new Deno.Command("sh", {
      args: ["-c", `exec ${line} 2>&1`],
      cwd: this.folder,
      env: this.#env,
      stdout: "piped",
    }).spawn();
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(
      new TextLineStream(),
    ).values();
    this.#running.push({
      async [Symbol.asyncDispose]() {
        child.kill("SIGTERM");
        await child.status;
        await lines.return?.();
      },
    });
    await deadline(lines.next(), PATIENCE_MS);
  }

  /** A folder with `sd` and `deno`, for the PATH. */
  #programs(): string {
    const folder = `${this.folder}/.programs`;
    Deno.mkdirSync(folder);
    const { path, args } = selfCommand([]);
    const sd = [path, ...args].map((word) => `'${word}'`).join(" ");
    for (const [name, command] of [["sd", sd], ["deno", `'${Deno.execPath()}'`]]) {
      Deno.writeTextFileSync(`${folder}/${name}`, `#!/bin/sh\nexec ${command} "$@"\n`);
      Deno.chmodSync(`${folder}/${name}`, 0o755);
    }
    return folder;
  }
}

function commandsOf(text: string): ReadmeCommand[] {
  const commands: { line: string; shows: string[] }[] = [];
  let isOpen = false;
  for (const line of text.split("\n")) {
    const [, indented] = /^ {4}(.*)$/.exec(line) ?? [];
    if (indented === undefined) isOpen = false;
    else if (indented.startsWith("$ ")) {
      isOpen = true;
      commands.push({ line: indented.slice(2), shows: [] });
    } else if (isOpen) commands.at(-1)?.shows.push(indented);
  }
  return commands.map(({ line, shows }) => ({ line, shows: shows.join("\n") }));
}

function isShown(shows: string, stdout: string): boolean {
  const pattern = shows.split("…").map((piece) => piece.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  // The end of a line may be padding that no README keeps.
  const printed = stdout.replace(/[ ]+$/gm, "").trimEnd();
  return new RegExp(`^${pattern.join(".*")}$`).test(printed);
}

function copy(from: URL, to: URL): void {
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    if (isDirectory) {
      Deno.mkdirSync(new URL(name, to));
      copy(new URL(`${name}/`, from), new URL(`${name}/`, to));
    } else Deno.copyFileSync(new URL(name, from), new URL(name, to));
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
