/**
 * The TCP door: makes a session for each accepted connection up to the limit, and closes all connections when the server
 * stops. `admission.ts` judges the first line of each. `server.ts` makes one door.
 */

import type { Wire } from "../../net/wire.ts";
import { SdError } from "../../protocol/errors.ts";
import { MAX_LINE_BYTES } from "../../protocol/limits.ts";
import type { Auth } from "../api/auth.ts";
import type { UseCases } from "../api/operations.ts";
import type { SubmitRoute } from "../api/submit_flow.ts";
import type { TlsFiles } from "../config.ts";
import {
  MAX_LINE_BYTES_BEFORE_HELLO,
  MAX_OWN_LINKS,
  RETRY_AFTER_MS,
  type ServerLimits,
} from "../limits.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { Acceptor, type Listeners, Refusals } from "./socket/acceptor.ts";
import { Admission, type Newcomer } from "./admission.ts";
import { Connection } from "./socket/connection.ts";
import { FlushTurns, Outbox } from "./socket/outbox.ts";
import { Session } from "./client/session.ts";
import { type Sweepable, Sweeper } from "./socket/sweeper.ts";
import { TlsFront } from "./socket/tls_front.ts";
import type { LinkListener, RunReports, WorkLink } from "./link/work_link.ts";

/** One of this many failed TLS connections is logged. */
const FAILURES_A_WARNING = 600;

export interface TcpDoorOptions {
  readonly listeners: Listeners;
  /** `undefined`: plain TCP. */
  readonly tls: TlsFiles | undefined;
  readonly cases: UseCases;
  readonly route: SubmitRoute;
  readonly auth: Auth;
  readonly reports: RunReports;
  readonly links: LinkListener & { attached(link: WorkLink): void };
  readonly secret: string;
  readonly leaseMs: number;
  readonly limits: ServerLimits;
  readonly version: string;
  readonly log: Log;
  readonly metrics: Metrics;
}

interface Open {
  readonly connection: Connection;
  readonly session: Session;
  readonly served: Promise<void>;
}

interface Serving {
  /** The IP address of the client. */
  readonly address: string;
  readonly ownWorkersOnly: boolean;
  /** Takes the connection out of the count of open connections. */
  readonly uncount: () => void;
}

export class TcpDoor {
  readonly #options: TcpDoorOptions;
  readonly #admission: Admission;
  readonly #acceptors: readonly Acceptor[];
  readonly #refusals: Refusals;
  readonly #open = new Set<Open>();
  readonly #turns = new FlushTurns();
  /** All connections, and their TLS fronts: the sweeper checks their deadlines. */
  readonly #swept = new Set<Sweepable>();
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
    this.#admission = new Admission(options);
    this.#refusals = new Refusals({
      momentMs: limits.lingerMs,
      open: (conn) => this.#openWire(conn),
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

  /** Reports the stop to every client that waits, and closes all connections. */
  async close(): Promise<void> {
    await this.stopAccepting();
    await this.#admission.stop();
    const open = [...this.#open];
    for (const { session, connection } of open) {
      session.abandon();
      connection.hangUp();
    }
    this.#refusals.close();
    const fronts = [...this.#fronts];
    // A client that does not read cannot hold up the server.
    const cut = setTimeout(() => {
      for (const { connection } of open) connection.cut();
      for (const front of fronts) front.cut();
    }, 500);
    await Promise.all([...open.map(({ served }) => served), ...fronts.map(({ ended }) => ended)]);
    clearTimeout(cut);
    this.#sweeper.stop();
  }

  #take(conn: Deno.TcpConn): void {
    const { maxConnections } = this.#options.limits;
    if (this.#places < maxConnections) {
      setUp(conn);
      this.#places++;
      const uncount = this.#count();
      void this.#enter(conn, uncount).finally(() => {
        this.#places--;
        uncount();
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
    void this.#serve(conn, {
      address: conn.remoteAddr.hostname,
      ownWorkersOnly: true,
      uncount: this.#count(),
    }).finally(() => this.#ownLinks--);
  }

  /** Counts a connection as open; the returned function takes it out of the count, once. */
  #count(): () => void {
    const { metrics } = this.#options;
    let isCounted = true;
    metrics.connections++;
    return () => {
      if (isCounted) metrics.connections--;
      isCounted = false;
    };
  }

  /** Serves a client; resolves when its connection holds no descriptor any more. */
  async #enter(conn: Deno.TcpConn, uncount: () => void): Promise<void> {
    const address = conn.remoteAddr.hostname;
    const serving = { address, ownWorkersOnly: false, uncount };
    if (!this.#options.tls) return await this.#serve(conn, serving);
    const front = await this.#openWire(conn);
    if (front) await this.#serve(front, serving);
    if (front instanceof TlsFront) await front.ended;
  }

  /** The stream to the client of `conn`; over TLS after the handshake. `undefined` if the handshake failed. */
  async #openWire(conn: Deno.TcpConn): Promise<Wire | undefined> {
    const { tls, limits, log } = this.#options;
    if (!tls) return conn;
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

  /** Resolves when the connection holds no descriptor any more; `uncount` is called when it has ended. */
  #serve(conn: Wire, { address, ownWorkersOnly, uncount }: Serving): Promise<void> {
    const { cases, route, auth, limits, log, version } = this.#options;
    const clock = this.#sweeper;
    const dismiss = () => connection.dismiss();
    const outbox = new Outbox(conn, {
      turns: this.#turns,
      onLost: () => connection.cut(),
      maxUnreadBytes: limits.maxUnreadBytes,
      clock,
      log,
    });
    const session = new Session({
      cases,
      route,
      outbox,
      log,
      version,
      maxInFlight: limits.maxInFlight,
      dismiss,
      judge: (token) => this.#admission.judgeAgain(token, newcomer),
      expectPings: (everyMs) => connection.expectPings(everyMs),
    });
    const mustSayHello = auth.isRequired && !ownWorkersOnly;
    const newcomer: Newcomer = {
      outbox,
      address,
      ownWorkersOnly,
      isSealed: false,
      unseal: (opener) => connection.unseal(opener, (error) => newcomer.onForged(error)),
      onForged: () => {},
      hangUp: () => connection.hangUp(),
      dismiss,
      cut: () => connection.cut(),
      clock,
    };
    const connection: Connection = new Connection({
      conn,
      outbox,
      handler: session,
      mayBeLonger: (head) => this.#admission.mayBeLink(head),
      handOver: (line) => this.#admission.admit(line, newcomer),
      limits,
      maxFirstLineBytes: mustSayHello ? MAX_LINE_BYTES_BEFORE_HELLO : MAX_LINE_BYTES,
      firstLineMs: mustSayHello ? limits.helloMs : limits.firstLineMs,
      clock,
      log,
      onLate: (reason) => session.dismiss(new SdError("bad_request", reason)),
    });
    const open: Open = { connection, session, served: connection.serve() };
    this.#open.add(open);
    this.#swept.add(connection);
    return open.served.then(async () => {
      this.#swept.delete(connection);
      uncount();
      // The last write can still hold the descriptor, and so counts against the limit.
      await outbox.released();
      this.#open.delete(open);
    });
  }
}

/** Sets the socket options. Throws if the client has left already. */
function setUp(conn: Deno.TcpConn): void {
  // Small writes must leave at once: a lone task would wait 40 ms for them otherwise.
  conn.setNoDelay(true);
  // A client may be silent for hours. The system notices if its machine has failed.
  conn.setKeepAlive(true);
}
