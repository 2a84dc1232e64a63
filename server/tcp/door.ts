/**
 * The TCP door: accepts connections up to the limit, makes the TLS handshake, and passes each to the server of
 * connections behind it. It is open for the life of the process; what is behind it can change. `server.ts` makes one door.
 */

import type { Wire } from "../../net/wire.ts";
import { SdError } from "../../protocol/errors.ts";
import type { TlsFiles } from "../config.ts";
import { MAX_OWN_LINKS, RETRY_AFTER_MS, type ServerLimits } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { Acceptor, type Listeners, Refusals } from "./socket/acceptor.ts";
import type { Arrival, WireServer } from "./reception.ts";
import { Sweeper } from "./socket/sweeper.ts";
import { TlsFront } from "./socket/tls_front.ts";

/** One of this many failed TLS connections is logged. */
const FAILURES_A_WARNING = 600;
/** Time for clients to read what was written last before a door closes, in ms. */
const LAST_BYTES_MS = 500;

/** How a connection reports that it counts as a client or has ended. */
type Counting = Required<Pick<Arrival, "ended" | "counts">>;

interface TcpDoorOptions {
  readonly listeners: Listeners;
  /** `undefined`: plain TCP. */
  readonly tls: TlsFiles | undefined;
  /** Serves what comes through the door. */
  readonly behind: WireServer;
  readonly limits: ServerLimits;
  readonly log: Log;
  readonly metrics: Metrics;
}

export class TcpDoor {
  readonly #options: TcpDoorOptions;
  readonly #acceptors: readonly Acceptor[];
  readonly #refusals: Refusals;
  /** The TLS fronts: the sweeper checks their deadlines. */
  readonly #fronts = new Set<TlsFront>();
  readonly #sweeper: Sweeper;
  /** Number of connections of clients that hold a descriptor, also in their handshake. */
  #places = 0;
  #ownLinks = 0;
  /** Number of failed TLS connections. */
  #failedTls = 0;

  constructor(options: TcpDoorOptions) {
    const { listeners, log, limits } = options;
    this.#options = options;
    this.#refusals = new Refusals({
      momentMs: limits.lingerMs,
      open: (conn) => this.#openWire(conn),
      log,
    });
    this.#sweeper = new Sweeper(this.#fronts, limits);
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
    const { tls, behind } = this.#options;
    const arrival = { address: conn.remoteAddr.hostname, ownWorkersOnly: false, ...count };
    if (!tls) return await behind.serve(conn, arrival);
    const front = await this.#openWire(conn);
    if (front) await behind.serve(front, arrival);
    if (front instanceof TlsFront) await front.ended;
  }

  /** The stream to the client of `conn`; over TLS after the handshake. `undefined` if the handshake failed. */
  async #openWire(conn: Deno.TcpConn): Promise<Wire | undefined> {
    const { tls, limits, log } = this.#options;
    if (!tls) return conn;
    const front = new TlsFront({ conn, tls, limits, clock: this.#sweeper, log });
    this.#fronts.add(front);
    void front.ended.then(() => this.#fronts.delete(front));
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
