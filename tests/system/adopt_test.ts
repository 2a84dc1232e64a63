/** Runs that go on although their server or their link is lost: each starts once, and its end arrives once. */

import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { MAX_DEATHS } from "../../protocol/limits.ts";
import { CuttingProxy } from "../kit/cutting_proxy.ts";
import { LogLink } from "../kit/fake_worker.ts";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe } from "../kit/sd_process.ts";
import { SdWork, WORK_SECRET } from "../kit/sd_work.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestServer } from "../kit/test_server.ts";
import { until } from "../kit/until.ts";

const TASKS = `
  const write = (file, text) => Deno.writeTextFileSync(file, text + "\\n", { append: true });
  export async function step({ file, name, ms }, ctx) {
    write(file, "start " + name);
    for (let at = 0; at < ms; at += 50) {
      await new Promise((go) => setTimeout(go, 50));
      ctx?.progress?.(at / ms);
    }
    console.log("nearly done with " + name);
    write(file, "end " + name);
    return name;
  }
  export const apart = Object.assign((args, ctx) => step(args, ctx), {
    options: { isolate: "process" },
  });
`;

class Scene implements Disposable {
  readonly #folder = new TaskFolder({ "tasks.js": TASKS });
  readonly book = this.#folder.file("book.txt");

  constructor() {
    Deno.writeTextFileSync(this.book, "");
  }

  get data(): string {
    return this.#folder.file("data");
  }

  work(server: string, ...more: string[]): SdWork {
    const file = this.#folder.file("tasks.js");
    return new SdWork(server, [file, "--workers", "4", `--allow-write=${this.book}`, ...more]);
  }

  touch(): void {
    this.#folder.write("tasks.js", `${TASKS}\n// changed\nexport const fresh = () => 1;`);
  }

  step(name: string, ms: number, task: object = {}, op = "step"): object {
    return { op, file: this.book, name, ms, task: { id: name, wait: false, ...task } };
  }

  lines(): string[] {
    return Deno.readTextFileSync(this.book).split("\n").filter((line) => line !== "");
  }

  async until(line: string): Promise<void> {
    while (!this.lines().includes(line)) await delay(10);
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

function serve(scene: Scene, port: number, ...args: string[]): Promise<SdServe> {
  return SdServe.start([...args], {
    port,
    env: { SD_DATA: scene.data, SD_POOL_SECRET: WORK_SECRET },
  });
}

async function endOf(client: RawClient, id: string): Promise<[status: string, result: unknown]> {
  const { status, result, error } = await client.ask({ cmd: "wait", task_id: id });
  return [status, result ?? error?.message];
}

Deno.test("a long task survives kill -9 of its server, and starts once", async () => {
  using scene = new Scene();
  const first = await serve(scene, 0, "--workers", "0");
  await using work = scene.work(first.server);
  await work.says("connected");
  using client = await RawClient.connect(first.address);
  // Its process takes a while to start; the other task must not have ended by then.
  await client.ask(scene.step("alone", 6000, {}, "apart"));
  await scene.until("start alone");
  await client.ask(scene.step("long", 6000));
  await scene.until("start long");
  await first.stop("SIGKILL");
  await using second = await serve(scene, first.address.port, "--workers", "0");
  using again = await RawClient.connect(second.address);
  assertEquals(await endOf(again, "long"), ["completed", "long"]);
  assertEquals(await endOf(again, "alone"), ["completed", "alone"]);
  assertEquals(scene.lines().sort(), ["end alone", "end long", "start alone", "start long"]);
  const { task } = await again.ask({ cmd: "get", task_id: "long" });
  assertEquals(task?.attempt ?? 1, 1);
});

Deno.test("a task of the server's own workers starts again after kill -9, and they end with it", async () => {
  using scene = new Scene();
  const first = await serve(scene, 0, "--workers", "1");
  using client = await RawClient.connect(first.address);
  const { pools } = await client.ask({ cmd: "stats" });
  await client.ask({ op: "sleep", ms: 3000, task: { id: "own", wait: false } });
  await first.stop("SIGKILL");
  await using second = await serve(scene, first.address.port, "--workers", "1");
  using again = await RawClient.connect(second.address);
  assertEquals((await endOf(again, "own"))[0], "completed");
  let isThere = true;
  try {
    Deno.kill(pools[0].pid, "SIGCONT");
  } catch {
    isThere = false;
  }
  assert(!isThere, "the worker process of the killed server lives");
});

Deno.test("a link that is cut more often than a task may die costs it nothing", async () => {
  using scene = new Scene();
  await using server = await TestServer.start({ workers: 0, secret: WORK_SECRET });
  await using proxy = new CuttingProxy(server.address);
  await using work = scene.work(`127.0.0.1:${proxy.port}`);
  await work.says("connected");
  using client = await server.connect();
  await client.ask(scene.step("cut", 3000));
  await client.ask(scene.step("limited", 3000, { key: "k", limit: 1 }));
  await scene.until("start cut");
  await scene.until("start limited");
  for (let cuts = 1; cuts <= 2 * MAX_DEATHS; cuts++) {
    proxy.cut();
    await work.says("connected", cuts + 1);
    await delay(50);
  }
  assertEquals(await endOf(client, "cut"), ["completed", "cut"]);
  assertEquals(await endOf(client, "limited"), ["completed", "limited"]);
  assertEquals(scene.lines().filter((line) => line.startsWith("start")).length, 2);
});

Deno.test("results and logs of runs that ended without a server arrive, each once", async () => {
  using scene = new Scene();
  await using server = await TestServer.start({ workers: 0, secret: WORK_SECRET });
  await using proxy = new CuttingProxy(server.address);
  await using work = scene.work(`127.0.0.1:${proxy.port}`);
  await work.says("connected");
  using client = await server.connect();
  const names = ["a", "b", "c", "d"];
  for (const name of names) await client.ask(scene.step(name, 1000));
  for (const name of names) await scene.until(`start ${name}`);
  await proxy.leave();
  for (const name of names) await scene.until(`end ${name}`);
  proxy.comeBack();
  for (const name of names) assertEquals(await endOf(client, name), ["completed", name]);
  assertEquals(scene.lines().length, 2 * names.length);
  const { log } = await client.ask({ cmd: "logs", task_id: "a" });
  assert(JSON.stringify(log).includes("nearly done with a"), JSON.stringify(log));
});

Deno.test("a run that another worker has started meanwhile is stopped, and its result is refused", async () => {
  using scene = new Scene();
  await using server = await TestServer.start({ workers: 0, secret: WORK_SECRET });
  await using proxy = new CuttingProxy(server.address);
  await using work = scene.work(`127.0.0.1:${proxy.port}`);
  await work.says("connected");
  using client = await server.connect();
  for (const name of ["stopped", "late"]) {
    const ms = name === "late" ? 1000 : 60_000;
    await client.ask(scene.step(name, ms));
    await scene.until(`start ${name}`);
    await proxy.leave();
    using other = await LogLink.join(server, { op: "step" });
    const lease = await other.nextLease(name);
    if (name === "late") await scene.until("end late");
    proxy.comeBack();
    await work.says("connected", name === "late" ? 3 : 2);
    await other.end(lease, { result: "of another" });
    assertEquals(await endOf(client, name), ["completed", "of another"]);
  }
  assertEquals(scene.lines(), ["start stopped", "start late", "end late"]);
});

Deno.test("a worker machine that was stopped past its lease goes on with nothing that another has", async () => {
  using scene = new Scene();
  await using server = await TestServer.start({
    workers: 0,
    secret: WORK_SECRET,
    limits: { sweepMs: 100, quietLinkMs: 300, silentLinkMs: 800 },
  });
  await using work = scene.work(`127.0.0.1:${server.address.port}`);
  await work.says("connected");
  using client = await server.connect();
  const { pools: [{ pid }] } = await client.ask({ cmd: "stats" });
  await client.ask(scene.step("t", 5000, { key: "k", limit: 1 }));
  await scene.until("start t");
  using other = await LogLink.join(server, { op: "step" });
  Deno.kill(pid, "SIGSTOP");
  const lease = await other.nextLease("t");
  Deno.kill(pid, "SIGCONT");
  await work.says("connected", 2);
  await other.end(lease, { result: "of another" });
  assertEquals(await endOf(client, "t"), ["completed", "of another"]);
  assertEquals(scene.lines(), ["start t"]);
});

Deno.test("a process with older task files brings its runs to their end, also through a lost link", async () => {
  using scene = new Scene();
  await using server = await TestServer.start({ workers: 0, secret: WORK_SECRET });
  await using proxy = new CuttingProxy(server.address);
  await using work = scene.work(`127.0.0.1:${proxy.port}`, "--watch");
  await work.says("connected");
  using client = await server.connect();
  await client.ask(scene.step("old", 4000));
  await scene.until("start old");
  scene.touch();
  await work.says("their new version is loaded");
  // Otherwise the new process could be back first, and start the task again.
  await client.ask({ cmd: "pause", op: "step" });
  proxy.cut();
  assertEquals(await endOf(client, "old"), ["completed", "old"]);
  assertEquals(scene.lines(), ["start old", "end old"]);
  await client.ask({ cmd: "resume", op: "step" });
  // Its link was cut, too.
  await until("the new process is back", async () => {
    const { ops } = await client.ask({ cmd: "ops" });
    return ops.some(({ op, workers }: { op: string; workers: number }) =>
      op === "fresh" && workers > 0
    );
  });
  await client.ask({ op: "fresh", task: { id: "fresh", wait: false } });
  assertEquals(await endOf(client, "fresh"), ["completed", 1]);
});

Deno.test("without a server runs end after the time that it has named", async () => {
  using scene = new Scene();
  await using server = await TestServer.start({
    workers: 0,
    secret: WORK_SECRET,
    limits: { holdMs: 500 },
    mayStandStill: true,
  });
  await using proxy = new CuttingProxy(server.address);
  await using work = scene.work(`127.0.0.1:${proxy.port}`);
  await work.says("connected");
  using client = await server.connect();
  await client.ask(scene.step("left", 1500));
  await scene.until("start left");
  await proxy.leave();
  await delay(2500);
  assertEquals(scene.lines(), ["start left"]);
  proxy.comeBack();
  assertEquals(await endOf(client, "left"), ["completed", "left"]);
});
