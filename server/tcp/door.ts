/**
 * The TCP door: accepts connections, gives each a session, turns those that say `work` with the right
 * secret into work links, and knows them all until they are closed.
 */

import { SdError } from "../../protocol/errors.ts";
import { parseObject } from "../../protocol/message.ts";
import type { Line } from "../../protocol/ndjson.ts";
import type { WorkWelcome } from "../../protocol/work_message.ts";
import type { TaskApi } from "../api/task_api.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { Connection } from "./connection.ts";
import type { LineHandler } from "./line_handler.ts";
import { Outbox } from "./outbox.ts";
import { isPoolSecret } from "./pool_secret.ts";
import { errorLine } from "./replies.ts";
import { Session } from "./session.ts";
import { type LinkListener, readWorkHello, WorkLink } from "./work_link.ts";

export interface TcpDoorOptions {
  readonly listener: Deno.Listener;
  readonly api: TaskApi;
  readonly links: LinkListener & { attached(link: WorkLink): void };
  readonly secret: string;
  readonly leaseMs: number;
  readonly version: string;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** After `accept` failed (no file descriptor left, say): long enough for one to come free. */
const ACCEPT_RETRY_MS = 50;

interface Open {
  readonly connection: Connection;
  readonly session: Session;
  readonly outbox: Outbox;
  readonly served: Promise<void>;
}

export class TcpDoor {
  readonly #options: TcpDoorOptions;
  readonly #open = new Set<Open>();
  #accepting: Promise<void> | undefined;
  #closed = false;

  constructor(options: TcpDoorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#accepting ??= this.#accept();
  }

  /** Takes no new connection; those that are open go on. */
  async stopAccepting(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.listener.close();
    await this.#accepting;
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
    await Promise.all(open.map(({ served }) => served));
    clearTimeout(cut);
  }

  async #accept(): Promise<void> {
    const { listener, log } = this.#options;
    while (!this.#closed) {
      try {
        this.#serve(await listener.accept());
      } catch (error) {
        if (this.#closed) return;
        log.warn("server", `cannot accept a connection: ${String(error)}; trying again`);
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
      }
    }
  }

  #serve(conn: Deno.Conn): void {
    const { api, log, version, metrics } = this.#options;
    // Small writes must leave at once: a lone task would wait 40 ms for them otherwise.
    if ("setNoDelay" in conn) (conn as Deno.TcpConn).setNoDelay(true);
    const outbox = new Outbox(conn, () => connection.cut());
    const session = new Session({ api, outbox, log, version, hangUp: () => connection.hangUp() });
    const connection: Connection = new Connection({
      conn,
      outbox,
      handler: session,
      handOver: (line) => this.#handOver(line, { outbox, hangUp: () => connection.hangUp() }),
    });
    const open: Open = { connection, session, outbox, served: connection.serve() };
    this.#open.add(open);
    metrics.connections++;
    void open.served.then(() => {
      this.#open.delete(open);
      metrics.connections--;
    });
  }

  /** The work link that `line` opens; nothing when a client is speaking. */
  #handOver(
    line: Line,
    { outbox, hangUp }: { outbox: Outbox; hangUp: () => void },
  ): LineHandler | undefined {
    // Only to spare clients a second parse: the JSON decides.
    if (!line?.includes('"work"')) return undefined;
    const { secret, links, leaseMs } = this.#options;
    try {
      const message = parseObject(line);
      if (message.cmd !== "work") return undefined;
      if (!isPoolSecret(message.secret, secret)) {
        throw new SdError(
          "unauthorized",
          "this work link does not know the secret of the pool; see sd work --help",
        );
      }
      const link = new WorkLink({ hello: readWorkHello(message), outbox, listener: links, hangUp });
      const welcome: WorkWelcome = { work: "ok", lease_ms: leaseMs };
      outbox.push(JSON.stringify(welcome) + "\n");
      links.attached(link);
      return link;
    } catch (error) {
      outbox.push(errorLine(error, undefined));
      hangUp();
      return REFUSED;
    }
  }
}

/** Reads a connection that is being hung up. */
const REFUSED: LineHandler = {
  handle: () => {},
  overflow: () => {},
  ended: () => Promise.resolve(),
  cut: () => {},
};
