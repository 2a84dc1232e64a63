/** `sd serve` as a process of its own, watched: its lines, its memory, its open files, its end. */

import { deadline } from "@std/async/deadline";
import { TextLineStream } from "@std/streams/text-line-stream";
import { selfCommand } from "../../cli/pool/self_command.ts";

const START_MS = 30_000;
const STOP_MS = 30_000;

export class ServerProcess implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #talk: Promise<void>;
  readonly #started = Promise.withResolvers<void>();
  #status: Deno.CommandStatus | undefined;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#talk = this.#listen();
    void child.status.then((status) => this.#status = status);
  }

  static async start(workers: number, more: readonly string[] = []): Promise<ServerProcess> {
    const { path, args } = selfCommand([
      "serve",
      "--port=0",
      `--workers=${workers}`,
      "--engine=memory:",
      "--grace=1s",
      ...more,
    ]);
    const child = new Deno.Command(path, {
      args,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      env: { NO_COLOR: "1", LC_ALL: "C" },
    }).spawn();
    const server = new ServerProcess(child);
    await deadline(server.#started.promise, START_MS);
    return server;
  }

  get pid(): number {
    return this.#child.pid;
  }

  get address(): { hostname: string; port: number } {
    const line = this.lines.find((line) => line.includes("listening on")) ?? "";
    return { hostname: "127.0.0.1", port: Number(/:(\d+)$/.exec(line)?.[1]) };
  }

  /** What it did that a server must never do; nothing when all is well. */
  get fault(): string | undefined {
    if (this.#status) return `the server has ended, with exit code ${this.#status.code}`;
    const line = this.lines.find((line) => line.includes("error:"));
    return line && `the server met an error of its own: ${line}`;
  }

  /** Resident memory in MiB; `undefined` if the system does not report it. */
  async rssMiB(): Promise<number | undefined> {
    const status = await output("cat", `/proc/${this.pid}/status`);
    if (status === undefined) return undefined;
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  }

  /** How many files and sockets it has open; `undefined` if the system does not report it. */
  async openFiles(): Promise<number | undefined> {
    const files = await output("ls", `/proc/${this.pid}/fd`);
    return files?.trim().split("\n").length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#status) this.#child.kill("SIGTERM");
    try {
      await deadline(this.#child.status, STOP_MS);
    } catch (error) {
      this.#child.kill("SIGKILL");
      throw new Error("the server did not stop after SIGTERM", { cause: error });
    } finally {
      await this.#talk;
    }
  }

  async #listen(): Promise<void> {
    const lines = this.#child.stderr.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream());
    for await (const line of lines) {
      this.lines.push(line);
      if (line.includes("[dispatcher] started")) this.#started.resolve();
    }
    this.#started.reject(new Error(`sd serve ended: ${this.lines.join("\n")}`));
    // After the start this promise is not awaited.
    this.#started.promise.catch(() => undefined);
  }
}

/** What a program of the system prints; Deno itself reads `/proc` only with every permission there is. */
async function output(program: "cat" | "ls", path: string): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  const { stdout } = await new Deno.Command(program, { args: [path] }).output();
  return new TextDecoder().decode(stdout);
}
