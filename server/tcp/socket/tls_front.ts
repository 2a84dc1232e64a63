/**
 * A TLS connection that the server can close at any time. Deno cannot close a TLS connection during its handshake: the
 * descriptor stays open until the client closes. So the server accepts plain TCP, and copies the bytes to and from a TLS
 * connection on loopback, which ends with the copying. The door makes one for each client of a server with TLS.
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
/** Size of each of the two copy buffers at first: there can be thousands of connections. */
const FIRST_COPY_BYTES = 2 * 1024;
/** Size of a copy buffer once the first one was filled. */
const COPY_BYTES = 64 * 1024;

interface TlsFrontOptions {
  /** The bytes of the client. */
  readonly conn: Wire;
  readonly tls: TlsFiles;
  readonly limits: Pick<ServerLimits, "handshakeMs" | "writeStallMs" | "lingerMs">;
  /** The coarse clock of the sweeper. */
  readonly clock: { readonly now: number };
  readonly log: Pick<Log, "bug">;
}

export class TlsFront implements Wire, Sweepable {
  readonly #options: TlsFrontOptions;
  readonly #ended = Promise.withResolvers<void>();
  #leg: Deno.TcpConn | undefined;
  #inner: Deno.TlsConn | undefined;
  #phase: "handshake" | "open" | "closing" | "refused" | "ended" = "handshake";
  /** When the handshake began, or when bytes were last passed to the client; by `clock`. */
  #since: number;
  #hasSentAll = false;
  /** Number of copy loops. Each holds descriptors until it has ended. */
  #copying = 0;

  constructor(options: TlsFrontOptions) {
    this.#options = options;
    this.#since = options.clock.now;
  }

  /** 0: the outbox counts all unread bytes. */
  get unread(): number {
    return 0;
  }

  /** Resolves when every descriptor is free again. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /**
   * Makes the TLS handshake. Resolves with false if the client fails it; then all is closed or will be. Throws the error
   * of the system if there is no descriptor for the loopback side.
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
      // The client does not speak a TLS version of this server, or it has left.
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

  /** Bytes that were written before still go to the client. */
  close(): void {
    if (this.#phase !== "open") return this.cut();
    const inner = this.#secured;
    this.#phase = "closing";
    if (this.#hasSentAll) return this.cut();
    // On Deno 2.6, `close` during a read sends no end of the TLS stream.
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

  /** A getter: TypeScript would not expect that the phase changes during an `await`. */
  get #isEnded(): boolean {
    return this.#phase === "ended";
  }

  get #secured(): Deno.TlsConn {
    if (this.#inner && !this.#isEnded) return this.#inner;
    throw new Deno.errors.BadResource("the TLS connection has ended");
  }

  /** Still sends the TLS alert with the reason, and drops the bytes of the client until it has read the alert. */
  #refuse(): void {
    if (this.#phase !== "handshake") return;
    this.#phase = "refused";
    this.#since = this.#options.clock.now;
    if (this.#inner) closeQuietly(this.#inner);
  }

  /** Opens the loopback side: its listener takes a single connection, so that no other program connects to it. */
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
    // It was cut in the meantime.
    if (this.#isEnded) return closeQuietly(this.#inner);
    void this.#copy(conn, this.#leg);
    void this.#copy(this.#leg, conn);
  }

  /** Copies until `from` ends; never throws. */
  async #copy(from: Wire, to: Wire): Promise<void> {
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
      // One side has ended, so the other ends too.
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

/** The other end of `leg`. Closes connections of other programs that found the port. */
async function acceptOwn(listener: Deno.TlsListener, leg: Deno.TcpConn): Promise<Deno.TlsConn> {
  for (;;) {
    const inner = await listener.accept();
    if (inner.remoteAddr.port === leg.localAddr.port) return inner;
    inner.close();
  }
}
