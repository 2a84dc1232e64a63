/**
 * The TCP door: gives each connection a session, within the limits of how many there may be, lets its
 * first line be judged, and knows them all until they are closed.
 */

import { SdError } from "../../protocol/errors.ts";
import { MAX_LINE_BYTES } from "../../protocol/limits.ts";
import type { Auth } from "../api/auth.ts";
import type { CronApi } from "../api/cron_api.ts";
import type { TaskApi } from "../api/task_api.ts";
import {
  MAX_LINE_BYTES_BEFORE_HELLO,
  MAX_OWN_LINKS,
  RETRY_AFTER_MS,
  type ServerLimits,
} from "../limits.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { Acceptor } from "./acceptor.ts";
import { Admission } from "./admission.ts";
import { Connection } from "./connection.ts";
import { FlushTurns } from "./flush_turns.ts";
import type { Listeners } from "./listeners.ts";
import { Outbox } from "./outbox.ts";
import { Refusals } from "./refusals.ts";
import { Session } from "./session.ts";
import { Sweeper } from "./sweeper.ts";
import type { LinkListener, WorkLink } from "./work_link.ts";

export interface TcpDoorOptions {
  readonly listeners: Listeners;
  readonly api: TaskApi;
  readonly crons: CronApi;
  readonly auth: Auth;
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

export class TcpDoor {
  readonly #options: TcpDoorOptions;
  readonly #admission: Admission;
  readonly #acceptors: readonly Acceptor[];
  readonly #refusals: Refusals;
  readonly #open = new Set<Open>();
  readonly #turns = new FlushTurns();
  readonly #connections = new Set<Connection>();
  readonly #sweeper: Sweeper;
  #ownLinks = 0;

  constructor(options: TcpDoorOptions) {
    const { listeners, log, limits } = options;
    this.#options = options;
    this.#admission = new Admission(options);
    this.#refusals = new Refusals(limits.lingerMs);
    this.#sweeper = new Sweeper(this.#connections, limits);
    const take = (conn: Deno.Conn) => this.#take(conn);
    const takeOwn = (conn: Deno.Conn) => this.#takeOwn(conn);
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

  /** Takes no new connection; those that are open go on. */
  async stopAccepting(): Promise<void> {
    await Promise.all(this.#acceptors.map((acceptor) => acceptor.stop()));
  }

  /** Tells every client that waits that nothing more will come, and closes all connections. */
  async close(): Promise<void> {
    await this.stopAccepting();
    const open = [...this.#open];
    for (const { session, connection } of open) {
      session.abandon();
      connection.hangUp();
    }
    // A client that does not read what it is told cannot hold the server up.
    const cut = setTimeout(() => open.forEach(({ connection }) => connection.cut()), 500);
    this.#refusals.close();
    await Promise.all(open.map(({ served }) => served));
    clearTimeout(cut);
    this.#sweeper.stop();
  }

  #take(conn: Deno.Conn): void {
    const { maxConnections } = this.#options.limits;
    if (this.#open.size - this.#ownLinks < maxConnections) {
      this.#serve(conn, false);
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

  #takeOwn(conn: Deno.Conn): void {
    if (this.#ownLinks >= MAX_OWN_LINKS) return conn.close();
    this.#ownLinks++;
    void this.#serve(conn, true).then(() => this.#ownLinks--);
  }

  /** Resolves when the connection has ended. */
  #serve(conn: Deno.Conn, ownWorkersOnly: boolean): Promise<void> {
    const { api, crons, auth, limits, log, version, metrics } = this.#options;
    const isPlain = setUp(conn);
    const clock = this.#sweeper;
    const dismiss = () => connection.dismiss();
    const outbox = new Outbox(conn, {
      turns: this.#turns,
      onLost: () => connection.cut(),
      maxUnreadBytes: limits.maxUnreadBytes,
      clock,
    });
    const session = new Session({
      api,
      crons,
      outbox,
      log,
      version,
      maxInFlight: limits.maxInFlight,
      dismiss,
    });
    const mustSayHello = auth.isRequired && !ownWorkersOnly;
    const newcomer = { outbox, ownWorkersOnly, hangUp: () => connection.hangUp(), dismiss };
    const connection: Connection = new Connection({
      conn,
      outbox,
      handler: session,
      mayBeLonger: (head) => this.#admission.mayBeLink(head),
      handOver: (line) => this.#admission.admit(line, newcomer),
      limits,
      maxFirstLineBytes: mustSayHello ? MAX_LINE_BYTES_BEFORE_HELLO : MAX_LINE_BYTES,
      firstLineMs: mustSayHello ? limits.helloMs : limits.firstLineMs,
      canTellNewcomer: isPlain,
      clock,
      onLate: (reason) => session.dismiss(new SdError("bad_request", reason)),
    });
    const open: Open = { connection, session, served: connection.serve() };
    this.#open.add(open);
    this.#connections.add(connection);
    metrics.connections++;
    return open.served.then(async () => {
      this.#connections.delete(connection);
      metrics.connections--;
      // Until then it has its file descriptor, and counts against the limit.
      await outbox.released();
      this.#open.delete(open);
    });
  }
}

/** False for a connection over TLS, which has neither; see `cli/prompt_wire.ts`. */
function setUp(conn: Deno.Conn): boolean {
  if (!("setNoDelay" in conn)) return false;
  const tcp = conn as Deno.TcpConn;
  // Small writes must leave at once: a lone task would wait 40 ms for them otherwise.
  tcp.setNoDelay(true);
  // A client may wait for hours; one whose machine is gone is noticed some day.
  tcp.setKeepAlive(true);
  return true;
}
