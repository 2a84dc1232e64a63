/**
 * Opens the connection to a server, plain or TLS: the one place where the client library asks which runtime
 * it is on. Used by it and by worker processes.
 */

import { dialDeno } from "./deno_dial.ts";
import type { Address, Wire } from "./wire.ts";

export type { Address, Wire } from "./wire.ts";

/** Throws what the system says. `signal` gives it up. */
export async function dial(address: Address, signal?: AbortSignal): Promise<Wire> {
  // Deno has node:net as well, and its own sockets are quicker.
  if (typeof Deno === "object") return await dialDeno(address, signal);
  const { dialNode } = await import("./node_dial.ts");
  return await dialNode(address, signal);
}
