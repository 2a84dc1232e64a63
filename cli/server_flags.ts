/** The flags by which a command finds its server; what they come to is found by `server_choice.ts`. */

import type { FlagSpecs } from "./flag_spec.ts";
import { chooseServer, type ServerFlagValues } from "./server_choice.ts";
import { DEFAULT_HOST, DEFAULT_PORT, type Target } from "../net/target.ts";

export type { ServerFlagValues } from "./server_choice.ts";

/** Flags of every command that connects to a server. */
export const SERVER_FLAGS = {
  server: {
    type: "string",
    help: "the server to speak to",
    value: "HOST:PORT",
    inherits: `SD_SERVER, the context, ${DEFAULT_HOST}:${DEFAULT_PORT}`,
  },
  context: {
    type: "string",
    help: "the server of this name, see sd context",
    value: "CONTEXT",
    inherits: "SD_CONTEXT, the one in use",
  },
  tls: { type: "boolean", help: "speak TLS with it" },
  tlsCa: {
    type: "string",
    help: "certificate in PEM to trust besides those of the system; speaks TLS",
    value: "FILE",
    inherits: "SD_TLS_CA",
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
    inherits: "SD_TOKEN",
  },
} as const satisfies FlagSpecs;

/** The server that the flags, the environment and the contexts name. Throws `usage`. */
export function targetOf(flags: ServerFlagValues): Target {
  return chooseServer({ flags }).target;
}
