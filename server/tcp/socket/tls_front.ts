/**
 * A TLS connection whose TCP side is ours. Deno cannot close a TLS connection in its handshake: the
 * descriptor stays open until the client ends it. So the client's TCP connection is taken plain, and
 * its bytes are copied to and from a TLS connection on loopback, which ends when the copying does.
 *
 *     client ══TLS══ conn ──copied──▶ leg ══TLS, loopback══ inner ──plain──▶ the reader of this wire
 *
 *     handshake ──done──▶ open ──close()──▶ closing ──all written──▶ ended
 *         │ └─ no TLS ─▶ refused ──the client has read why, and left──▲
 *         └───────── too late, or either side is gone ────────────────┘
 */

import type { Wire } from "../../../net/wire.ts";
import type { TlsFiles } from "../../config.ts";
import type { ServerLimits } from "../../limits.ts";
import type { Log } from "../../log.ts";
import { closeQuietly, logUnlessLost } from "../../../net/lost_connection.ts";
import type { Sweepable } from "./sweeper.ts";

const LOOPBACK = "127.0.0.1";
/** Two for each connection, and there may be thousands: larger once a client sends or reads as much. */
const FIRST_COPY_BYTES = 2 * 1024;
const COPY_BYTES = 64 * 1024;

interface TlsFrontOptions {
  readonly conn: Deno.TcpConn;
  readonly tls: TlsFiles;
  readonly limits: Pick<ServerLimits, "handshakeMs" | "writeStallMs" | "lingerMs">;
  /** The sweeper's. */
  readonly clock: { readonly now: number };
  readonly log: Pick<Log, "bug">;
}

export class TlsFront implements Wire, Sweepable {
  readonly #options: TlsFrontOptions;
  readonly #ended = Promise.withResolvers<void>();
  #leg: Deno.TcpConn | undefined;
  #inner: Deno.TlsConn | undefined;
  #phase: "handshake" | "open" | "closing" | "refused" | "ended" = "handshake";
  /** Of the clock: when the handshake began, or when bytes last went on to the client. */
  #since: number;
  #hasSentAll = false;
  /** The copying holds descriptors until it has ended. */
  #copying = 0;

  constructor(options: TlsFrontOptions) {
    this.#options = options;
    this.#since = options.clock.now;
  }

  /** Nothing that the outbox does not count. */
  get unread(): number {
    return 0;
  }

  /** Resolves when every descriptor is free again. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /**
   * Shakes hands: true once the client has done its part; false if it does not, and then all is closed
   * or will be. Throws what the system says if it gives no descriptor for the loopback side.
   */
  async secure(): Promise<boolean> {
    try {
      await this.#connect();
    } catch (error) {
      this.cut();
      throw error;
    }
    try {
      await this.#inner?.handshake();
      if (this.#phase === "handshake") this.#phase = "open";
    } catch (error) {
      // What the client sent is no TLS that this server speaks, or it is gone.
      logUnlessLost(error, this.#options.log);
      this.#refuse();
    }
    return this.#phase === "open";
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    return await this.#secured.read(buffer);
  }

  async write(bytes: Uint8Array): Promise<number> {
    return await this.#secured.write(bytes);
  }

  async closeWrite(): Promise<void> {
    await this.#secured.closeWrite();
  }

  /** What was written still goes to the client. */
  close(): void {
    if (this.#phase !== "open") return this.cut();
    const inner = this.#secured;
    this.#phase = "closing";
    if (this.#hasSentAll) return this.cut();
    // Closed alone, on Deno 2.6 it says no farewell while a read is under way.
    void inner.closeWrite().catch((error: unknown) => {
      logUnlessLost(error, this.#options.log);
      this.cut();
    }).then(() => closeQuietly(inner));
  }

  /** Ends it now. May be called twice. */
  cut(): void {
    if (this.#isEnded) return;
    this.#phase = "ended";
    closeQuietly(this.#options.conn);
    if (this.#leg) closeQuietly(this.#leg);
    if (this.#inner) closeQuietly(this.#inner);
    this.#settle();
  }

  sweep(): void {
    const { clock, limits } = this.#options;
    const ms = clock.now - this.#since;
    if (this.#phase === "handshake" && ms > limits.handshakeMs) this.cut();
    if (this.#phase === "closing" && ms > limits.writeStallMs) this.cut();
    if (this.#phase === "refused" && ms > limits.lingerMs) this.cut();
  }

  /** A getter, since it may have come while something was awaited. */
  get #isEnded(): boolean {
    return this.#phase === "ended";
  }

  get #secured(): Deno.TlsConn {
    if (this.#inner && !this.#isEnded) return this.#inner;
    throw new Deno.errors.BadResource("the TLS connection has ended");
  }

  /** The alert that says why is still written, and what the client sends is dropped until it has read that. */
  #refuse(): void {
    if (this.#phase !== "handshake") return;
    this.#phase = "refused";
    this.#since = this.#options.clock.now;
    if (this.#inner) closeQuietly(this.#inner);
  }

  /** Opens the loopback side: its listener takes a single connection, so that no stranger finds it. */
  async #connect(): Promise<void> {
    const { conn, tls } = this.#options;
    const listener = Deno.listenTls({ hostname: LOOPBACK, port: 0, ...tls });
    try {
      const leg = await Deno.connect({ hostname: LOOPBACK, port: listener.addr.port });
      if (this.#isEnded) return leg.close();
      this.#leg = leg;
      leg.setNoDelay(true);
      this.#inner = await acceptOwn(listener, leg);
    } finally {
      listener.close();
    }
    // Cut in the meantime: without its other side, the inner one has nothing to wait for.
    if (this.#isEnded) return closeQuietly(this.#inner);
    void this.#copy(conn, this.#leg);
    void this.#copy(this.#leg, conn);
  }

  /** Copies until `from` ends; never throws. */
  async #copy(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
    const { conn, clock } = this.#options;
    const isToClient = to === conn;
    let buffer = new Uint8Array(FIRST_COPY_BYTES);
    this.#copying++;
    try {
      for (let count = await from.read(buffer); count !== null; count = await from.read(buffer)) {
        if (this.#phase === "refused" && !isToClient) continue;
        for (let at = 0; at < count;) {
          at += await to.write(buffer.subarray(at, count));
          if (isToClient && this.#phase === "open") this.#since = clock.now;
        }
        if (count === buffer.length && count < COPY_BYTES) buffer = new Uint8Array(COPY_BYTES);
      }
      if (this.#phase === "refused" && !isToClient) return this.cut();
      await to.closeWrite();
      if (isToClient) this.#hasSentAll = true;
      if (isToClient && this.#phase === "closing") this.cut();
    } catch (error) {
      // Either side is gone, and the other with it.
      logUnlessLost(error, this.#options.log);
      this.cut();
    } finally {
      this.#copying--;
      this.#settle();
    }
  }

  #settle(): void {
    if (this.#isEnded && this.#copying === 0) this.#ended.resolve();
  }
}

/** The other end of `leg`; any other connection is one of a stranger that found the port. */
async function acceptOwn(listener: Deno.TlsListener, leg: Deno.TcpConn): Promise<Deno.TlsConn> {
  for (;;) {
    const inner = await listener.accept();
    if (inner.remoteAddr.port === leg.localAddr.port) return inner;
    inner.close();
  }
}
