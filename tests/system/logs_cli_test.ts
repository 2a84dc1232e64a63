/** `sd logs`, and `-f` over cut connections and restarts. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { TextLineStream } from "@std/streams/text-line-stream";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { connect } from "../../client/client.ts";
import { progressText } from "../../client/commands/base/progress_line.ts";
import { SdError } from "../../protocol/errors.ts";
import type { LogLine } from "../../protocol/task.ts";
import type { LogEntry } from "../../protocol/work_message.ts";
import { CuttingProxy } from "../kit/cutting_proxy.ts";
import { LogLink } from "../kit/fake_worker.ts";
import { type Finished, runSd } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";

const AT = Date.UTC(2030, 0, 1, 8, 5, 9, 7);
const OP = { op: "x" };
const entry = (text: string, ms = 0): LogEntry => [AT + ms, "info", text];

interface Stage extends AsyncDisposable {
  server: TestServer;
  worker: LogLink;
  submit(options: object): Promise<number>;
  sd(...args: string[]): Promise<Finished>;
  /** Starts one that goes on for a while. */
  start(...args: string[]): Deno.ChildProcess;
}

/** The lines that a process prints, as they come. */
class Reading {
  readonly lines: string[] = [];
  /** Resolves when it has ended and all of it is read. */
  readonly code: Promise<number>;

  constructor(child: Deno.ChildProcess) {
    this.code = this.#read(child);
  }

  async #read(child: Deno.ChildProcess): Promise<number> {
    const lines = child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream());
    for await (const line of lines) this.lines.push(line);
    return (await child.status).code;
  }
}

async function newStage(): Promise<Stage> {
  const server = await TestServer.start({ workers: 0 });
  const worker = await LogLink.join(server, OP);
  const client = await server.connect();
  const env = { SD_SERVER: `127.0.0.1:${server.address.port}`, TZ: "UTC" };
  return {
    server,
    worker,
    async submit(options: object) {
      await client.ask({ op: "x", task: { id: "t", wait: false, ...options } });
      return await worker.nextLease("t");
    },
    sd: (...args) => runSd(args, env),
    start(...args) {
      const { path, args: all } = selfCommand(args);
      const streams = { stdin: "null", stdout: "piped", stderr: "null" } as const;
      return new Deno.Command(path, { args: all, env: { NO_COLOR: "1", ...env }, ...streams })
        .spawn();
    },
    async [Symbol.asyncDispose]() {
      worker[Symbol.dispose]();
      client[Symbol.dispose]();
      await server.stop();
    },
  };
}

Deno.test("sd logs prints time, level and escaped text, and marks the end of an attempt", async () => {
  await using stage = await newStage();
  const { worker, sd } = stage;
  const first = await stage.submit({ attempts: 2, backoff: 0 });
  await worker.say(first, [entry("one"), [AT, "error", "\x1b[31mred\nsecond line"]]);
  await worker.end(first, { error: { code: "task_error", message: "no" } });
  const second = await worker.nextLease("t");
  await worker.say(second, [entry("again", 1000)], 7);
  await worker.end(second, { error: { code: "task_error", message: "no" } });
  await sd("retry", "t");
  const third = await worker.nextLease("t");
  await worker.say(third, [[AT, "debug", "retried"]]);
  await worker.end(third, { result: 1 });
  await sd("wait", "t");
  const { code, stdout } = await sd("logs", "t");
  assertEquals(code, 0);
  assertEquals(stdout.trimEnd().split("\n"), [
    "08:05:09.007 info  one",
    "08:05:09.007 error \\u001b[31mred",
    "                   second line",
    "--- 7 dropped ---",
    "--- attempt 2 ---",
    "08:05:10.007 info  again",
    "--- retry 1, attempt 1 ---",
    "08:05:09.007 debug retried",
  ]);
  const json = JSON.parse((await sd("logs", "t", "--json")).stdout);
  assertEquals([json.ok, json.data.status, json.data.dropped], [true, "completed", 7]);
  assertEquals(json.data.log.at(-1), {
    n: 11,
    at: "2030-01-01T08:05:09.007Z",
    attempt: 1,
    retry: 1,
    level: "debug",
    text: "retried",
  });
  const followed = await sd("logs", "-f", "--json", "t");
  assertEquals(followed.code, 0);
  assertEquals(
    followed.stdout.trimEnd().split("\n").map((line) => JSON.parse(line)),
    json.data.log,
  );
});

Deno.test("sd logs exits with 5 for an unknown task, and with 0 for a task without a log", async () => {
  await using stage = await newStage();
  for (const args of [["nobody"], ["-f", "nobody"]]) {
    const { code, stderr } = await stage.sd("logs", ...args);
    assertEquals(code, 5);
    assertStringIncludes(stderr, 'there is no task "nobody"');
  }
  await stage.worker.end(await stage.submit({}), { result: 1 });
  const { code, stdout, stderr } = await stage.sd("logs", "t");
  assertEquals([code, stdout], [0, ""]);
  assertStringIncludes(stderr, "is empty");
});

Deno.test("sd logs -f prints earlier and later entries once, and ends with the task", async () => {
  await using stage = await newStage();
  const { worker } = stage;
  const lease = await stage.submit({});
  await worker.say(lease, [entry("before")]);
  const following = new Reading(stage.start("logs", "--follow", "t"));
  const watching = new Reading(stage.start("watch", "t"));
  let said = 0;
  // Waits until both have some of the later entries.
  while (!(following.lines.length > 1 && watching.lines.some((line) => line.includes(" log ")))) {
    await worker.say(lease, [entry(`${++said}`, said)]);
    await delay(20);
  }
  await worker.say(lease, [entry("after", said + 1)]);
  await worker.end(lease, { result: 1 });
  assertEquals([await following.code, await watching.code], [0, 0]);
  const texts = following.lines.map((line) => line.split("info  ")[1]);
  const between = Array.from({ length: said }, (_, i) => `${i + 1}`);
  assertEquals(texts, ["before", ...between, "after"]);
  assertStringIncludes(watching.lines.at(-2) ?? "", " log       t x attempt 1 info after");
});

Deno.test("sd logs -f prints every entry once and in order over cut connections", async () => {
  await using stage = await newStage();
  const { worker, server } = stage;
  await using proxy = new CuttingProxy(server.address);
  await using client = await connect(proxy.address);
  const lease = await stage.submit({});
  const told: LogLine[] = [];
  const following = client.followLog("t", (line) => told.push(line));
  const count = 200;
  for (let i = 1; i <= count; i++) {
    await worker.say(lease, [entry(`${i}`, i)]);
    if (i % 20 === 0) proxy.cut();
    await delay(2);
  }
  await worker.end(lease, { result: 1 });
  await following;
  assertEquals(told.map(({ text }) => text), Array.from({ length: count }, (_, i) => `${i + 1}`));
  assert(proxy.accepted > 3, `${proxy.accepted} connections`);
});

Deno.test("sd logs -f reads dropped events from the stored log", async () => {
  await using stage = await newStage();
  await using client = await connect(stage.server.address);
  const lease = await stage.submit({});
  const told: LogLine[] = [];
  const following = client.followLog("t", (line) => {
    told.push(line);
    // Reads nothing for a while during a flood.
    if (told.length === 1) {
      const end = performance.now() + 500;
      while (performance.now() < end);
    }
  });
  const { worker } = stage;
  const said = 3000;
  for (let i = 1; i <= said; i++) await worker.say(lease, [entry(`${i} ${"x".repeat(2000)}`, i)]);
  await worker.end(lease, { result: 1 });
  await following;
  const numbers = told.map(({ n }) => n);
  assertEquals(numbers, [...new Set(numbers)].toSorted((a, b) => a - b), "each once, in order");
  assertEquals(numbers.at(-1), said);
});

Deno.test("sd logs -f ends with the reason if the server stays away or the task is unknown", async () => {
  await using stage = await newStage();
  await using proxy = new CuttingProxy(stage.server.address);
  await using client = await connect(proxy.address, { reconnectMs: 300 });
  await assertRejects(() => client.followLog("nobody", () => {}), SdError, "no task");
  await stage.submit({});
  const following = client.followLog("t", () => {});
  await client.ping();
  await proxy.leave();
  await assertRejects(() => following, Error, "lost");
});

Deno.test("progress fits one line of a terminal, for any note", () => {
  assertEquals(progressText({ fraction: 0.256 }, 80), "[client]  25 %");
  assertEquals(
    progressText({ fraction: 1, note: "a\nb\x1b[2J" }, 80),
    "[client] 100 % a\\u000ab\\u001b[2J",
  );
  const cut = progressText({ fraction: 0, note: "x".repeat(500) }, 40);
  assertEquals([cut.length, cut.at(-1)], [39, "…"]);
});
