/** The address of a server, `HOST:PORT`, read and written. Every command that connects uses it. */

import { quote } from "../protocol/errors.ts";
import { ClientError } from "./client_error.ts";
import type { Address } from "./dial.ts";

export const DEFAULT_HOST = "127.0.0.1";
export const DEFAULT_PORT = 5000;

/** The address of a server, and the token for it. */
export interface Target extends Address {
  /** One of the server's tokens, if it has any. */
  readonly token?: string;
}

/**
 * Reads `host:port`, `[::1]:5000`, `host`, `::1`, `:5001` or `5001`; missing parts have their defaults.
 * Throws a `usage` error that quotes the text and its source, `from`.
 */
export function parseTarget(text: string, from?: string): Target {
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

/** `target` as text, with brackets around an IPv6 address. */
export function formatTarget({ hostname, port }: Target): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
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
