/** A folder with a file of tasks and one of results, and `sd submit` between the two, to be interrupted. */

import { deadline } from "@std/async/deadline";
import { delay } from "@std/async/delay";
import { selfCommand } from "../../cli/pool/self_command.ts";

const PATIENCE_MS = 120_000;

export interface ManyEnd {
  code: number;
  stderr: string;
}

/** One `sd submit` that runs. */
export class ManyProcess {
  readonly ended: Promise<ManyEnd>;
  readonly #child: Deno.ChildProcess;
  stderr = "";
  isEnded = false;

  constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.ended = this.#end();
  }

  get pid(): number {
    return this.#child.pid;
  }

  signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It has ended already.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  async says(text: string): Promise<void> {
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(2)) {
      if (this.stderr.includes(text)) return;
    }
    throw new Error(`never said ${text}, but:\n${this.stderr}`);
  }

  async #end(): Promise<ManyEnd> {
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      this.stderr += text;
    }
    const { code } = await this.#child.status;
    this.isEnded = true;
    return { code, stderr: this.stderr };
  }
}

// deno-lint-ignore no-explicit-any
export type ResultLine = any;

export class ManyStage implements AsyncDisposable {
  private constructor(readonly folder: string, readonly server: string, readonly file: string) {}

  /** `name` is that of the file of tasks. */
  static async open(
    address: { hostname: string; port: number },
    { name = "tasks.ndjson", lines }: { name?: string; lines: readonly string[] },
  ): Promise<ManyStage> {
    const folder = await Deno.makeTempDir({ prefix: "sd-many-" });
    const stage = new ManyStage(
      folder,
      `${address.hostname}:${address.port}`,
      `${folder}/${name}`,
    );
    await Deno.writeTextFile(stage.file, lines.map((line) => `${line}\n`).join(""));
    await Deno.writeTextFile(stage.results, "");
    return stage;
  }

  get journal(): string {
    return `${this.file}.sd-progress`;
  }

  get results(): string {
    return `${this.folder}/results.ndjson`;
  }

  /** Starts `sd submit` on the file; its results are appended to the earlier ones. */
  start(...args: string[]): ManyProcess {
    const self = selfCommand(["submit", "--server", this.server, "--file", this.file, ...args]);
    const child = new Deno.Command("sh", {
      args: ["-c", `exec "$0" "$@" >> "$RESULTS"`, self.path, ...self.args],
      env: { NO_COLOR: "1", RESULTS: this.results },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    return new ManyProcess(child);
  }

  async submit(...args: string[]): Promise<ManyEnd> {
    return await deadline(this.start(...args).ended, PATIENCE_MS);
  }

  /** Every line of results so far. */
  told(): ResultLine[] {
    const text = Deno.readTextFileSync(this.results);
    return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  }

  hasJournal(): boolean {
    try {
      return Deno.statSync(this.journal).isFile;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** `count` lines, each a square of its number. */
export function squares(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `{"op":"square","n":${i + 1}}`);
}
