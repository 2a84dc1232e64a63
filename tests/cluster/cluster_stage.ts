/** Servers of one cluster in one process, on a fake store: for tests of relays, roles and takeovers without a database. */

import { BUILTIN_WORK } from "../../protocol/pool_start.ts";
import { systemClock } from "../../server/clock.ts";
import { type ClusterServer, startClusterServer } from "../../server/cluster_server.ts";
import type { TlsFiles } from "../../server/config.ts";
import { DEFAULT_LIMITS, type ServerLimits } from "../../server/limits.ts";
import type { Log } from "../../server/log.ts";
import { RawClient } from "../kit/raw_client.ts";
import { until } from "../kit/until.ts";
import { FakeCluster, type FakeSharedStore, openFakeLead } from "./fake_shared_store.ts";

export interface StageOptions {
  readonly workers?: number;
  readonly tokens?: readonly string[];
  readonly tls?: TlsFiles;
  readonly limits?: Partial<ServerLimits>;
}

/** A server, and what the test can do to it. */
export interface StagedServer {
  readonly name: string;
  readonly server: ClusterServer;
  readonly store: FakeSharedStore;
  readonly lines: readonly string[];
}

export class ClusterStage implements AsyncDisposable {
  readonly cluster = new FakeCluster();
  readonly servers: StagedServer[] = [];
  readonly #stopped = new Set<StagedServer>();

  /** Starts `count` servers, the first of which leads. */
  static async start(count: number, options: StageOptions = {}): Promise<ClusterStage> {
    const stage = new ClusterStage();
    for (let i = 0; i < count; i++) {
      await stage.add(options);
      if (i === 0) await stage.leader();
    }
    return stage;
  }

  async add(options: StageOptions = {}): Promise<StagedServer> {
    const { workers = 0, tokens = [], tls } = options;
    const name = "abcdef"[this.servers.length]!;
    const store = this.cluster.join();
    const lines: string[] = [];
    const line = (room: string, message: string) => void lines.push(`[${room}] ${message}`);
    const log: Log = {
      info: line,
      warn: line,
      error: (room, message) => line(room, `ERROR ${message}`),
      bug: (room, error) => line(room, `BUG ${error instanceof Error ? error.stack : error}`),
    };
    const server = await startClusterServer({
      config: { hostname: "127.0.0.1", port: 0, workers, work: BUILTIN_WORK, tokens, tls },
      store,
      openEngine: openFakeLead,
      secret: store.secret,
      limits: { ...DEFAULT_LIMITS, ...options.limits },
      clock: systemClock,
      log,
      version: "0.0.0-test",
      name,
      machine: "here",
      exit: (code) => line("test", `BUG exit ${code}`),
    });
    const staged = { name, server, store, lines };
    this.servers.push(staged);
    await server.workersStarted;
    return staged;
  }

  /** The server that leads, as soon as there is one. */
  leader(): Promise<StagedServer> {
    return until(
      "a leader",
      () => this.servers.find(({ server }) => server.roster.role === "leads"),
    );
  }

  /** A server that follows. */
  follower(): StagedServer {
    const found = this.servers.find((one) =>
      one.server.roster.role === "follows" && !this.#stopped.has(one)
    );
    if (!found) throw new Error("no server follows");
    return found;
  }

  connect({ server }: StagedServer): Promise<RawClient> {
    return RawClient.connect(server.address);
  }

  async stop(staged: StagedServer, graceMs = 2000): Promise<void> {
    this.#stopped.add(staged);
    await staged.server.stop(graceMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { store } of this.servers) store.isCut = false;
    // The leader last, so that none takes over on its way out.
    const followFirst = [...this.servers].sort((a, b) =>
      Number(a.server.roster.role === "leads") - Number(b.server.roster.role === "leads")
    );
    for (const { server } of followFirst) await server.stop(0);
    await this.cluster[Symbol.asyncDispose]();
    const bugs = this.servers.flatMap(({ name, lines }) =>
      lines.filter((line) => line.includes("BUG") || line.startsWith("[watchdog]"))
        .map((line) => `${name}: ${line}`)
    );
    if (bugs.length > 0) throw new Error(`servers met errors of their own:\n${bugs.join("\n")}`);
  }
}
