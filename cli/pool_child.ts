/**
 * One worker process as its parent sees it: started with its orders on stdin, told to stop there,
 * listened to on stdout, killed when it does not end.
 */

import { LineSplitter } from "../protocol/ndjson.ts";
import type { PoolRetiring, PoolStart, PoolStop } from "../protocol/pool_start.ts";
import { POOL_FLAGS_OF_DENO, selfCommand, selfEnvironment } from "./self_command.ts";

/** Longer than any line of ours; what tasks print may be longer, and is no concern of ours. */
const MAX_CONTROL_BYTES = 4096;

const encoder = new TextEncoder();

export class PoolChild {
  /** Resolves when the process has ended, everything it said is read and nothing is left open. */
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #nonce = crypto.randomUUID();
  readonly #process: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #retiring: (() => void) | undefined;
  #gone = false;
  #stopSent = false;

  /** Starts the process. `retiring` is called when it says that it is about to end. */
  constructor(start: Omit<PoolStart, "nonce">, retiring: () => void) {
    const { path, args } = selfCommand(["work", "--pool"], POOL_FLAGS_OF_DENO);
    this.#process = new Deno.Command(path, {
      args,
      clearEnv: true,
      env: selfEnvironment(),
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#retiring = retiring;
    this.#stdin = this.#process.stdin.getWriter();
    this.#say({ ...start, nonce: this.#nonce });
    this.ended = this.#end();
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Asks it to finish what it runs; kills it after `graceMs`. Resolves when it has ended. */
  async stop(graceMs: number): Promise<void> {
    if (!this.#stopSent) {
      this.#stopSent = true;
      this.#say({ stop: true, grace_ms: graceMs });
    }
    await this.killAfter(graceMs);
  }

  /** Kills it unless it ends within `ms`. Resolves when it has ended. */
  async killAfter(ms: number): Promise<void> {
    if (!this.#gone) this.#timers.add(setTimeout(() => this.#kill(), ms));
    await this.ended;
  }

  #say(message: PoolStart | PoolStop): void {
    // One that has ended does not listen; `ended` tells.
    this.#stdin.write(encoder.encode(JSON.stringify(message) + "\n")).catch(() => undefined);
  }

  #kill(): void {
    if (this.#gone) return;
    try {
      this.#process.kill("SIGKILL");
    } catch (error) {
      // It has ended between two turns of the event loop.
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  async #end(): Promise<Deno.CommandStatus> {
    const [status] = await Promise.all([this.#process.status, this.#listen()]);
    this.#gone = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#stdin.close().catch(() => undefined);
    return status;
  }

  /** Tasks may print what they like: only a line with the nonce is the process' own. */
  async #listen(): Promise<void> {
    let splitter = new LineSplitter(MAX_CONTROL_BYTES);
    for await (const chunk of this.#process.stdout) {
      for (const line of splitter.push(chunk)) {
        if (line !== null && line.includes(this.#nonce)) this.#hear(line);
      }
      if (splitter.overflowed) splitter = new LineSplitter(MAX_CONTROL_BYTES);
    }
  }

  #hear(line: string): void {
    const message: PoolRetiring = { retiring: this.#nonce };
    if (line !== JSON.stringify(message)) return;
    this.#retiring?.();
    this.#retiring = undefined;
  }
}
