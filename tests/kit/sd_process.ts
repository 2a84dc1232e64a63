/** `sd` as a process of its own, as a person starts it: for tests of exit codes, signals and limits. */

import { deadline } from "@std/async/deadline";
import { TextLineStream } from "@std/streams/text-line-stream";
import { selfCommand } from "../../cli/pool/self_command.ts";

const PATIENCE_MS = 60_000;
/** An environment without the colours, the language and the contexts of the person at the keyboard. */
const PLAIN = { NO_COLOR: "1", LC_ALL: "C", XDG_CONFIG_HOME: "/nowhere" };

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a subcommand to its end. */
export async function runSd(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Finished> {
  const { path, args: all } = selfCommand(args);
  const command = new Deno.Command(path, { args: all, env: { ...PLAIN, ...env } });
  const { code, stdout, stderr } = await deadline(command.output(), PATIENCE_MS);
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** `sd serve` ended instead of starting. */
export class NotStarted extends Error {
  override readonly name = "NotStarted";

  constructor(readonly code: number, readonly lines: readonly string[]) {
    super(`sd serve ended with ${code}: ${lines.join("\n")}`);
  }
}

/** A running `sd serve`, on a free port where none is named. */
export class SdServe implements AsyncDisposable {
  readonly #talk: Promise<void>;
  /** Its state, gone with it; `undefined` where the test has its own. */
  readonly #folder: string | undefined;

  private constructor(
    readonly child: Deno.ChildProcess,
    readonly address: { readonly hostname: string; readonly port: number },
    /** What it has said so far. */
    readonly lines: readonly string[],
    talk: Promise<void>,
    folder: string | undefined,
  ) {
    this.#talk = talk;
    this.#folder = folder;
  }

  /**
   * Starts it with `args` more, by way of `sh -c` after `before` where that is given, or as the arguments
   * of the command `through`, which must become the server. Its state is in a folder that goes with it,
   * or where `SD_DATA` of `env` says.
   */
  static async start(
    args: readonly string[],
    options: {
      env?: Record<string, string>;
      before?: string;
      through?: readonly string[];
      port?: number;
      /** What it says last of all that the test waits for. */
      started?: string;
    } = {},
  ): Promise<SdServe> {
    const self = selfCommand(["serve", "--port", String(options.port ?? 0), ...args]);
    const folder = options.env?.SD_DATA === undefined
      ? await Deno.makeTempDir({ prefix: "sd-test-" })
      : undefined;
    const before = options.before === undefined
      ? []
      : ["sh", "-c", `${options.before}; exec "$0" "$@"`];
    const [path = "", ...all] = [
      ...options.through ?? [],
      ...before,
      self.path,
      ...self.args,
    ];
    const child = new Deno.Command(path, {
      args: all,
      env: { ...PLAIN, ...(folder && { SD_DATA: folder }), ...options.env },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const lines: string[] = [];
    const ready = Promise.withResolvers<void>();
    const talk = (async () => {
      const text = child.stderr.pipeThrough(new TextDecoderStream())
        .pipeThrough(new TextLineStream());
      for await (const line of text) {
        lines.push(line);
        if (line.includes(options.started ?? "[dispatcher] started")) ready.resolve();
      }
      ready.reject(new NotStarted((await child.status).code, lines));
    })();
    try {
      await deadline(ready.promise, PATIENCE_MS);
    } catch (error) {
      if (folder) await Deno.remove(folder, { recursive: true });
      throw error;
    }
    const [, hostname = "", port] = /listening on (.*):(\d+)$/m.exec(lines.join("\n")) ?? [];
    return new SdServe(child, { hostname, port: Number(port) }, lines, talk, folder);
  }

  get server(): string {
    return `${this.address.hostname}:${this.address.port}`;
  }

  /** Signals it and answers its exit code. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<number> {
    try {
      this.child.kill(signal);
    } catch (error) {
      // It has ended already.
      if (!(error instanceof TypeError)) throw error;
    }
    const { code } = await deadline(this.child.status, PATIENCE_MS);
    await this.#talk;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    if (this.#folder) await Deno.remove(this.#folder, { recursive: true });
    const standstill = this.lines.find((line) => line.includes("[watchdog]"));
    if (standstill) throw new Error(`due tasks stood still: ${standstill}`);
  }
}

/** The output of the system's own programs, since Deno grants /proc only together with all permissions. */
export async function shell(script: string): Promise<string> {
  const { stdout } = await new Deno.Command("sh", { args: ["-c", script] }).output();
  return new TextDecoder().decode(stdout).trim();
}

/** Open file descriptors of a process. */
export async function openFiles(pid: number): Promise<number> {
  return Number(await shell(`ls /proc/${pid}/fd | wc -l`));
}

/** Resident memory of a process in MiB. */
export async function residentMib(pid: number): Promise<number> {
  return Number(await shell(`awk '/VmRSS/ {print $2}' /proc/${pid}/status`)) / 1024;
}

/** How `sd serve` ended, which is not to start with `args`. */
export async function notStarted(
  args: readonly string[],
  options: { env?: Record<string, string> } = {},
): Promise<NotStarted> {
  try {
    await using _serve = await SdServe.start(args, options);
  } catch (error) {
    if (error instanceof NotStarted) return error;
    throw error;
  }
  throw new Error(`sd serve has started with ${args.join(" ")}`);
}
