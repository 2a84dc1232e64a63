/**
 * Tasks of 50 clients over three servers that share a PostgreSQL, through each load balancer: each result once, at its own
 * client, while leaders are killed and all servers are replaced one after the other.
 */

import { assert, assertEquals } from "@std/assert";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { connect } from "../../client/mod.ts";
import { needing } from "../kit/needs.ts";
import { freePort } from "../kit/private_service.ts";
import { SdServe } from "../kit/sd_process.ts";
import { OwnSchema, withPostgres } from "../kit/services.ts";
import { until } from "../kit/until.ts";
import { Balancer, HAS_BALANCERS, type Kind, KINDS } from "./balancer.ts";
import { Load } from "./load.ts";

const withBalancers = needing("HAProxy and nginx", HAS_BALANCERS);
const SECRET = "s".repeat(64);
/** Of each fault. */
const TIMES = Deno.env.get("SD_LONG") === "1" ? 10 : 2;

/** Three servers, and two worker processes that come through the balancer. */
class Cluster implements AsyncDisposable {
  readonly ports = [freePort(), freePort(), freePort()];
  readonly #servers: (SdServe | undefined)[] = [];
  readonly #workers: Deno.ChildProcess[] = [];
  readonly #schema = new OwnSchema();
  #balancer: Balancer | undefined;

  static async start(kind: Kind): Promise<Cluster> {
    const cluster = new Cluster();
    try {
      await Promise.all(cluster.ports.map((_, i) => cluster.start(i)));
      cluster.#balancer = await Balancer.start(kind, { servers: cluster.ports });
      for (let i = 0; i < 2; i++) cluster.#work();
      await using client = await connect(cluster.address);
      await until("workers", async () => (await client.stats()).workers.workers === 2);
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  get address(): { hostname: string; port: number } {
    return this.#balancer!.address;
  }

  async start(i: number): Promise<void> {
    const args = ["--engine", this.#schema.url, "--workers", "0", "--name", `s${i}`];
    this.#servers[i] = await SdServe.start([...args, "--drain-delay", "600ms"], {
      port: this.ports[i]!,
      env: { SD_POOL_SECRET: SECRET },
    });
  }

  async stop(i: number, signal: Deno.Signal): Promise<void> {
    const code = await this.#servers[i]!.stop(signal);
    assertEquals(code, signal === "SIGKILL" ? 137 : 0, this.#servers[i]!.lines.join("\n"));
  }

  /** The number of the server that leads. */
  async leader(): Promise<number> {
    return await until("a leader", async () => {
      for (const [i, port] of this.ports.entries()) {
        try {
          await using client = await connect({ port }, { reconnectMs: 0 });
          if ((await client.health()).role === "leads") return i;
        } catch (error) {
          if (!(error instanceof Error)) throw error;
        }
      }
      return undefined;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const worker of this.#workers) worker.kill("SIGTERM");
    await Promise.all(this.#workers.map(({ status }) => status));
    await Promise.all(this.#servers.map((server) => server?.[Symbol.asyncDispose]()));
    await this.#balancer?.[Symbol.asyncDispose]();
    await this.#schema[Symbol.asyncDispose]();
  }

  #work(): void {
    const server = `127.0.0.1:${this.#balancer!.port}`;
    const { path, args } = selfCommand(["work", "--workers", "1", "--server", server]);
    const env = { SD_POOL_SECRET: SECRET };
    const options = { args, env, stdin: "null", stdout: "null", stderr: "null" } as const;
    this.#workers.push(new Deno.Command(path, options).spawn());
  }
}

for (const kind of KINDS) {
  Deno.test({
    ...withBalancers(`${kind}: leaders are killed, and every server is replaced, under load`),
    ignore: withBalancers("").ignore || withPostgres("").ignore,
    async fn() {
      await using cluster = await Cluster.start(kind);
      const load = new Load(cluster.address, kind);
      for (let i = 0; i < TIMES; i++) {
        await load.more(200);
        const leader = await cluster.leader();
        await cluster.stop(leader, "SIGKILL");
        await load.more(200);
        await cluster.start(leader);
        for (const server of cluster.ports.keys()) {
          await load.more(200);
          await cluster.stop(server, "SIGTERM");
          await cluster.start(server);
        }
      }
      const count = await load.finish();
      assert(load.losses > 0);
      await using client = await connect(cluster.address);
      const { tasks } = await client.stats();
      assertEquals([tasks.completed, tasks.failed, tasks.queued], [count, 0, 0]);
    },
  });
}
