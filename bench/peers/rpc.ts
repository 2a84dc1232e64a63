/**
 * The same work for every library: tasks go in, another process squares `n`, and the result comes back to the sender. At
 * most `window` tasks are open at a time. Each driver in this folder brings its own `send`, and calls `ended` for every
 * result. The last line on stdout is the report, in JSON.
 */

import { parseArgs } from "@std/cli/parse-args";
import { print } from "../../cli/talk.ts";

/** What a driver did, as it prints it. */
export interface PeerReport {
  readonly peer: string;
  readonly tasksPerSecond: number;
  /** Results that were not the square of their `n`. */
  readonly wrong: number;
}

interface PeerOptions {
  /** Name and version, and how it keeps its tasks. */
  readonly peer: string;
  /** Most tasks of one `send`. */
  readonly batch: number;
  /** Sends tasks; `ids[i]` belongs to `ns[i]`. */
  send(ids: readonly string[], ns: readonly number[]): Promise<unknown>;
}

export class Peer {
  readonly #waiting = new Map<string, number>();
  #room = Promise.withResolvers<void>();
  #done = 0;
  #wrong = 0;

  /** Takes a result; a result of an unknown task counts as nothing. */
  ended(id: string, result: unknown): void {
    const n = this.#waiting.get(id);
    if (n === undefined) return;
    this.#waiting.delete(id);
    if (Number(result) !== n * n) this.#wrong++;
    this.#done++;
    this.#room.resolve();
    this.#room = Promise.withResolvers();
  }

  /** Sends tasks for `--seconds`, and prints the report. */
  async run({ peer, batch, send }: PeerOptions): Promise<void> {
    const flags = parseArgs(Deno.args, {
      string: ["seconds", "window"],
      default: { seconds: "6", window: "1024" },
    });
    const window = Number(flags.window);
    const most = Math.min(batch, window);
    const until = performance.now() + Number(flags.seconds) * 1000;
    const began = performance.now();
    let n = 0;
    while (performance.now() < until) {
      const room = Math.min(most, window - this.#waiting.size);
      if (room < Math.max(1, most / 5)) {
        await this.#room.promise;
        continue;
      }
      const ids: string[] = [];
      const ns: number[] = [];
      for (let i = 0; i < room; i++) {
        const id = crypto.randomUUID();
        this.#waiting.set(id, ++n);
        ids.push(id);
        ns.push(n);
      }
      await send(ids, ns);
    }
    const report: PeerReport = {
      peer,
      tasksPerSecond: Math.round(this.#done / ((performance.now() - began) / 1000)),
      wrong: this.#wrong,
    };
    print(JSON.stringify(report));
  }
}

/** Starts this program again as the process that does the work; it ends with the returned object. */
export function startWorker(script: string, args: readonly string[]): Disposable {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "-A", script, "worker", ...args],
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  return { [Symbol.dispose]: () => child.kill("SIGKILL") };
}
