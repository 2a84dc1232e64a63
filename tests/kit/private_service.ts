/**
 * A service of a test's own: a process on a free loopback port with its files in a temporary folder. A test may kill it,
 * stop it, let it go on and start it again; nothing of it is left after the test.
 */

import { delay } from "@std/async/delay";
import { until } from "./until.ts";

/** Ports below those that the system gives to outgoing connections, so that none of these takes the port meanwhile. */
const PORTS = { first: 20_000, last: 32_000 };
/** Longest wait for the end of a process before it is killed, in ms. */
const STOP_MS = 20_000;

/** A port on which nothing listens now. */
export function freePort(): number {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * (PORTS.last - PORTS.first));
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

/** Whether something accepts connections there. */
export async function answersAt(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch {
    return false;
  }
}

/** How a service is started, and how it is stopped in good order. */
export interface ServiceProgram {
  readonly name: string;
  readonly folder: string;
  readonly port: number;
  readonly command: readonly string[];
  /** The user that it runs as if the test runs as root. */
  readonly user?: string;
  readonly env?: Record<string, string>;
  /** The signal that ends it in good order; default `SIGTERM`. */
  readonly stopSignal?: Deno.Signal;
  /** Resolves with whether it serves; default: its port accepts. */
  readonly isUp?: () => Promise<boolean>;
}

export class PrivateService implements AsyncDisposable {
  readonly #program: ServiceProgram;
  #child: Deno.ChildProcess | undefined;

  constructor(program: ServiceProgram) {
    this.#program = program;
  }

  get port(): number {
    return this.#program.port;
  }

  get folder(): string {
    return this.#program.folder;
  }

  /** What it has written so far. */
  get said(): string {
    return Deno.readTextFileSync(this.#logFile);
  }

  get #logFile(): string {
    return `${this.folder}/output.txt`;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** Resolves once it serves. Throws with what it has written if it ends instead. */
  async start(): Promise<this> {
    if (this.#child) return this;
    const { command, user, env, name, isUp = () => answersAt(this.port) } = this.#program;
    const child = new Deno.Command("sh", {
      args: ["-c", `exec "$@" >>"$0" 2>&1`, this.#logFile, ...asUser(user), ...command],
      cwd: this.folder,
      ...(env ? { env } : {}),
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    this.#child = child;
    let isOver = false;
    void child.status.then(() => isOver = true);
    await until(`${name} serves`, async () => {
      if (isOver) {
        this.#child = undefined;
        throw new Error(`${name} ended instead of serving: ${this.said}`);
      }
      return await isUp();
    });
    return this;
  }

  /** Stops it in good order; kills it if that takes too long. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (!child) return;
    // A process that was stopped heeds no other signal.
    await this.#signal("SIGCONT");
    signal(child.pid, this.#program.stopSignal ?? "SIGTERM");
    const late = new AbortController();
    const killing = delay(STOP_MS, { signal: late.signal })
      .then(() => this.#signal("SIGKILL"), () => []);
    await child.status;
    late.abort();
    await killing;
    this.#child = undefined;
  }

  /**
   * Sends a signal to it and to all processes that it has started. `SIGKILL`: as when its machine loses power, but for the
   * page cache; it resolves when it has ended. `SIGSTOP`: it keeps its connections and answers nothing until `SIGCONT`.
   */
  async kill(name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const all = await this.#signal(name);
    if (name !== "SIGKILL") return;
    await child.status;
    this.#child = undefined;
    await until(`${this.#program.name} has ended`, async () => !await isAnyThere(all));
  }

  /** Stops it if it runs, and starts it on the same port and files. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill("SIGKILL");
    await Deno.remove(this.folder, { recursive: true });
  }

  /** Returns the processes that got it. */
  async #signal(name: Deno.Signal): Promise<number[]> {
    if (!this.#child) return [];
    const args = ["sh", "-c", SIGNAL_ALL, name.slice(3), String(this.#child.pid)];
    return (await runToEnd(args)).split(/\s+/).filter(Boolean).map(Number);
  }
}

/** Sends the signal `$0` to process `$1` and its descendants, which cannot start others meanwhile; prints them. */
const SIGNAL_ALL = `
all=
list=$1
while [ -n "$list" ]; do
  next=
  for one in $list; do
    kill -s "$([ "$0" = KILL ] && echo STOP || echo "$0")" "$one" 2>/dev/null || continue
    all="$all $one"
    next="$next $(cat /proc/"$one"/task/*/children 2>/dev/null)"
  done
  list=$(echo $next)
done
[ "$0" != KILL ] || kill -s KILL $all 2>/dev/null
echo $all`;

/** A temporary folder that the user of a service can reach. */
export async function serviceFolder(prefix: string): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: `sd-test-${prefix}-` });
  await Deno.chmod(folder, 0o755);
  return folder;
}

/** The user of this process. */
export const USER = ownUser();

function ownUser(): number {
  const folder = Deno.makeTempDirSync();
  const { uid } = Deno.statSync(folder);
  Deno.removeSync(folder);
  return uid ?? 0;
}

/** Words before a command that make it run as `user`; none unless this is root. */
export function asUser(user: string | undefined): string[] {
  return USER === 0 && user !== undefined
    ? ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--init-groups"]
    : [];
}

/** Runs a command to its end; throws with its words if it fails. */
export async function runToEnd(command: readonly string[], stdin?: string): Promise<string> {
  const [path = "", ...args] = command;
  const child = new Deno.Command(path, {
    args,
    cwd: "/",
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(stdin));
    await writer.close();
  }
  const { success, stdout, stderr } = await output;
  const [said, complaint] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!success) throw new Error(`${command.join(" ")} failed: ${complaint}`);
  return said ?? "";
}

async function isAnyThere(pids: readonly number[]): Promise<boolean> {
  const test = `for pid; do grep -qs "^State:.[^Z]" "/proc/$pid/status" && echo "$pid"; done; true`;
  return await runToEnd(["sh", "-c", test, "sh", ...pids.map(String)]) !== "";
}

function signal(pid: number, name: Deno.Signal): void {
  try {
    Deno.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
