/**
 * Serves the connections that the door has let in: a session for each client, a work link for each worker process.
 * `admission.ts` judges the first line of each. A reception begins and ends with the rooms that it serves; the door before
 * it can go on with another one. `rooms.ts` makes it.
 */

import { closeQuietly } from "../../net/lost_connection.ts";
import type { Wire } from "../../net/wire.ts";
import { SdError } from "../../protocol/errors.ts";
import { MAX_LINE_BYTES } from "../../protocol/limits.ts";
import type { ServerHealth } from "../../protocol/task.ts";
import type { Auth } from "../api/auth.ts";
import type { UseCases } from "../api/operations.ts";
import type { SubmitRoute } from "../api/submit_flow.ts";
import { MAX_LINE_BYTES_BEFORE_HELLO, type ServerLimits } from "../limits.ts";
import type { Log } from "../log.ts";
import { Admission, type Newcomer } from "./admission.ts";
import { Session } from "./client/session.ts";
import type { LinkListener, RunReports } from "./link/work_link.ts";
import { Connection } from "./socket/connection.ts";
import { FlushTurns, Outbox } from "./socket/outbox.ts";
import { type Sweepable, Sweeper } from "./socket/sweeper.ts";

/** Where a connection comes from. */
export interface Arrival {
  /** The IP address of the client. */
  readonly address: string;
  /** It came through the port of the server's own workers, which no other process can use. */
  readonly ownWorkersOnly: boolean;
  /** Called when the connection has ended; it can still hold a descriptor. */
  readonly ended: () => void;
  /** Called with false while it has asked for nothing but `health`, so that it does not count as a client. */
  readonly counts?: (isClient: boolean) => void;
}

/** Serves the connections that a door has let in. */
export interface WireServer {
  /** Serves a connection; resolves when it holds no descriptor any more. Never rejects. */
  serve(wire: Wire, arrival: Arrival): Promise<void>;
}

export interface ReceptionOptions {
  readonly cases: UseCases;
  readonly route: SubmitRoute;
  readonly auth: Auth;
  /** The answer to `health`. */
  readonly health: () => ServerHealth;
  readonly reports: RunReports;
  readonly links: LinkListener;
  readonly secret: string;
  readonly leaseMs: number;
  readonly limits: ServerLimits;
  readonly version: string;
  readonly log: Log;
}

interface Open {
  readonly connection: Connection;
  /** `undefined` if another reader has its lines: a work link. */
  session: Session | undefined;
  readonly served: Promise<void>;
}

/** Time for clients to read the last replies of a server that stops, in ms. */
const LAST_REPLIES_MS = 500;

export class Reception implements WireServer {
  readonly #options: ReceptionOptions;
  readonly #admission: Admission;
  readonly #open = new Set<Open>();
  readonly #turns = new FlushTurns();
  /** All connections: the sweeper checks their deadlines. */
  readonly #swept = new Set<Sweepable>();
  readonly #sweeper: Sweeper;
  #isDraining = false;
  #isClosed = false;

  constructor(options: ReceptionOptions) {
    this.#options = options;
    this.#admission = new Admission(options);
    this.#sweeper = new Sweeper(this.#swept, options.limits);
  }

  start(): void {
    this.#sweeper.start();
  }

  /** Takes no more tasks: ends each client's connection once the client has its replies. Work links go on. */
  drain(): void {
    this.#isDraining = true;
    for (const { session } of this.#open) session?.drain();
  }

  /** Reports the stop to every client that waits, and closes all connections. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#admission.stop();
    const open = [...this.#open];
    for (const { session, connection } of open) {
      session?.abandon();
      connection.hangUp();
    }
    // A client that does not read cannot hold up the server.
    const cut = setTimeout(() => {
      for (const { connection } of open) connection.cut();
    }, LAST_REPLIES_MS);
    await Promise.all(open.map(({ served }) => served));
    clearTimeout(cut);
    this.#sweeper.stop();
  }

  /** Cuts all connections without a word. */
  async drop(): Promise<void> {
    this.#isClosed = true;
    const open = [...this.#open];
    for (const { connection } of open) connection.cut();
    await this.#admission.stop();
    await Promise.all(open.map(({ served }) => served));
    this.#sweeper.stop();
  }

  #openOutbox(conn: Wire, onLost: () => void): Outbox {
    const { limits: { maxUnreadBytes }, log } = this.#options;
    return new Outbox(conn, {
      turns: this.#turns,
      onLost,
      maxUnreadBytes,
      clock: this.#sweeper,
      log,
    });
  }

  serve(conn: Wire, { address, ownWorkersOnly, ended, counts }: Arrival): Promise<void> {
    if (this.#isClosed) {
      closeQuietly(conn);
      ended();
      return Promise.resolve();
    }
    const { cases, route, auth, health, limits, log, version } = this.#options;
    const clock = this.#sweeper;
    const dismiss = () => connection.dismiss();
    const outbox = this.#openOutbox(conn, () => connection.cut());
    const session = new Session({
      cases,
      route,
      outbox,
      log,
      version,
      health,
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
      healthAnswers: 0,
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
      handOver: (line) => {
        const handler = this.#admission.admit(line, newcomer);
        counts?.(handler !== "next" || newcomer.healthAnswers === 0);
        if (handler !== undefined && handler !== "next") open.session = undefined;
        return handler;
      },
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
    if (this.#isDraining) session.drain();
    return open.served.then(async () => {
      this.#swept.delete(connection);
      ended();
      // The last write can still hold the descriptor, and so counts against the limit.
      await outbox.released();
      this.#open.delete(open);
    });
  }
}
