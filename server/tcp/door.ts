/**
 * The TCP door: accepts connections up to the limit, makes the TLS handshake, and passes each to the server of
 * connections behind it. It is open for the life of the process; what is behind it can change. `server.ts` makes one door.
 */

import type { IpRanges } from "../../net/ip_address.ts";
import { closeQuietly, logUnlessLost } from "../../net/lost_connection.ts";
import type { Wire } from "../../net/wire.ts";
import { SdError } from "../../protocol/errors.ts";
import type { ServerHealth } from "../../protocol/task.ts";
import type { TlsFiles } from "../config.ts";
import { MAX_OWN_LINKS, RETRY_AFTER_MS, type ServerLimits } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { Acceptor, type Listeners, Refusals } from "./socket/acceptor.ts";
import type { Arrival, WireServer } from "./reception.ts";
import { ProxyHeaderError, readProxyHeader } from "./socket/proxy_header.ts";
import { type Sweepable, Sweeper } from "./socket/sweeper.ts";
import { TlsFront } from "./socket/tls_front.ts";

/** One of this many failed connections is logged: without TLS, or without a PROXY header. */
const FAILURES_A_WARNING = 600;
/** Time for clients to read what was written last before a door closes, in ms. */
const LAST_BYTES_MS = 500;

/** A connection that can be served. */
interface Opened {
  readonly wire: Wire;
  /** The IP address of the client. */
  readonly address: string;
}

/** How a connection reports that it counts as a client or has ended. */
type Counting = Required<Pick<Arrival, "ended" | "counts">>;

interface TcpDoorOptions {
  readonly listeners: Listeners;
  /** `undefined`: plain TCP. */
  readonly tls: TlsFiles | undefined;
  /** Load balancers, which begin each connection with a PROXY header; `undefined`: none. */
  readonly proxies: IpRanges | undefined;
  /** Serves what comes through the door. */
  readonly behind: WireServer;
  /** The answer to `health`, also when there is no room for a further connection. */
  readonly health: () => ServerHealth;
  readonly limits: ServerLimits;
  readonly log: Log;
  readonly metrics: Metrics;
}

export class TcpDoor {
  readonly #options: TcpDoorOptions;
  readonly #acceptors: readonly Acceptor[];
  readonly #refusals: Refusals;
  readonly #fronts = new Set<TlsFront>();
  /** The TLS fronts, and the connections whose PROXY header has not come: the sweeper checks their deadlines. */
  readonly #swept = new Set<Sweepable>();
  readonly #sweeper: Sweeper;
  /** Number of connections of clients that hold a descriptor, also in their handshake. */
  #places = 0;
  #ownLinks = 0;
  /** Number of failed TLS connections. */
  #failedTls = 0;
  /** Number of connections from load balancers without a valid PROXY header. */
  #withoutHeader = 0;

  constructor(options: TcpDoorOptions) {
    const { listeners, log, limits, health } = options;
    this.#options = options;
    this.#refusals = new Refusals({
      momentMs: limits.lingerMs,
      open: async (conn) => (await this.#openWire(conn))?.wire,
      health,
      log,
    });
    this.#sweeper = new Sweeper(this.#swept, limits);
    const take = (conn: Deno.TcpConn) => this.#take(conn);
    const takeOwn = (conn: Deno.TcpConn) => this.#takeOwn(conn);
    const { open, own } = listeners;
    this.#acceptors = [
      new Acceptor({ listener: open, log, take }),
      ...(own ? [new Acceptor({ listener: own, log, take: takeOwn })] : []),
    ];
  }

  start(): void {
    this.#sweeper.start();
    for (const acceptor of this.#acceptors) acceptor.start();
  }

  /** Takes no new connections; open ones go on. */
  async stopAccepting(): Promise<void> {
    await Promise.all(this.#acceptors.map((acceptor) => acceptor.stop()));
  }

  /** Takes no new connections, and ends the TLS of open ones. Close the server behind the door before. */
  async close(): Promise<void> {
    await this.stopAccepting();
    this.#refusals.close();
    const fronts = [...this.#fronts];
    for (const one of this.#swept) if (!(one instanceof TlsFront)) one.cut();
    // A client that does not read cannot hold up the server.
    const cut = setTimeout(() => {
      for (const front of fronts) front.cut();
    }, LAST_BYTES_MS);
    await Promise.all(fronts.map(({ ended }) => ended));
    clearTimeout(cut);
    this.#sweeper.stop();
  }

  #take(conn: Deno.TcpConn): void {
    const { maxConnections } = this.#options.limits;
    if (this.#places < maxConnections) {
      setUp(conn);
      this.#places++;
      const count = countOpen(this.#options.metrics);
      void this.#enter(conn, count).finally(() => {
        this.#places--;
        count.ended();
      });
    } else {
      this.#refusals.refuse(
        conn,
        new SdError(
          "queue_full",
          `${maxConnections} connections are open, the limit (--max-connections)`,
          { retryAfterMs: RETRY_AFTER_MS },
        ),
      );
    }
  }

  #takeOwn(conn: Deno.TcpConn): void {
    if (this.#ownLinks >= MAX_OWN_LINKS) return conn.close();
    setUp(conn);
    this.#ownLinks++;
    void this.#options.behind.serve(conn, {
      address: conn.remoteAddr.hostname,
      ownWorkersOnly: true,
      ...countOpen(this.#options.metrics),
    }).finally(() => this.#ownLinks--);
  }

  /** Serves a client; resolves when its connection holds no descriptor any more. */
  async #enter(conn: Deno.TcpConn, count: Counting): Promise<void> {
    const opened = await this.#openWire(conn);
    if (!opened) return;
    const { wire, address } = opened;
    await this.#options.behind.serve(wire, { address, ownWorkersOnly: false, ...count });
    if (wire instanceof TlsFront) await wire.ended;
  }

  /** The stream to a client: after the PROXY header, if one must come, and the TLS handshake. `undefined` if that failed. */
  async #openWire(conn: Deno.TcpConn): Promise<Opened | undefined> {
    const { proxies, tls } = this.#options;
    const { hostname } = conn.remoteAddr;
    const opened = proxies?.includes(hostname)
      ? await this.#readHeader(conn)
      : { wire: conn, address: hostname };
    if (!opened || !tls) return opened;
    const front = await this.#secure(opened.wire, tls);
    return front && { wire: front, address: opened.address };
  }

  async #readHeader(conn: Deno.TcpConn): Promise<Opened | undefined> {
    const { limits, log } = this.#options;
    const { hostname } = conn.remoteAddr;
    const since = this.#sweeper.now;
    const cut = () => closeQuietly(conn);
    const sweep = () => {
      if (this.#sweeper.now - since > limits.handshakeMs) cut();
    };
    const waiting: Sweepable = { unread: 0, sweep, cut };
    this.#swept.add(waiting);
    try {
      const proxied = await readProxyHeader(conn);
      if (proxied) return { wire: proxied.wire, address: proxied.source ?? hostname };
    } catch (error) {
      if (!(error instanceof ProxyHeaderError)) logUnlessLost(error, log);
      else if (this.#withoutHeader++ % FAILURES_A_WARNING === 0) {
        log.warn("server", noHeader(hostname, error.message));
      }
    } finally {
      this.#swept.delete(waiting);
    }
    cut();
    return undefined;
  }

  /** `undefined` if the handshake failed, once the connection holds no descriptor any more. */
  async #secure(conn: Wire, tls: TlsFiles): Promise<TlsFront | undefined> {
    const { limits, log } = this.#options;
    const front = new TlsFront({ conn, tls, limits, clock: this.#sweeper, log });
    this.#fronts.add(front);
    this.#swept.add(front);
    void front.ended.then(() => {
      this.#fronts.delete(front);
      this.#swept.delete(front);
    });
    try {
      if (await front.secure()) return front;
    } catch (error) {
      if (this.#failedTls++ % FAILURES_A_WARNING === 0) {
        log.warn("server", `cannot take a TLS connection: ${String(error)}`);
      }
    }
    await front.ended;
    return undefined;
  }
}

function noHeader(address: string, reason: string): string {
  return `refused a connection from ${address} (--proxy-from) without a valid PROXY header: ${reason}; ` +
    "let the load balancer send one (HAProxy: send-proxy-v2; nginx: proxy_protocol on), or take its address out";
}

/** Counts a connection as open until it has ended, unless it does not count as a client. */
function countOpen(metrics: Metrics): Counting {
  let isCounted = false;
  let hasEnded = false;
  const counts = (isClient: boolean) => {
    const must = isClient && !hasEnded;
    if (must !== isCounted) metrics.connections += must ? 1 : -1;
    isCounted = must;
  };
  const ended = () => {
    hasEnded = true;
    counts(false);
  };
  counts(true);
  return { counts, ended };
}

/** Sets the socket options. Throws if the client has left already. */
function setUp(conn: Deno.TcpConn): void {
  // Small writes must leave at once: a lone task would wait 40 ms for them otherwise.
  conn.setNoDelay(true);
  // A client may be silent for hours. The system notices if its machine has failed.
  conn.setKeepAlive(true);
}
