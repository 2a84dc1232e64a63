/**
 * Opens the connection to a server, plain or TLS, for clients and worker processes. Only this file of the client
 * library asks which runtime it is on.
 */

import { dialDeno } from "./deno_dial.ts";
import type { Address, Wire } from "./wire.ts";

export type { Address, Wire } from "./wire.ts";

/** Opens a connection. Throws the error of the system; `signal` ends the try. */
export async function dial(address: Address, signal?: AbortSignal): Promise<Wire> {
  // Deno has node:net as well, but its own sockets are faster.
  if (typeof Deno === "object") return await dialDeno(address, signal);
  const { dialNode } = await import("./node_dial.ts");
  return await dialNode(address, signal);
}
