/**
 * The sockets that the server listens on: the one port for everyone, plain or TLS; and, where the server
 * has workers of its own, a plain one for them alone, on loopback and any free port. So they need
 * not trust the server's certificate, whatever names it is for, and no flood of clients keeps them out.
 */

import type { ServeConfig } from "../../config.ts";

export interface Listeners {
  /** Accepts plain TCP, also where the port speaks TLS: see `tls_front.ts`. */
  readonly open: Deno.TcpListener;
  readonly own: Deno.TcpListener | undefined;
}

/** Throws what the system says: the address is in use, the certificate is none. */
export function openListeners(config: ServeConfig): Listeners {
  const { hostname, port, tls, workers } = config;
  // Only to see, before a client comes, that the certificate and the key are good for it.
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
