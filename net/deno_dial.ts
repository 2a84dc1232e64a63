/** Opens connections with Deno's sockets. */

import { PromptWire } from "./prompt_wire.ts";
import type { Address, Wire } from "./wire.ts";

/** Opens a connection. Throws the error of the system; `signal` ends the try. */
export async function dialDeno(address: Address, signal?: AbortSignal): Promise<Wire> {
  const { hostname, port, tls } = address;
  const conn = await Deno.connect({ hostname, port, ...(signal ? { signal } : {}) });
  // Small writes must leave at once: a lone task would wait 40 ms for them otherwise.
  conn.setNoDelay(true);
  // A task can take hours without a byte: a server that vanishes must still be noticed.
  conn.setKeepAlive(true);
  if (!tls) return conn;
  const secured = await secure(conn, { hostname, caCerts: tls.caCerts, signal });
  return address.isSealed ? secured : new PromptWire(secured);
}

interface Trust {
  readonly hostname: string;
  readonly caCerts: readonly string[];
  readonly signal: AbortSignal | undefined;
}

async function secure(conn: Deno.TcpConn, { hostname, caCerts, signal }: Trust): Promise<Wire> {
  const secured = await Deno.startTls(conn, { hostname, caCerts: [...caCerts] });
  // The other side can accept and never send a byte.
  const giveUp = () => secured.close();
  signal?.addEventListener("abort", giveUp);
  try {
    signal?.throwIfAborted();
    await secured.handshake();
    return secured;
  } catch (error) {
    if (!signal?.aborted) secured.close();
    throw error;
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
}
