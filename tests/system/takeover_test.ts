/** Servers that are killed and start again: limits hold, since the next server waits for the workers of the one before. */

import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { newSeed, Random } from "../fuzz/random.ts";
import { CuttingProxy } from "../kit/cutting_proxy.ts";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe } from "../kit/sd_process.ts";
import { SdWork, WORK_SECRET } from "../kit/sd_work.ts";
import { TaskFolder } from "../kit/task_folder.ts";

const IS_LONG = Deno.env.get("SD_LONG") === "1";

/** Two runs at once show in the book: a folder is there while one goes on. */
const TASKS = `
  const write = (file, text) => Deno.writeTextFileSync(file, text + "\\n", { append: true });
  export async function alone({ folder, name, ms }) {
    const book = folder + "/book.txt";
    try {
      Deno.mkdirSync(folder + "/lock");
    } catch {
      write(book, "two at once");
    }
    write(book, "start " + name);
    await new Promise((go) => setTimeout(go, ms));
    write(book, "end " + name);
    Deno.removeSync(folder + "/lock");
    return name;
  }
  export const limited = Object.assign((args) => alone(args), { options: { limit: 1 } });
`;

class Scene implements Disposable {
  readonly #folder = new TaskFolder({ "tasks.js": TASKS, "book/book.txt": "" });
  readonly book = this.#folder.file("book");

  serve(port = 0): Promise<SdServe> {
    const env = { SD_DATA: this.#folder.file("data"), SD_POOL_SECRET: WORK_SECRET };
    return SdServe.start(["--workers", "0"], { port, env });
  }

  work(server: string): SdWork {
    const file = this.#folder.file("tasks.js");
    return new SdWork(server, [file, "--workers", "4", `--allow-write=${this.book}`]);
  }

  task(name: string, ms: number, task: object, op = "alone"): object {
    return { op, folder: this.book, name, ms, task: { id: name, wait: false, ...task } };
  }

  lines(): string[] {
    return Deno.readTextFileSync(`${this.book}/book.txt`).split("\n").filter((line) => line !== "");
  }

  async until(line: string): Promise<void> {
    while (!this.lines().includes(line)) await delay(10);
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

for (const limit of ["key", "op"]) {
  Deno.test(`tasks of one ${limit} with limit 1 are never two at once while their server is killed again and again`, async () => {
    const seed = newSeed();
    const random = new Random(seed);
    using scene = new Scene();
    const tasks = IS_LONG ? 400 : 25;
    const kills = IS_LONG ? 100 : 3;
    let serve = await scene.serve();
    const { port } = serve.address;
    await using _first = scene.work(serve.server);
    await using _second = scene.work(serve.server);
    await _first.says("connected");
    await _second.says("connected");
    using client = await RawClient.connect(serve.address);
    for (let n = 0; n < tasks; n++) {
      const [options, op] = limit === "key" ? [{ key: "k", limit: 1 }] : [{}, "limited"];
      await client.ask(scene.task(`t${n}`, random.int(20, 200), options, op));
    }
    for (let kill = 0; kill < kills; kill++) {
      await delay(random.int(1, 700));
      await serve.stop("SIGKILL");
      serve = await scene.serve(port);
    }
    using last = await RawClient.connect(serve.address);
    for (let n = 0; n < tasks; n++) {
      const { status, error } = await last.ask({ cmd: "wait", task_id: `t${n}` });
      assertEquals([n, status, error], [n, "completed", undefined], scene.lines().join("\n"));
    }
    await serve[Symbol.asyncDispose]();
    const isBroken = scene.lines().includes("two at once");
    assert(!isBroken, `SD_SEED=${seed}\n${scene.lines().join("\n")}`);
  });
}

Deno.test("after a takeover tasks with a limit wait for the workers of the server before, and others start", async () => {
  using scene = new Scene();
  const first = await scene.serve();
  await using proxy = new CuttingProxy(first.address);
  await using away = scene.work(`127.0.0.1:${proxy.port}`);
  await away.says("connected");
  using client = await RawClient.connect(first.address);
  await client.ask(scene.task("long", 6000, { key: "k", limit: 1 }));
  await scene.until("start long");
  await client.ask(scene.task("next", 10, { key: "k", limit: 1 }));
  await proxy.leave();
  await first.stop("SIGKILL");
  await using second = await scene.serve(first.address.port);
  await using _here = scene.work(second.server);
  using again = await RawClient.connect(second.address);
  await again.ask({ op: "square", n: 3, task: { id: "free", wait: false } });
  assertEquals((await again.ask({ cmd: "wait", task_id: "free" })).result, 9);
  for (const id of ["long", "next"]) {
    const { code } = await again.ask({ cmd: "why", task_id: id });
    assertEquals(code, "takeover");
  }
  proxy.comeBack();
  await away.says("connected", 2);
  const { code } = await again.ask({ cmd: "why", task_id: "long" });
  assert(code === "running" || code === "final", code);
  assertEquals((await again.ask({ cmd: "wait", task_id: "next" })).result, "next");
  assertEquals(scene.lines(), ["start long", "end long", "start next", "end next"]);
});

Deno.test("a server that was stopped leaves no notes: nothing waits when it starts again", async () => {
  using scene = new Scene();
  const first = await scene.serve();
  {
    await using work = scene.work(first.server);
    await work.says("connected");
    using client = await RawClient.connect(first.address);
    await client.ask(scene.task("a", 10, { key: "k", limit: 1 }));
    assertEquals((await client.ask({ cmd: "wait", task_id: "a" })).result, "a");
    assertEquals(await first.stop(), 0);
  }
  await using second = await scene.serve(first.address.port);
  using client = await RawClient.connect(second.address);
  await client.ask(scene.task("b", 10, { key: "k", limit: 1 }));
  const { code } = await client.ask({ cmd: "why", task_id: "b" });
  assertEquals(code, "no_worker");
  assert(!second.lines.some((line) => line.includes("limits wait for")));
});
