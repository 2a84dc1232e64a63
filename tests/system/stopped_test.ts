/** Processes that are stopped and go on (a paused machine, a debugger, swap): no task dies or starts again. */

import { deadline } from "@std/async/deadline";
import { assertEquals } from "@std/assert";
import { TextLineStream } from "@std/streams/text-line-stream";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe } from "../kit/sd_process.ts";
import { TaskFolder } from "../kit/task_folder.ts";

const LEASE_MS = 1000;
/** Longer than a lease. */
const STOP_MS = 2000;
const PATIENCE_MS = 60_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Stops the processes together, and lets them go on after `ms`. */
async function pause(pids: readonly number[], ms: number): Promise<void> {
  for (const pid of pids) Deno.kill(pid, "SIGSTOP");
  await sleep(ms);
  for (const pid of pids) Deno.kill(pid, "SIGCONT");
}

/** A server with short leases, in a process of its own. */
class LeaseServer implements AsyncDisposable {
  private constructor(
    readonly child: Deno.ChildProcess,
    readonly port: number,
    readonly pool: number,
    readonly lines: ReadableStreamDefaultReader<string>,
  ) {}

  static async start(): Promise<LeaseServer> {
    const { path, args } = selfCommand([String(LEASE_MS)]);
    const script = new URL("../kit/test_server.ts", import.meta.url).href;
    const child = new Deno.Command(path, {
      args: args.map((arg) => arg.endsWith("main.ts") ? script : arg),
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const lines = child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream()).getReader();
    const port = Number((await deadline(lines.read(), PATIENCE_MS)).value);
    using client = await RawClient.connect({ hostname: "127.0.0.1", port });
    const { pools } = await client.ask({ cmd: "stats" });
    return new LeaseServer(child, port, pools[0].pid, lines);
  }

  connect(): Promise<RawClient> {
    return RawClient.connect({ hostname: "127.0.0.1", port: this.port });
  }

  /** Ends it; returns its log. */
  async end(): Promise<string[]> {
    await this.child.stdin.close();
    const log: string[] = [];
    for (let line = await this.lines.read(); !line.done; line = await this.lines.read()) {
      log.push(line.value);
    }
    await this.child.status;
    return log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of [this.pool, this.child.pid]) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch (error) {
        // It has ended, as it should.
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    await this.child.status;
    await this.lines.cancel();
    if (!this.child.stdin.locked) await this.child.stdin.close().catch(() => undefined);
  }
}

/** Runs a task of six seconds while the processes are stopped three times; returns its end and the log. */
async function stopThrice(pidsOf: (server: LeaseServer) => readonly number[]) {
  await using server = await LeaseServer.start();
  using client = await server.connect();
  await client.ask({ op: "sleep", ms: 6000, task: { id: "long", timeout: 60_000 } });
  for (let i = 0; i < 3; i++) {
    await sleep(300);
    await pause(pidsOf(server), STOP_MS);
  }
  const { status } = await client.object();
  const { attempt } = await client.ask({ cmd: "get", task_id: "long" });
  const log = await server.end();
  return { status, attempt, lost: log.filter((line) => line.includes("leases ran out")) };
}

const STEPS = `export async function steps({ count }) {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 100));
  return count;
}`;

/** The end of a task whose process is stopped for longer than its time limit, and of one that exceeds it after that. */
async function stopInTime() {
  using folder = new TaskFolder({ "tasks.js": STEPS });
  await using serve = await SdServe.start([folder.file("tasks.js"), "--workers", "1"]);
  using client = await RawClient.connect(serve.address);
  const { pools } = await client.ask({ cmd: "stats" });
  const ends = [];
  for (const [count, timeout] of [[15, 3000], [1000, 1000]]) {
    await client.ask({ op: "steps", count, task: { timeout } });
    await sleep(300);
    await pause([serve.child.pid, pools[0].pid], 4000);
    const { status, error } = await client.object();
    ends.push([status, error?.code]);
  }
  return ends;
}

/** The end of an `sd submit` that is stopped for longer than its timeout while its result arrives. */
async function stopClient() {
  await using serve = await SdServe.start(["--workers", "1"]);
  const { path, args } = selfCommand([
    "submit",
    "--server",
    serve.server,
    "--timeout",
    "3s",
    '{"op":"sleep","ms":1500}',
  ]);
  const child = new Deno.Command(path, { args, stdout: "piped", stderr: "null" }).spawn();
  using client = await RawClient.connect(serve.address);
  while ((await client.ask({ cmd: "stats" })).tasks.running === 0) await sleep(20);
  await pause([child.pid], 5000);
  const { code, stdout } = await deadline(child.output(), PATIENCE_MS);
  return [code, new TextDecoder().decode(stdout).trim()];
}

Deno.test("stopped processes that go on lose no lease, no running time and no result", async () => {
  // Side by side: each of them mostly sleeps.
  const [server, all, inTime, client] = await Promise.all([
    stopThrice(({ child }) => [child.pid]),
    stopThrice(({ child, pool }) => [child.pid, pool]),
    stopInTime(),
    stopClient(),
  ]);
  const well = { status: "completed", attempt: 1, lost: [] };
  assertEquals(server, well, "the server alone is stopped for longer than a lease, three times");
  assertEquals(all, well, "the server and its workers are");
  assertEquals(inTime, [["completed", undefined], ["failed", "timeout"]]);
  assertEquals(client, [0, "1500"]);
});
