/** A TCP proxy between a client and a server that a test can cut, close and open again. */

/** Whose bytes are swallowed. */
type Swallowed = "both" | "clients";

/** A proxy that forwards every connection to a server until the test cuts them. */
export class CuttingProxy implements AsyncDisposable {
  #server: { hostname: string; port: number };
  readonly #pairs = new Set<readonly [Deno.TcpConn, Deno.TcpConn]>();
  readonly #pumps = new Set<Promise<void>>();
  readonly port: number;
  #listener: Deno.TcpListener;
  #accepting: Promise<void>;
  #isAway = false;
  readonly #swallowed = new Map<readonly [Deno.TcpConn, Deno.TcpConn], Swallowed>();
  /** Resolves at the end of a `hold`. */
  #held: PromiseWithResolvers<void> | undefined;
  /** Connections that were accepted so far. */
  accepted = 0;

  constructor(server: { hostname: string; port: number }) {
    this.#server = server;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = this.#listener.addr.port;
    this.#accepting = this.#accept();
  }

  get address(): { hostname: string; port: number } {
    return { hostname: "127.0.0.1", port: this.port };
  }

  /** Where connections lead from now on. */
  moveTo(server: { hostname: string; port: number }): void {
    this.#server = server;
  }

  /** Ends every connection, wherever in a line it is. */
  cut(): void {
    for (const pair of this.#pairs) for (const conn of pair) close(conn);
  }

  /** Swallows the bytes of both sides, or of the clients alone, on all connections that are open now; new connections work. */
  swallow(of: Swallowed = "both"): void {
    for (const pair of this.#pairs) this.#swallowed.set(pair, of);
  }

  /**
   * As a network that is cut: passes no bytes on all connections, of now and later, until `release`, which then delivers
   * them. Neither side learns of it, also if the other side ends meanwhile.
   */
  hold(): void {
    this.#held ??= Promise.withResolvers();
  }

  release(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  /** As a server that is killed: cuts, and refuses connections. */
  async leave(): Promise<void> {
    this.#isAway = true;
    close(this.#listener);
    this.cut();
    this.release();
    await this.#accepting;
  }

  comeBack(): void {
    this.#isAway = false;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: this.port });
    this.#accepting = this.#accept();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
    await Promise.all(this.#pumps);
  }

  async #accept(): Promise<void> {
    const listener = this.#listener;
    for (;;) {
      let client: Deno.TcpConn;
      try {
        client = await listener.accept();
      } catch {
        // Closed by the test.
        return;
      }
      this.accepted++;
      const pump = this.#join(client, listener).finally(() => this.#pumps.delete(pump));
      this.#pumps.add(pump);
    }
  }

  async #join(client: Deno.TcpConn, listener: Deno.TcpListener): Promise<void> {
    let server: Deno.TcpConn;
    try {
      server = await Deno.connect(this.#server);
    } catch {
      // The server is away: so is the proxy's end.
      return close(client);
    }
    const pair = [client, server] as const;
    if (this.#isAway || listener !== this.#listener) return pair.forEach(close);
    this.#pairs.add(pair);
    const held = () => this.#held?.promise;
    await Promise.all([
      forward(client, server, { held, isSwallowed: () => this.#swallowed.has(pair) }),
      forward(server, client, { held, isSwallowed: () => this.#swallowed.get(pair) === "both" }),
    ]);
    pair.forEach(close);
    this.#pairs.delete(pair);
    this.#swallowed.delete(pair);
  }
}

/** Until either end is closed; then closes both. */
async function forward(
  from: Deno.TcpConn,
  to: Deno.TcpConn,
  { isSwallowed, held }: { isSwallowed: () => boolean; held: () => Promise<void> | undefined },
): Promise<void> {
  const buffer = new Uint8Array(16 * 1024);
  try {
    for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
      await held();
      if (isSwallowed()) continue;
      for (let at = 0; at < n;) at += await to.write(buffer.subarray(at, n));
    }
  } catch {
    // Cut: that is what it is for.
  }
  await held();
  // Nor does the other side learn of the end.
  if (isSwallowed()) return;
  close(from);
  close(to);
}

function close(resource: { close(): void }): void {
  try {
    resource.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
