/**
 * The sockets that the server listens on: the one port for everyone, plain or TLS; and, where the server
 * has workers of its own, a plain one for them alone, on loopback and any free port. So they need
 * not trust the server's certificate, whatever names it is for, and no flood of clients keeps them out.
 */

import type { ServeConfig } from "../config.ts";

export interface Listeners {
  readonly open: Deno.Listener;
  readonly own: Deno.Listener | undefined;
}

/** Throws what the system says: the address is in use, the certificate is none. */
export function openListeners(config: ServeConfig): Listeners {
  const { hostname, port, tls, workers } = config;
  const open = tls ? Deno.listenTls({ hostname, port, ...tls }) : Deno.listen({ hostname, port });
  if (workers === 0) return { open, own: undefined };
  try {
    return { open, own: Deno.listen({ hostname: "127.0.0.1", port: 0 }) };
  } catch (error) {
    open.close();
    throw error;
  }
}
