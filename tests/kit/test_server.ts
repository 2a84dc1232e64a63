/**
 * A real server for a test: its own port, its own worker process, its log kept for the test to read. As a program it is a
 * server in a process of its own, for tests that stop processes: `test_server.ts LEASE_MS`, with one worker. Then its first
 * line is the port; it ends with its stdin, and writes its log.
 */

import { IpRanges } from "../../net/ip_address.ts";
import { BUILTIN_WORK, type PoolWork } from "../../protocol/pool_start.ts";
import { readIntakes } from "../../server/bridge/intake_url.ts";
import { type Clock, systemClock } from "../../server/clock.ts";
import type { EndedSink } from "../../server/engine/engine.ts";
import { openMemoryEngine } from "../../server/engine/memory/memory.ts";
import { openEngine } from "../../server/engine/open.ts";
import { DEFAULT_LIMITS, type ServerLimits } from "../../server/limits.ts";
import type { TlsFiles } from "../../server/config.ts";
import type { Log } from "../../server/log.ts";
import { type Server, type ServerOptions, startServer } from "../../server/server.ts";
import { newPoolSecret } from "../../server/pool_secret.ts";
import { RawClient } from "./raw_client.ts";

type OpenEngine = ServerOptions["openEngine"];

/** Opens a memory engine that servers of one test have one after the other; each hears of the ends in its own time. */
export function sharedEngine(): OpenEngine {
  let sink: EndedSink = () => {};
  const engine = openMemoryEngine({ ended: (tasks) => sink(tasks) });
  return (ended) => {
    sink = ended;
    return engine;
  };
}

export interface TestServerOptions {
  /** Opens its engine; default: an empty one in memory. */
  readonly engine?: OpenEngine;
  readonly workers?: number;
  readonly leaseMs?: number;
  readonly clock?: Clock;
  readonly graceMs?: number;
  readonly tokens?: readonly string[];
  readonly tls?: TlsFiles;
  /** As `--proxy-from`. */
  readonly proxyFrom?: string;
  /** Of the pool; default: a new one. */
  readonly secret?: string;
  readonly limits?: Partial<ServerLimits>;
  /** Tasks may stand still: the test is about that. */
  readonly mayStandStill?: boolean;
  /** Stands in errors that the test itself causes: its log can have them. */
  readonly mayLog?: string;
  /** Its `--intake` URLs. */
  readonly intakes?: readonly string[];
  /** What the workers run beside the built-in ops. */
  readonly work?: Partial<PoolWork>;
}

export class TestServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #graceMs: number;
  readonly #mayStandStill: boolean;
  readonly #mayLog: string | undefined;

  private constructor(
    server: Server,
    readonly secret: string,
    readonly lines: readonly string[],
    options: { graceMs: number; mayStandStill: boolean; mayLog: string | undefined },
  ) {
    this.#server = server;
    this.#graceMs = options.graceMs;
    this.#mayStandStill = options.mayStandStill;
    this.#mayLog = options.mayLog;
  }

  /** Starts one with two workers, and waits for them. */
  static async start(options: TestServerOptions = {}): Promise<TestServer> {
    const { workers = 2, leaseMs, graceMs = 2000, tokens = [], tls } = options;
    const { mayStandStill = false, mayLog } = options;
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const work = { ...BUILTIN_WORK, ...options.work };
    const { proxyFrom } = options;
    const proxies = proxyFrom === undefined ? undefined : IpRanges.parse(proxyFrom, "the test");
    const lines: string[] = [];
    const line = (room: string, message: string) => void lines.push(`[${room}] ${message}`);
    const log: Log = {
      info: line,
      warn: line,
      error: (room, message) => line(room, `ERROR ${message}`),
      bug: (room, error) => line(room, `BUG ${error instanceof Error ? error.stack : error}`),
    };
    const { secret = newPoolSecret() } = options;
    const server = await startServer({
      config: { hostname: "127.0.0.1", port: 0, workers, work, tokens, tls, proxies },
      intakes: readIntakes(options.intakes ?? []),
      openEngine: options.engine ?? ((ended) => openEngine("memory:", { ...limits, ended })),
      secret,
      limits,
      clock: options.clock ?? systemClock,
      log,
      version: "0.0.0-test",
      ...(leaseMs === undefined ? {} : { leaseMs }),
    });
    try {
      await server.workersStarted;
    } catch (error) {
      await server.stop(0);
      throw error;
    }
    return new TestServer(server, secret, lines, { graceMs, mayStandStill, mayLog });
  }

  get address(): { hostname: string; port: number } {
    return { hostname: this.#server.address.hostname, port: this.#server.address.port };
  }

  connect(): Promise<RawClient> {
    return RawClient.connect(this.address);
  }

  async stop(graceMs = this.#graceMs, drainDelayMs = 0): Promise<void> {
    await this.#server.stop(graceMs, drainDelayMs);
    const isFault = (line: string) =>
      line.includes("BUG") || (line.startsWith("[watchdog]") && !this.#mayStandStill);
    const bugs = this.lines.filter((line) =>
      isFault(line) && !(this.#mayLog && line.includes(this.#mayLog))
    );
    if (bugs.length > 0) throw new Error(`the server met errors of its own:\n${bugs.join("\n")}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

if (import.meta.main) {
  const server = await TestServer.start({ workers: 1, leaseMs: Number(Deno.args[0]) });
  const write = (text: string) => Deno.stdout.write(new TextEncoder().encode(text));
  await write(`${server.address.port}\n`);
  await Deno.stdin.read(new Uint8Array(1));
  await server.stop(0);
  for (const line of server.lines) await write(`${line}\n`);
}
