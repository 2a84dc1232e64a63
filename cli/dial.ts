/** Opens the connection to a server, plain or TLS. Used by the client library and by worker processes. */

/** Where to, and whom to trust. */
export interface Address {
  readonly hostname: string;
  readonly port: number;
  /** Speak TLS; `caCerts` in PEM are trusted besides those of the system. */
  readonly tls?: { readonly caCerts: readonly string[] };
}

/** Throws what the system says. */
export async function dial(address: Address, signal?: AbortSignal): Promise<Deno.Conn> {
  const { hostname, port, tls } = address;
  const conn = await Deno.connect({ hostname, port, ...(signal ? { signal } : {}) });
  // Small writes must leave at once: a lone task would wait 40 ms for them otherwise.
  conn.setNoDelay(true);
  // A task may take hours, in which nothing travels: a vanished server must still be noticed.
  conn.setKeepAlive(true);
  if (!tls) return conn;
  const secured = await Deno.startTls(conn, { hostname, caCerts: [...tls.caCerts] });
  try {
    await secured.handshake();
    return secured;
  } catch (error) {
    secured.close();
    throw error;
  }
}
