/** `sd work` as a process of its own, as a person starts it. */

import { TextLineStream } from "@std/streams/text-line-stream";
import { selfCommand } from "../../cli/pool/self_command.ts";

/** The pool secret of all of them. */
export const WORK_SECRET = "the-pool-secret-of-this-test";

/** A running `sd work`. */
export class SdWork implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #talk: Promise<void>;
  readonly #heard = new Set<() => void>();

  constructor(server: string, args: readonly string[]) {
    const { path, args: all } = selfCommand(["work", "--server", server, ...args]);
    this.#child = new Deno.Command(path, {
      args: all,
      env: { NO_COLOR: "1", SD_POOL_SECRET: WORK_SECRET },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#talk = this.#listen();
  }

  /** Resolves once `times` lines have `text` in them. */
  async says(text: string, times = 1): Promise<void> {
    while (this.lines.filter((line) => line.includes(text)).length < times) {
      await new Promise<void>((heard) => this.#heard.add(heard));
    }
  }

  async #listen(): Promise<void> {
    const text = this.#child.stderr.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream());
    for await (const line of text) {
      this.lines.push(line);
      for (const heard of this.#heard) heard();
    }
  }

  async ended(): Promise<number> {
    const { code } = await this.#child.status;
    await this.#talk;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch (error) {
      // It has ended already.
      if (!(error instanceof TypeError)) throw error;
    }
    await this.ended();
  }
}
