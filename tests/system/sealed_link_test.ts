/**
 * A work link with a man in the middle, such as task code that has got hold of the socket of its process:
 * it reads no argument and no result, adds no message, and is noticed.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { type PoolEvent, PoolKeeper } from "../../cli/pool/pool_keeper.ts";
import { BUILTIN_WORK } from "../../protocol/pool_start.ts";
import { WORK_VERSION } from "../../protocol/work_message.ts";
import { RawClient } from "../kit/raw_client.ts";
import { TestServer } from "../kit/test_server.ts";

const PATIENCE_MS = 60_000;
const FORGED = new TextEncoder().encode(
  Array.from({ length: 50 }, (_, k) => `{"lease":${k + 1},"result":"FORGED"}\n`).join(""),
);

/** Carries bytes between worker processes and a server, and keeps a copy of them. */
class Middleman implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #server: Deno.ConnectOptions;
  readonly #conns: Deno.Conn[] = [];
  seen = "";
  links = 0;
  /** Bytes to take from the server's stream, and to add to the pool's stream. */
  steal = 0;
  putIn: Uint8Array | undefined;

  constructor(server: Deno.ConnectOptions) {
    this.#server = server;
    void this.#accept();
  }

  get address(): { hostname: string; port: number } {
    return this.#listener.addr as Deno.NetAddr;
  }

  async #accept(): Promise<void> {
    try {
      for await (const conn of this.#listener) {
        this.links++;
        const other = await Deno.connect(this.#server);
        this.#conns.push(conn, other);
        void this.#carry(conn, other, (bytes) => {
          const put = this.putIn;
          this.putIn = undefined;
          return put ? new Uint8Array([...put, ...bytes]) : bytes;
        });
        void this.#carry(other, conn, (bytes) => {
          const stolen = Math.min(this.steal, bytes.length);
          this.steal -= stolen;
          return bytes.slice(stolen);
        });
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #carry(from: Deno.Conn, to: Deno.Conn, change: (bytes: Uint8Array) => Uint8Array) {
    const buffer = new Uint8Array(65_536);
    try {
      for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
        this.seen += new TextDecoder("latin1").decode(buffer.subarray(0, n));
        const bytes = change(buffer.slice(0, n));
        for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
      }
    } catch {
      // One of the two sides is closed; the other one is closed below.
    }
    for (const conn of [from, to]) closeQuietly(conn);
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    this.#conns.forEach(closeQuietly);
  }
}

function closeQuietly(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** A server whose only worker process, as `sd work` starts it, connects through a middleman. */
class Scene implements AsyncDisposable {
  readonly events: PoolEvent[] = [];

  private constructor(
    readonly server: TestServer,
    readonly middle: Middleman,
    readonly keeper: PoolKeeper,
    readonly client: RawClient,
  ) {}

  static async start(reconnect: boolean): Promise<Scene> {
    const server = await TestServer.start({ workers: 0 });
    const middle = new Middleman(server.address);
    const events: PoolEvent[] = [];
    const start = { server: middle.address, secret: server.secret, workers: 2, ...BUILTIN_WORK };
    const keeper = new PoolKeeper({
      start: { ...start, reconnect, pool: "elsewhere" },
      onEvent: (event) => events.push(event),
    });
    keeper.start();
    const scene = new Scene(server, middle, keeper, await server.connect());
    await scene.until(async () => (await scene.client.ask({ cmd: "ops" })).ops.length > 0);
    return scene;
  }

  async until(is: () => boolean | Promise<boolean>): Promise<void> {
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(10)) {
      if (await is()) return;
    }
    throw new Error(`waited in vain: ${this.server.lines.join("\n")}`);
  }

  warning(): string | undefined {
    return this.server.lines.find((line) => line.startsWith("[security]"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await this.keeper.stop(0);
    this.middle[Symbol.dispose]();
    await this.server[Symbol.asyncDispose]();
  }
}

Deno.test("arguments, results and the pool's secret are not readable on a work link", async () => {
  await using scene = await Scene.start(true);
  const data = "an argument that nobody else shall read";
  await scene.client.ask({ op: "echo", data });
  assertEquals((await scene.client.object()).result, data);
  const { seen } = scene.middle;
  assert(seen.length > 500);
  for (const secret of [data, scene.server.secret, "echo", "lease"]) {
    assert(!seen.includes(secret), secret);
  }
});

for (const reconnect of [false, true]) {
  const whose = reconnect ? "sd work" : "the server's own";
  Deno.test(`bytes put into the link of ${whose} are no result, and the tasks run again`, async () => {
    await using scene = await Scene.start(reconnect);
    const { task_id } = await scene.client.ask({ op: "sleep", ms: 1500 });
    await scene.until(async () =>
      (await scene.client.ask({ cmd: "get", task_id })).status === "running"
    );
    scene.middle.putIn = FORGED;
    await scene.client.ask({ op: "echo", data: 1, task: { wait: false } });
    assertEquals((await scene.client.object()).result, 1500);
    const warning = scene.warning();
    assertMatch(warning ?? "", /worker process \d+ has reached for its work link/);
    assertStringIncludes(warning!, `sleep ${task_id}`);
    assert(scene.middle.links > 1);
  });

  Deno.test(`bytes taken from the link of ${whose} are noticed, and the tasks run again`, async () => {
    await using scene = await Scene.start(reconnect);
    scene.middle.steal = 30;
    await scene.client.ask({ op: "echo", data: 7 });
    // The next bytes show that some are missing.
    await scene.client.ask({ op: "echo", data: 8 });
    const results = [await scene.client.object(), await scene.client.object()];
    assertEquals(results.map(({ result }) => result).sort(), [7, 8]);
    assertMatch(scene.warning() ?? "", /suspects: echo /);
    assert(scene.middle.links > 1);
  });
}

Deno.test("a foreign worker can connect without a seal, but not without the secret", async () => {
  await using server = await TestServer.start({ workers: 0 });
  const hello = { cmd: "work", version: WORK_VERSION, workers: 1, credit: 1, pid: 1 };
  const ops = [{ op: "mine" }];
  using worker = await server.connect();
  assertEquals((await worker.ask({ ...hello, secret: server.secret, ops })).work, "ok");
  using stranger = await server.connect();
  assertEquals((await stranger.ask({ ...hello, secret: "x", ops })).error.code, "unauthorized");
});

Deno.test("a seal with another secret is refused with the reason", async () => {
  await using server = await TestServer.start({ workers: 0 });
  const events: PoolEvent[] = [];
  const keeper = new PoolKeeper({
    start: {
      server: server.address,
      secret: "another secret",
      workers: 1,
      ...BUILTIN_WORK,
      reconnect: true,
    },
    onEvent: (event) => events.push(event),
  });
  keeper.start();
  try {
    for (let i = 0; i < 6000 && !events.some(({ type }) => type === "exited"); i++) await delay(10);
    const ended = events.find((event) => event.type === "exited");
    // As for any worker process that does not know the secret.
    assertEquals(ended?.code, 4);
  } finally {
    await keeper.stop(0);
  }
});
