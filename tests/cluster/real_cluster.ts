/** Servers of a cluster as processes of their own, on a real store, and what can happen to them. */

import { deadline } from "@std/async/deadline";
import { RawClient } from "../kit/raw_client.ts";
import { freePort } from "../kit/private_service.ts";
import { SdServe } from "../kit/sd_process.ts";
import { until } from "../kit/until.ts";
import type { Address } from "./cluster_load.ts";

/** Longest wait for the answer of a server that may be frozen, in ms. */
const ANSWER_MS = 1000;

export interface RealClusterOptions {
  /** The URL of the engine; a function if each server has its own way to it. */
  readonly engine: string | ((name: string) => string);
  /** Number of servers; default: 3. */
  readonly count?: number;
  /** Further arguments of each server, or of one by its name; default: one worker. */
  readonly args?: readonly string[] | ((name: string) => readonly string[]);
  readonly env?: Record<string, string>;
}

export interface RealServer {
  readonly name: string;
  readonly address: Address;
  process: SdServe;
  /** It is stopped by a signal, or dead. */
  isAway: boolean;
}

export class RealCluster implements AsyncDisposable {
  readonly servers: RealServer[] = [];
  readonly #options: RealClusterOptions;

  private constructor(options: RealClusterOptions) {
    this.#options = options;
  }

  static async start(options: RealClusterOptions): Promise<RealCluster> {
    const cluster = new RealCluster(options);
    const names = ["a", "b", "c", "d", "e"].slice(0, options.count ?? 3);
    const started = await Promise.allSettled(names.map((name) => cluster.add(name)));
    const failed = started.find((one) => one.status === "rejected");
    if (failed) {
      await cluster[Symbol.asyncDispose]();
      throw failed.reason;
    }
    await cluster.leader();
    return cluster;
  }

  /** Starts another server. */
  async add(name: string): Promise<void> {
    const port = freePort();
    const process = await this.#process(name, port);
    this.servers.push({ name, address: { hostname: "127.0.0.1", port }, process, isAway: false });
  }

  #process(name: string, port: number): Promise<SdServe> {
    const { engine, args = ["--workers", "1"], env = {} } = this.#options;
    const url = typeof engine === "string" ? engine : engine(name);
    const more = typeof args === "function" ? args(name) : args;
    return SdServe.start(["--engine", url, "--name", name, ...more], { port, env });
  }

  /** Where servers are that neither are dead nor stopped. */
  readonly addresses = (): Address[] =>
    this.servers.filter(({ isAway }) => !isAway).map(({ address }) => address);

  /** The role of a server; `undefined` if it does not answer. */
  async role({ address }: RealServer): Promise<string | undefined> {
    try {
      using client = await deadline(RawClient.connect(address), ANSWER_MS);
      return (await deadline(client.ask({ cmd: "health" }), ANSWER_MS)).role;
    } catch {
      return undefined;
    }
  }

  /** The server that leads, as soon as there is one. */
  leader(): Promise<RealServer> {
    return until("a leader", async () => {
      for (const server of this.servers) {
        if (!server.isAway && await this.role(server) === "leads") return server;
      }
      return undefined;
    });
  }

  signal(server: RealServer, signal: Deno.Signal): void {
    server.isAway = signal !== "SIGCONT";
    server.process.child.kill(signal);
  }

  /** Starts a server again that has ended, on its port. */
  async restart(server: RealServer): Promise<void> {
    await server.process.child.status;
    await server.process[Symbol.asyncDispose]();
    server.process = await this.#process(server.name, server.address.port);
    server.isAway = false;
  }

  get log(): string {
    return this.servers.map(({ name, process }) =>
      process.lines.map((line) => `${name} ${line}`).join("\n")
    ).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { process } of this.servers) {
      try {
        process.child.kill("SIGCONT");
      } catch (error) {
        // It has ended already.
        if (!(error instanceof TypeError)) throw error;
      }
    }
    await Promise.all(this.servers.map(({ process }) => process[Symbol.asyncDispose]()));
  }
}
