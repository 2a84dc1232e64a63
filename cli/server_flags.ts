/** The flags by which a command finds its server, and what they come to: one `Target`. */

import { ClientError } from "./client_error.ts";
import type { FlagSpecs } from "./flag_spec.ts";
import { DEFAULT_HOST, DEFAULT_PORT, parseTarget, type Target } from "./target.ts";

/** Flags of every command that connects to a server. */
export const SERVER_FLAGS = {
  server: {
    type: "string",
    help: "the server to speak to",
    value: "HOST:PORT",
    env: "SD_SERVER",
    default: `${DEFAULT_HOST}:${DEFAULT_PORT}`,
  },
  tls: { type: "boolean", help: "speak TLS with it" },
  tlsCa: {
    type: "string",
    help: "certificate in PEM to trust besides those of the system; speaks TLS",
    value: "FILE",
    env: "SD_TLS_CA",
  },
} as const satisfies FlagSpecs;

/** Flags of every command that speaks to a server as a client does. */
export const CLIENT_FLAGS = {
  ...SERVER_FLAGS,
  tokenFile: { type: "string", help: "file that holds the token of the server", value: "FILE" },
  token: {
    type: "string",
    help: "the token itself; others on this machine can see it, a file they cannot",
    value: "TOKEN",
    env: "SD_TOKEN",
  },
} as const satisfies FlagSpecs;

/** What the flags above were given as. */
export interface ServerFlagValues {
  server: string;
  tls?: boolean;
  tlsCa?: string | undefined;
  token?: string | undefined;
  tokenFile?: string | undefined;
}

/** The server that the flags name. Throws a `usage` error for what cannot be read. */
export function targetOf(flags: ServerFlagValues): Target {
  const caCerts = flags.tlsCa === undefined ? [] : [readFile(flags.tlsCa)];
  const token = flags.tokenFile === undefined ? flags.token : tokenIn(flags.tokenFile);
  return {
    ...parseTarget(flags.server),
    ...(flags.tls || flags.tlsCa !== undefined ? { tls: { caCerts } } : {}),
    ...(token === undefined ? {} : { token: token.trim() }),
  };
}

/** The first line that is no comment. */
function tokenIn(path: string): string {
  const token = readFile(path).split("\n").map((line) => line.trim())
    .find((line) => line !== "" && !line.startsWith("#"));
  if (token !== undefined) return token;
  throw new ClientError("usage", `${path} holds no token: write it on a line of its own`);
}

function readFile(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClientError("usage", `cannot read ${path}: ${reason}`, { cause: error });
  }
}
