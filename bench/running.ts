/** Starting what the benchmarks measure, and asking `sd bench` for its report. */

import { TextLineStream } from "@std/streams/text-line-stream";
import { selfCommand } from "../cli/pool/self_command.ts";
import type { BenchReport } from "../client/commands/bench/bench_loop.ts";

export interface Running extends AsyncDisposable {
  readonly port: number;
}

/** Starts a program; the first of its lines on `stream` that ends with a port names the one that it listens on. */
async function start(command: Deno.Command, stream: "stdout" | "stderr"): Promise<Running> {
  const child = command.spawn();
  const lines = child[stream].pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream());
  const reader = lines.getReader();
  let port: number | undefined;
  while (port === undefined) {
    const { value: line, done } = await reader.read();
    if (done) throw new Error("the program has ended before it listened");
    const named = /(?:^|[: ])(\d+)$/.exec(line)?.[1];
    if (named !== undefined) port = Number(named);
  }
  // What else it says is read and dropped, so that it never waits for us.
  const rest = (async () => {
    while (!(await reader.read()).done);
  })();
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await rest;
    },
  };
}

/** `memory`, `sqlite` on a new file, or the URL of a shared store. */
export type EngineName = "memory" | "sqlite" | `${string}://${string}`;

/**
 * `sd serve` with `workers` workers, from the executable that SD_BINARY names or from source; with `sqlite`
 * on a new file in a temporary folder, fsynced before each acknowledgement. `more` are further arguments, as task files or
 * flags.
 */
export async function startServer(
  workers: number,
  engine: EngineName,
  more: readonly string[] = [],
): Promise<Running> {
  const folder = await Deno.makeTempDir({ prefix: "sd-bench-" });
  const { path, args } = sdCommand([
    ...["serve", ...more, "--port", "0"],
    ...serveArgs(workers, engine, folder),
  ]);
  const command = new Deno.Command(path, { args, stderr: "piped", stdout: "null" });
  const running = await start(command, "stderr");
  return {
    port: running.port,
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** The flags of `sd serve` for a benchmark. */
export function serveArgs(workers: number, engine: EngineName, folder: string): string[] {
  const url = engine === "memory"
    ? "memory:"
    : engine === "sqlite"
    ? `sqlite:${folder}/sd.db`
    : engine;
  return ["--workers", String(workers), "--engine", url];
}

export function startEcho(): Promise<Running> {
  const script = new URL("./echo_server.ts", import.meta.url).href;
  const args = ["run", "--allow-net", script];
  return start(new Deno.Command(Deno.execPath(), { args, stdout: "piped" }), "stdout");
}

/** The path of a task with nothing on it; see `naive_server.ts`. */
export function startNaive(): Promise<Running> {
  const script = new URL("./naive_server.ts", import.meta.url).href;
  const args = ["run", "--allow-net", "--allow-read", "--allow-run", script];
  return start(new Deno.Command(Deno.execPath(), { args, stdout: "piped" }), "stdout");
}

export function sdCommand(args: string[]): { path: string; args: string[] } {
  const binary = Deno.env.get("SD_BINARY");
  return binary ? { path: binary, args } : selfCommand(args);
}

/** What one program printed on stdout. Throws when it failed. */
export async function output(path: string, args: string[]): Promise<string> {
  const { success, stdout } = await new Deno.Command(path, { args, stderr: "inherit" }).output();
  const text = new TextDecoder().decode(stdout);
  if (!success) throw new Error(`${path} ${args.join(" ")} failed: ${text}`);
  return text;
}

export interface Load {
  readonly connections: number;
  readonly depth: number;
  readonly count: number;
}

/** One run of `sd bench`, in a process of its own. */
export async function benchTasks(
  port: number,
  load: Load,
  more: readonly string[] = [],
): Promise<BenchReport> {
  const { path, args } = sdCommand([
    "bench",
    "--json",
    `--server=127.0.0.1:${port}`,
    `--connections=${load.connections}`,
    `--depth=${load.depth}`,
    `--count=${load.count}`,
    ...more,
  ]);
  return JSON.parse(await output(path, args)).data;
}

/** The same load as lines to the echo server. */
export async function benchEcho(port: number, load: Load): Promise<{ rate: number; p50: number }> {
  const script = new URL("./echo_client.ts", import.meta.url).href;
  const numbers = [port, load.connections, load.depth, load.count].map(String);
  return JSON.parse(
    await output(Deno.execPath(), ["run", "--allow-net", script, ...numbers]),
  );
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
