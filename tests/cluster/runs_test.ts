/**
 * Claims about runs on the servers of a cluster, and on worker processes of other machines, while servers and worker
 * processes end or freeze: a long run starts once, and tasks with `limit: 1` never run two at a time.
 */

import { assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { RawClient } from "../kit/raw_client.ts";
import { SdWork, WORK_SECRET } from "../kit/sd_work.ts";
import { OwnPostgres, OwnRedis, withOwnPostgres, withOwnRedis } from "../kit/services.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { until } from "../kit/until.ts";
import { RealCluster, type RealServer } from "./real_cluster.ts";

const IS_LONG = Deno.env.get("SD_LONG") !== undefined;

/** A run writes a line at its start and end, and every 10 ms between. */
const TASKS = `
  export async function step({ book, name, ms }) {
    const run = crypto.randomUUID();
    const write = (what) =>
      Deno.writeTextFileSync(book, [what, name, run].join(" ") + "\\n", { append: true });
    write("start");
    for (const end = Date.now() + ms; Date.now() < end;) {
      await new Promise((go) => setTimeout(go, 10));
      write("runs");
    }
    write("end");
    return name;
  }
`;

/** Three servers on a store, and what their tasks have written. */
class Scene implements AsyncDisposable {
  readonly #folder = new TaskFolder({ "tasks.js": TASKS });
  readonly book = this.#folder.file("book.txt");
  readonly #works: SdWork[] = [];
  #cluster: RealCluster | undefined;

  /** `workers`: of the first server, which leads; `others`: of the others. */
  static async start(
    engine: string,
    { workers, others = workers }: { workers: number; others?: number },
  ): Promise<Scene> {
    const scene = new Scene();
    Deno.writeTextFileSync(scene.book, "");
    const args = (name: string) => {
      const count = name === "a" ? workers : others;
      return ["--workers", String(count), "--grace", "2s", ...count > 0 ? scene.#taskArgs : []];
    };
    const env = { SD_POOL_SECRET: WORK_SECRET };
    scene.#cluster = await RealCluster.start({ engine, args, env, count: 1 });
    await Promise.all(["b", "c"].map((name) => scene.cluster.add(name)));
    return scene;
  }

  get cluster(): RealCluster {
    return this.#cluster!;
  }

  get #taskArgs(): string[] {
    return [this.#folder.file("tasks.js"), `--allow-write=${this.book}`];
  }

  /** A worker process of another machine, which knows these servers. */
  async work(known = this.cluster.servers): Promise<SdWork> {
    const servers = known.map(({ address: { port } }) => `127.0.0.1:${port}`).join(",");
    const work = new SdWork(servers, ["--workers", "2", ...this.#taskArgs]);
    this.#works.push(work);
    await work.says("connected");
    return work;
  }

  async submit(name: string, ms: number, task: object = {}): Promise<void> {
    using client = await this.client();
    await client.ask({ op: "step", book: this.book, name, ms, task: { id: name, ...task } });
  }

  /** A connection to a server that is there. */
  client(): Promise<RawClient> {
    return RawClient.connect(this.cluster.addresses().at(-1)!);
  }

  /** The end of a task, asked again by the rules of the protocol. */
  endOf(id: string): Promise<string> {
    return until(`the end of ${id}`, async () => {
      try {
        using client = await this.client();
        const { status, result } = await client.ask({ cmd: "wait", task_id: id });
        return status === "completed" && `${status} ${result}`;
      } catch {
        return undefined;
      }
    });
  }

  lines(): string[] {
    return Deno.readTextFileSync(this.book).split("\n").filter((line) => line !== "");
  }

  starts(name?: string): number {
    return this.lines().filter((line) =>
      line.startsWith(name === undefined ? "start " : `start ${name} `)
    ).length;
  }

  /** Runs during which another one has written. */
  together(): string[] {
    const spans = new Map<string, { first: number; last: number }>();
    const runs = this.lines().map((line) => line.slice(line.indexOf(" ") + 1));
    runs.forEach((run, at) => {
      const span = spans.get(run);
      if (span) span.last = at;
      else spans.set(run, { first: at, last: at });
    });
    return [...spans].filter(([run, { first, last }]) =>
      runs.slice(first, last).some((other) => other !== run)
    ).map(([run]) => run);
  }

  /** Another server leads. */
  async successor(old: RealServer): Promise<void> {
    await until("another leader", async () => (await this.cluster.leader()).name !== old.name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const work of this.#works) await work[Symbol.asyncDispose]();
    await this.#cluster?.[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

async function longRunStartsOnce(engine: string): Promise<void> {
  await using scene = await Scene.start(engine, { workers: 0 });
  await scene.work();
  await scene.submit("long", IS_LONG ? 60_000 : 20_000);
  await until("its start", () => scene.starts() > 0);
  // The server notes runs that last.
  await delay(2500);
  for (const signal of ["SIGKILL", "SIGTERM", "SIGSTOP"] as const) {
    const leader = await scene.cluster.leader();
    scene.cluster.signal(leader, signal);
    await scene.successor(leader);
    if (signal === "SIGSTOP") scene.cluster.signal(leader, "SIGCONT");
    else await scene.cluster.restart(leader);
  }
  assertEquals(await scene.endOf("long"), "completed long");
  assertEquals(scene.starts(), 1, scene.cluster.log);
}

async function limitHoldsWhenLeadersDie(engine: string): Promise<void> {
  await using scene = await Scene.start(engine, { workers: 0 });
  await scene.work();
  await scene.work();
  const names: string[] = [];
  for (let kill = 0; kill < (IS_LONG ? 10 : 3); kill++) {
    for (let i = 0; i < 20; i++) {
      names.push(`${kill}-${i}`);
      await scene.submit(names.at(-1)!, 50, { key: "k", limit: 1 });
    }
    await until("some starts", () => scene.starts() > 20 * kill);
    const leader = await scene.cluster.leader();
    scene.cluster.signal(leader, "SIGKILL");
    await scene.successor(leader);
    await scene.cluster.restart(leader);
  }
  for (const name of names) assertEquals(await scene.endOf(name), `completed ${name}`);
  assertEquals(scene.together(), [], scene.cluster.log);
}

/** A worker process that is frozen keeps its turn, and one that is killed gives it to another. */
async function limitHoldsWhenWorkersDie(engine: string): Promise<void> {
  await using scene = await Scene.start(engine, { workers: 0 });
  await scene.work();
  await scene.work();
  using client = await scene.client();
  const names = Array.from({ length: 40 }, (_, i) => `t${i}`);
  for (const name of names) await scene.submit(name, 100, { key: "k", limit: 1 });
  for (const signal of ["SIGSTOP", "SIGKILL"] as const) {
    const before = scene.starts();
    await until("some starts", () => scene.starts() > before + 3);
    const { pools } = await client.ask({ cmd: "stats" });
    const { pid } = pools.find(({ held }: { held: number }) => held > 0) ?? pools[0];
    Deno.kill(pid, signal);
    await delay(1500);
    if (signal === "SIGSTOP") Deno.kill(pid, "SIGCONT");
  }
  for (const name of names) assertEquals(await scene.endOf(name), `completed ${name}`);
  assertEquals(scene.together(), [], scene.cluster.log);
}

/** The leader runs a task by itself when it is frozen; its worker process is not, and goes on. */
async function ownRunsCount(engine: string): Promise<void> {
  await using scene = await Scene.start(engine, { workers: 1, others: 0 });
  const leader = await scene.cluster.leader();
  // Longer than the others need to notice: a result that went to a frozen server would be lost.
  await scene.submit("one", 14_000, { key: "k", limit: 1 });
  await scene.submit("two", 50, { key: "k", limit: 1 });
  await until("a start", () => scene.starts() > 0);
  await scene.work(scene.cluster.servers.filter((server) => server !== leader));
  await delay(2500);
  scene.cluster.signal(leader, "SIGSTOP");
  await scene.successor(leader);
  await delay(1000);
  scene.cluster.signal(leader, "SIGCONT");
  for (const name of ["one", "two"]) assertEquals(await scene.endOf(name), `completed ${name}`);
  assertEquals(scene.together(), [], scene.cluster.log);
  assertEquals(scene.starts("one"), 1, scene.cluster.log);
}

Deno.test(
  withOwnPostgres("a long run on another machine starts once while three leaders end or freeze"),
  async () => {
    await using database = await OwnPostgres.start();
    await longRunStartsOnce(database.url);
  },
);

Deno.test(withOwnPostgres("limit 1 holds while leaders are killed"), async () => {
  await using database = await OwnPostgres.start();
  await limitHoldsWhenLeadersDie(database.url);
});

Deno.test(
  withOwnRedis("limit 1 holds while a worker process is frozen and another is killed"),
  async () => {
    await using store = await OwnRedis.start({ appendfsync: "always" });
    await limitHoldsWhenWorkersDie(store.url);
  },
);

Deno.test(
  withOwnPostgres("what the workers of a frozen leader run starts nowhere else"),
  async () => {
    await using database = await OwnPostgres.start();
    await ownRunsCount(database.url);
  },
);
