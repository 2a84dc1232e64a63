/** Real clients and servers through cut connections and killed servers. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { TextLineStream } from "@std/streams/text-line-stream";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { connect, SdError } from "../../client/mod.ts";
import { CuttingProxy } from "../kit/cutting_proxy.ts";
import { Random } from "../fuzz/random.ts";
import { type Message, ScriptedServer } from "../kit/scripted_server.ts";
import { SdServe } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";

/** Cuts what goes through `proxy` at random until `done`; now and then it stays away for a moment. */
async function cutAtRandom(proxy: CuttingProxy, random: Random, done: Promise<unknown>) {
  let isDone = false;
  void done.catch(() => undefined).then(() => isDone = true);
  let cuts = 0;
  while (!isDone) {
    await delay(random.int(1, 40));
    if (random.chance(0.2)) {
      await proxy.leave();
      await delay(random.int(1, 60));
      proxy.comeBack();
    } else {
      proxy.cut();
    }
    cuts++;
  }
  return cuts;
}

async function statsOf({ address }: TestServer) {
  await using client = await connect(address);
  return await client.stats();
}

/** A running `sd`, with what it says on stderr as it says it. */
class SdClient {
  readonly stdout: Promise<string>;
  readonly lines: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #talk: Promise<void>;

  constructor(args: readonly string[], input?: string) {
    const self = selfCommand(args);
    this.#child = new Deno.Command(self.path, {
      args: self.args,
      env: { NO_COLOR: "1" },
      stdin: input === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.stdout = new Response(this.#child.stdout).text();
    this.#talk = this.#read();
    if (input !== undefined) void new Response(input).body?.pipeTo(this.#child.stdin);
  }

  async says(text: string): Promise<void> {
    for (const end = performance.now() + 20_000; performance.now() < end; await delay(2)) {
      if (this.lines.some((line) => line.includes(text))) return;
    }
    throw new Error(`never said ${text}, but:\n${this.lines.join("\n")}`);
  }

  async end(): Promise<{ code: number; stdout: string }> {
    const [{ code }, stdout] = await Promise.all([this.#child.status, this.stdout, this.#talk]);
    return { code, stdout };
  }

  async #read(): Promise<void> {
    const text = this.#child.stderr.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream());
    for await (const line of text) this.lines.push(line);
  }
}

Deno.test("5,000 tasks through connections cut at random: each runs once, each result is right", async () => {
  const seed = Date.now() >>> 0;
  const random = new Random(seed);
  await using server = await TestServer.start();
  await using proxy = new CuttingProxy(server.address);
  await using client = await connect(proxy.address);
  const numbers = Array.from({ length: 5000 }, (_, n) => n);
  let next = 0;
  const submitSome = async () => {
    for (let n = numbers[next++]; n !== undefined; n = numbers[next++]) {
      const wait = random.chance(0.8);
      const task = random.chance(0.1)
        ? await client.submit("sleep", { ms: 5 }, { wait })
        : await client.submit("square", { n }, { wait });
      const result = await task.result;
      assert(result === 5 || result === n * n, `task ${n}: ${result}`);
    }
  };
  try {
    const all = Promise.all(Array.from({ length: 100 }, submitSome));
    const [cuts] = await Promise.all([cutAtRandom(proxy, random, all), all]);
    assert(cuts > 3, `${cuts} cuts are no test`);
    assert(proxy.accepted > 3, `${proxy.accepted} connections are no test`);
    const { tasks, totals } = await statsOf(server);
    assertEquals([tasks.completed, totals.finished], [5000, 5000], JSON.stringify(tasks));
  } catch (error) {
    throw new Error(`seed ${seed}`, { cause: error });
  }
});

/** What 1,000 tasks come to whose server is killed and started again while they are in flight. */
async function outcomesOfKill(engineIn: (folder: string) => string): Promise<string[]> {
  const folder = await Deno.makeTempDir({ prefix: "sd-test-" });
  const args = ["--engine", engineIn(folder), "--workers", "2"];
  const env = { SD_DATA: folder };
  let server = await SdServe.start(args, { env });
  try {
    const { port } = server.address;
    await using client = await connect(server.address);
    const isSlow = (n: number) => n % 2 === 0;
    const submitting = Array.from(
      { length: 1000 },
      (_, n) => isSlow(n) ? client.submit("sleep", { ms: 5 }) : client.submit("square", { n }),
    );
    await submitting[500];
    await server.stop("SIGKILL");
    await server[Symbol.asyncDispose]();
    server = await SdServe.start(args, { env, port });
    const outcomes = await Promise.all(submitting.map(async (submitted, n) => {
      try {
        const result = await (await submitted).result;
        return result === (isSlow(n) ? 5 : n * n) ? "right" : `wrong: ${n} is ${result}`;
      } catch (error) {
        if (error instanceof SdError && error.code === "not_found") return error.message;
        throw error;
      }
    }));
    assertEquals(await (await client.submit("square", { n: 7 })).result, 49);
    return outcomes;
  } finally {
    await server[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a server killed with 1,000 tasks of a client in flight: each gets its result", async () => {
  const outcomes = await outcomesOfKill((folder) => `sqlite:${folder}/sd.db`);
  assertEquals(outcomes.length, 1000);
  assertEquals(outcomes.filter((outcome) => outcome !== "right"), []);
});

Deno.test("a server without a disk reports each task as lost after a restart", async () => {
  const outcomes = await outcomesOfKill(() => "memory:");
  const lost = outcomes.filter((outcome) => outcome !== "right");
  assert(lost.length > 0, "the server was killed too late");
  for (const outcome of lost) assertStringIncludes(outcome, "no longer knows it");
});

Deno.test("after an orderly stop of the server, clients move to the next one", async () => {
  await using first = await TestServer.start({ workers: 1 });
  await using proxy = new CuttingProxy(first.address);
  await using client = await connect(proxy.address);
  const running = await client.submit("sleep", { ms: 200 });
  const stopping = first.stop();
  // Refused by the first server for good; the second one takes it.
  const refused = client.submit("square", { n: 7 });
  assertEquals(await running.result, 200);
  await stopping;
  await using second = await TestServer.start({ workers: 1 });
  proxy.moveTo(second.address);
  assertEquals(await (await refused).result, 49);
});

Deno.test("sd submit of many lines through a proxy that cuts: each line has one result, the right one", async () => {
  const seed = Date.now() >>> 0;
  await using server = await TestServer.start();
  await using proxy = new CuttingProxy(server.address);
  const count = 3000;
  const input = Array.from({ length: count }, (_, n) => `{"op":"square","n":${n}}\n`).join("");
  const sd = new SdClient(["submit", "--server", `127.0.0.1:${proxy.port}`], input);
  const ended = sd.end();
  try {
    // The first connection is not retried: it must be there before the cutting begins.
    while (proxy.accepted === 0) await delay(2);
    const [cuts] = await Promise.all([cutAtRandom(proxy, new Random(seed), ended), ended]);
    const { code, stdout } = await ended;
    assertEquals(code, 0, sd.lines.join("\n"));
    const results = stdout.trim().split("\n").map((line) => JSON.parse(line));
    const wrong = results.filter(({ line, result }) => result !== (line - 1) ** 2);
    assertEquals(wrong, []);
    assertEquals(new Set(results.map(({ line }) => line)).size, count);
    assertEquals(results.length, count);
    assert(cuts > 0 && sd.lines.some((line) => line.endsWith("lost; trying again")), "never cut");
    const { tasks, totals } = await statsOf(server);
    assertEquals([tasks.completed, totals.finished], [count, count]);
  } catch (error) {
    throw new Error(`seed ${seed}`, { cause: error });
  }
});

Deno.test("sd submit and sd wait report that the connection was lost and is back", async () => {
  await using server = await TestServer.start({ workers: 1 });
  await using proxy = new CuttingProxy(server.address);
  const where = ["--server", `127.0.0.1:${proxy.port}`];
  const payload = '{"op":"sleep","ms":60000,"task":{"id":"nap","timeout":90000}}';
  const submit = new SdClient(["submit", ...where, "--json", payload]);
  await submit.says("waiting for the result");
  const wait = new SdClient(["wait", ...where, "nap"]);
  await using client = await connect(server.address);
  while ((await client.stats()).connections < 4) await delay(2);
  proxy.cut();
  for (const sd of [submit, wait]) {
    await sd.says(`[client] connection to 127.0.0.1:${proxy.port} lost; trying again`);
    await sd.says("[client] connected again");
  }
  await client.cancel("nap");
  const [submitted, waited] = await Promise.all([submit.end(), wait.end()]);
  assertEquals([submitted.code, waited.code], [6, 6]);
  const envelope = JSON.parse(submitted.stdout);
  assertEquals([envelope.ok, envelope.error.code, envelope.error.task_id], [
    false,
    "cancelled",
    "nap",
  ]);
  for (const sd of [submit, wait]) {
    assertEquals(sd.lines.filter((line) => line.includes("lost;")).length, 1);
  }
});

Deno.test("if the server stays away, the exit code is 3 within --timeout, with the command to find the tasks", async () => {
  await using server = await TestServer.start({ workers: 1 });
  await using proxy = new CuttingProxy(server.address);
  const where = ["--server", `127.0.0.1:${proxy.port}`, "--timeout", "3s"];
  const nap = (id: string) => `{"op":"sleep","ms":60000,"task":{"id":"${id}","timeout":90000}}`;
  const one = new SdClient(["submit", ...where, nap("one")]);
  const many = new SdClient(["submit", ...where], `${nap("two")}\n${nap("three")}\n`);
  await one.says("waiting for the result");
  await using client = await connect(server.address);
  while ((await client.stats()).totals.submitted < 3) await delay(5);
  const wait = new SdClient(["wait", ...where, "one", "two"]);
  while (proxy.accepted < 3) await delay(2);
  await proxy.leave();
  const ends = await Promise.all([one.end(), wait.end(), many.end()]);
  assertEquals(ends.map(({ code }) => code), [3, 3, 3]);
  assertStringIncludes(one.lines.at(-1) ?? "", "sd wait one");
  assertStringIncludes(wait.lines.join("\n"), "no connection to");
  assertStringIncludes(many.lines.join("\n"), "2 tasks go on");
  await Promise.all(["one", "two", "three"].map((id) => client.cancel(id)));
});

Deno.test("when a connection is lost for good, the id of every sent task is printed", async () => {
  using server = new ScriptedServer();
  const where = ["--server", `127.0.0.1:${server.port}`];
  const idOf = (message: Message) => (message.task as { id: string }).id;
  const many = new SdClient(["submit", ...where], '{"op":"x"}\n\n{"op":"y"}\n');
  const connection = await server.accept();
  const [x, y] = await connection.take(2);
  assert(x && y);
  await connection.say({ task_id: idOf(x), status: "queued", ref: x.ref });
  // No sd server says this, so there is no sense in coming back.
  await connection.write("[]\n");
  const { code, stdout } = await many.end();
  assertEquals(code, 3);
  const told = stdout.trim().split("\n").map((line) => JSON.parse(line))
    .sort((a, b) => a.line - b.line);
  assertEquals(told.map(({ line, task_id, error }) => [line, task_id, error.code]), [
    [1, idOf(x), "unreachable"],
    [3, idOf(y), "unreachable"],
  ]);
  assertStringIncludes(many.lines.at(-1) ?? "", "no line after line 3 was submitted");

  const one = new SdClient(["submit", ...where, "--json", "hello"]);
  const second = await server.accept();
  const id = idOf(await second.next());
  await second.write("[]\n");
  const ended = await one.end();
  assertEquals(ended.code, 3);
  assertStringIncludes(JSON.parse(ended.stdout).error.hint, `--id ${id}`);
});
