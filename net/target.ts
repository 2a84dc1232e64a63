/** The address of a server, `HOST:PORT`, read and written. Every command that connects uses it. */

import { quote } from "../protocol/errors.ts";
import { ClientError } from "./client_error.ts";
import type { Address } from "./dial.ts";
import type { Place, Places } from "./server_ring.ts";

export const DEFAULT_HOST = "127.0.0.1";
export const DEFAULT_PORT = 5000;

/** The address of a server, and the token for it. */
export interface Target extends Address, Places {
  /** One of the server's tokens, if it has any. */
  readonly token?: string;
}

/** Most servers of one list. */
const MAX_SERVERS = 64;

/**
 * Reads `host:port`, `[::1]:5000`, `host`, `::1`, `:5001` or `5001`; missing parts have their defaults. Several servers of
 * one cluster stand in a list with commas. Throws a `usage` error that quotes the text and its source, `from`.
 */
export function parseTarget(text: string, from?: string): Target {
  const [first, ...others] = text.split(",").map((part) => parsePlace(part, from));
  if (others.length >= MAX_SERVERS) {
    throw new ClientError("usage", `a list names at most ${MAX_SERVERS} servers`);
  }
  return others.length === 0 ? first! : { ...first!, others };
}

function parsePlace(text: string, from: string | undefined): Place {
  const trimmed = text.trim();
  if (/^\d+$/.test(trimmed)) return { hostname: DEFAULT_HOST, port: parsePort(trimmed, text) };
  const match = /^\[([0-9A-Fa-f:.%]+)\](?::(\d+))?$/.exec(trimmed) ?? // [::1]:5000
    /^([0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)$/.exec(trimmed) ?? // ::1
    /^([A-Za-z0-9._-]*)(?::(\d+))?$/.exec(trimmed); // host:5000
  if (!match || trimmed === "") {
    throw new ClientError(
      "usage",
      `not the address of a server: ${quote(text)}${from === undefined ? "" : `, from ${from}`}; ` +
        `write it like ${DEFAULT_HOST}:${DEFAULT_PORT}`,
    );
  }
  const [, host = "", port] = match;
  return {
    hostname: host === "" ? DEFAULT_HOST : host,
    port: port === undefined ? DEFAULT_PORT : parsePort(port, text),
  };
}

/** `target` as text, with brackets around an IPv6 address; without its others. */
export function formatTarget({ hostname, port }: Place): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** The text that `parseTarget` reads, with the others. */
export function formatTargets(target: Place & Places): string {
  return [target, ...target.others ?? []].map(formatTarget).join(",");
}

function parsePort(digits: string, text: string): number {
  const port = Number(digits);
  if (port >= 1 && port <= 65535) return port;
  throw new ClientError("usage", `a port is from 1 to 65535; this is ${digits} in ${quote(text)}`);
}

/** Whether `hostname`, with or without brackets, is an address of this machine only. */
export function isLoopback(hostname: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(hostname);
}
