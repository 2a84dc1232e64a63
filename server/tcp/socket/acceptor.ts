/**
 * New connections: the sockets that the server listens on, the loop that accepts from one of them, and the refusal of
 * connections above the limit. The loop goes on after `accept` has failed. If the process has no free file descriptor, new
 * connections wait in the system until one is free. A connection that its client has reset already is skipped at once, as
 * load balancers often reset connections. The door uses all three.
 */

import type { Log } from "../../log.ts";
import { closeQuietly, logUnlessLost } from "../../../net/lost_connection.ts";
import type { ServeConfig } from "../../config.ts";
import type { Wire } from "../../../net/wire.ts";
import type { ServerHealth } from "../../../protocol/task.ts";
import { SdError } from "../../../protocol/errors.ts";
import { parseObject } from "../../../protocol/message.ts";
import { MAX_REFUSALS_AT_A_TIME } from "../../limits.ts";
import { errorLine, objectLine } from "./replies.ts";

export interface Listeners {
  /** The port of the server. Plain TCP, also if the server speaks TLS: see `tls_front.ts`. */
  readonly open: Deno.TcpListener;
  /** A port on loopback for the server's own workers; `undefined` if it has none. */
  readonly own: Deno.TcpListener | undefined;
}

/** Throws the error of the system if the address is in use or the certificate is not valid. */
export function openListeners(config: ServeConfig): Listeners {
  const { hostname, port, tls, workers } = config;
  // Checks the certificate and the key before a client connects.
  if (tls) Deno.listenTls({ hostname: "127.0.0.1", port: 0, ...tls }).close();
  const open = Deno.listen({ hostname, port });
  if (workers === 0) return { open, own: undefined };
  try {
    return { open, own: Deno.listen({ hostname: "127.0.0.1", port: 0 }) };
  } catch (error) {
    open.close();
    throw error;
  }
}

interface AcceptorOptions {
  readonly listener: Deno.TcpListener;
  readonly log: Log;
  readonly take: (conn: Deno.TcpConn) => void;
}

/** Errors of a system or a process without room for a further connection; other errors are of a single connection. */
const NO_ROOM: ReadonlySet<unknown> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);
/** The same errors, for runtimes that set no `code`. */
const NO_ROOM_TEXT = /os error (?:12|23|24|55|105)\b/;
/** Pause after such an error, in ms: a file descriptor can become free in it. */
const ACCEPT_RETRY_MS = 50;
/** Most failures in a row without a pause: more of them are not the fault of single connections. */
const MOST_AT_ONCE = 1000;
/** One of this many pauses in a row is logged: one each half minute. */
const FAILURES_A_WARNING = 600;

export class Acceptor {
  readonly #options: AcceptorOptions;
  #accepting: Promise<void> | undefined;
  #closed = false;

  constructor(options: AcceptorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#accepting ??= this.#accept();
  }

  async stop(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#options.listener.close();
    }
    await this.#accepting;
  }

  #take(conn: Deno.TcpConn): void {
    try {
      this.#options.take(conn);
    } catch (error) {
      // The client may have left before its connection was set up.
      logUnlessLost(error, this.#options.log);
      conn.close();
    }
  }

  async #accept(): Promise<void> {
    const { listener, log } = this.#options;
    let pauses = 0;
    let atOnce = 0;
    while (!this.#closed) {
      try {
        const conn = await listener.accept();
        if (pauses > 0) log.info("server", "connections are accepted again");
        pauses = 0;
        atOnce = 0;
        this.#take(conn);
      } catch (error) {
        if (this.#closed) return;
        if (!isNoRoom(error) && atOnce++ < MOST_AT_ONCE) continue;
        atOnce = 0;
        if (pauses++ % FAILURES_A_WARNING === 0) {
          log.warn("server", `cannot accept a connection: ${String(error)}; trying again`);
        }
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
      }
    }
  }
}

function isNoRoom(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === undefined ? NO_ROOM_TEXT.test(String(error)) : NO_ROOM.has(code);
}

/** Opens the stream to a client, over TLS if the server speaks TLS; `undefined` if that fails. */
type OpenWire = (conn: Deno.TcpConn) => Promise<Wire | undefined>;

interface RefusalsOptions {
  /** Longest time that a refused connection stays open. */
  readonly momentMs: number;
  readonly open: OpenWire;
  readonly health: () => ServerHealth;
  readonly log: Pick<Log, "bug">;
}

/** Time for a load balancer to send its question, in ms. */
const ASK_MS = 100;

/**
 * Sends the reason to connections above the limit, and closes each after a moment. A load balancer that asks for `health`
 * gets its answer: otherwise it would take a full server for a dead one, and cut all its clients.
 */
export class Refusals {
  readonly #options: RefusalsOptions;
  /** Each refused connection, with the timer that closes it. */
  readonly #underWay = new Map<Deno.TcpConn, ReturnType<typeof setTimeout>>();

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  refuse(conn: Deno.TcpConn, reason: SdError): void {
    if (this.#underWay.size >= MAX_REFUSALS_AT_A_TIME) return conn.close();
    this.#underWay.set(conn, setTimeout(() => closeQuietly(conn), this.#options.momentMs));
    void this.#send(conn, reason).finally(() => {
      clearTimeout(this.#underWay.get(conn));
      this.#underWay.delete(conn);
    });
  }

  /** Closes the refused connections at once. */
  close(): void {
    for (const [conn, timer] of this.#underWay) {
      clearTimeout(timer);
      closeQuietly(conn);
    }
  }

  async #send(conn: Deno.TcpConn, reason: SdError): Promise<void> {
    const { open, health, log } = this.#options;
    let wire: Wire | undefined;
    try {
      wire = await open(conn);
      if (!wire) return;
      const buffer = new Uint8Array(4096);
      let reading = wire.read(buffer);
      const isCheck = asksForHealth(buffer.subarray(0, await within(ASK_MS, reading) ?? 0));
      // The line is short: a single write takes it.
      const line = isCheck ? objectLine(health(), undefined) : errorLine(reason, undefined);
      await wire.write(new TextEncoder().encode(line));
      await wire.closeWrite();
      // If closed with unread bytes, the system would drop the reason before the client reads it.
      while (await reading !== null) reading = wire.read(buffer);
    } catch (error) {
      // The client has left, or the timer has closed the connection.
      logUnlessLost(error, log);
    }
    closeQuietly(wire ?? conn);
  }
}

/** Whether the bytes are one line that asks for `health`. */
function asksForHealth(bytes: Uint8Array): boolean {
  try {
    return parseObject(new TextDecoder().decode(bytes).trim()).cmd === "health";
  } catch (error) {
    if (error instanceof SdError) return false;
    throw error;
  }
}

/** The value of `promise`; `undefined` if it is not there within `ms`. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) =>
    timer = setTimeout(() => resolve(undefined), ms)
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
