/** A real `sd serve` to be killed: started and started again on one store, it or its worker process killed. */

import { delay } from "@std/async/delay";
import { deadline } from "@std/async/deadline";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { SdServe, shell } from "../kit/sd_process.ts";

const PATIENCE_MS = 60_000;

export interface VictimOptions {
  readonly engine: string;
  readonly workers: number;
  /** Where it keeps what is not in the store. */
  readonly stateDir: string;
  readonly more?: readonly string[];
  /** A command that becomes the server: see `SdServe`. */
  readonly through?: readonly string[];
}

export class Victim {
  readonly #options: VictimOptions;
  #server: SdServe | undefined;

  constructor(options: VictimOptions) {
    this.#options = options;
  }

  get address(): { hostname: string; port: number } {
    return this.#running.address;
  }

  get pid(): number {
    return this.#running.child.pid;
  }

  /** What it said on stderr that no server should say. */
  get complaints(): string[] {
    return this.#server?.lines.filter((line) => /error:|\bat .*:\d+:\d+/.test(line)) ?? [];
  }

  async start(): Promise<void> {
    this.#server = await SdServe.start(this.#args, {
      env: this.#env,
      through: this.#options.through ?? [],
    });
  }

  /** `SIGKILL`; resolves once it and all that it started have ended. */
  async kill(): Promise<void> {
    await this.#running.stop("SIGKILL");
    this.#server = undefined;
  }

  /** Asks it to stop; answers its exit code. */
  async stop(): Promise<number> {
    const server = this.#running;
    this.#server = undefined;
    return await server.stop();
  }

  /** Starts one more, and kills it `ms` later, however far it has come. */
  async killInStartUp(ms: number): Promise<void> {
    const { path, args } = selfCommand(["serve", "--port=0", ...this.#args]);
    const child = new Deno.Command(path, {
      args,
      env: this.#env,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    // Its worker process has the same stderr: at the end of that, both have ended.
    const talk = child.stderr.text();
    await delay(ms);
    try {
      child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    const { signal, code } = await deadline(child.status, PATIENCE_MS);
    const text = await deadline(talk, PATIENCE_MS);
    if (signal !== "SIGKILL") throw new Error(`it did not start, but ended with ${code}: ${text}`);
  }

  /** `SIGKILL` to its worker process, `ms` after one is seen to run. */
  async killPool(ms: number): Promise<void> {
    await delay(ms);
    const giveUpAt = Date.now() + PATIENCE_MS;
    for (;;) {
      const killed = await shell(
        `for pid in $(pgrep -P ${this.pid}); do kill -KILL $pid && echo $pid; done`,
      );
      if (killed !== "") return;
      if (Date.now() > giveUpAt) throw new Error("the server has no worker process");
      await delay(20);
    }
  }

  /** Stops it (`SIGSTOP`), or its worker processes, for `ms`; then they go on. */
  async pause(what: "server" | "pool", ms: number): Promise<void> {
    const pids = what === "server" ? `${this.pid}` : `$(pgrep -P ${this.pid})`;
    await shell(`for pid in ${pids}; do kill -STOP $pid; done`);
    await delay(ms);
    // A frozen worker process may have been replaced.
    await shell(`for pid in ${pids}; do kill -CONT $pid; done`);
  }

  get #running(): SdServe {
    if (!this.#server) throw new Error("the server is not running");
    return this.#server;
  }

  get #args(): string[] {
    const { engine, workers, more = [] } = this.#options;
    return [`--engine=${engine}`, `--workers=${workers}`, "--grace=1s", ...more];
  }

  get #env(): Record<string, string> {
    const { stateDir } = this.#options;
    return { NO_COLOR: "1", SD_DATA: stateDir, XDG_STATE_HOME: stateDir };
  }
}
