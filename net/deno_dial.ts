/** Connections by the sockets of Deno. */

import { PromptWire } from "./prompt_wire.ts";
import type { Address, Wire } from "./wire.ts";

/** Throws what the system says. `signal` gives it up. */
export async function dialDeno(address: Address, signal?: AbortSignal): Promise<Wire> {
  const { hostname, port, tls } = address;
  const conn = await Deno.connect({ hostname, port, ...(signal ? { signal } : {}) });
  // Small writes must leave at once: a lone task would wait 40 ms for them otherwise.
  conn.setNoDelay(true);
  // A task may take hours, in which nothing travels: a vanished server must still be noticed.
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
  // What listens may accept and say nothing for ever.
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
