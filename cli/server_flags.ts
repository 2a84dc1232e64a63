/**
 * The server that a command connects to: its flags, and the choice among flags, environment and contexts. Of each
 * line the first that is set counts.
 *
 *     server   --server or --context, SD_SERVER, SD_CONTEXT, the context in use, 127.0.0.1:5000
 *     token    --token-file, --token, SD_TOKEN, the token of the context
 *     TLS      --tls, --tls-ca, SD_TLS_CA, the TLS of the context.
 *
 * The token and the TLS of a context are used for its own server only, never for a server that a flag or `SD_SERVER` names.
 */

import { ClientError } from "../net/client_error.ts";
import { DEFAULT_HOST, DEFAULT_PORT, parseTarget, type Target } from "../net/target.ts";
import { quote } from "../protocol/errors.ts";
import {
  type Context,
  contextNamed,
  type Contexts,
  DEFAULT_CONTEXT,
  readContexts,
} from "./contexts.ts";
import type { FlagSpecs } from "./flag_spec.ts";

/** Flags of every command that connects to a server. */
export const SERVER_FLAGS = {
  server: {
    type: "string",
    help: "server to connect to; several of one cluster with commas, tried in turn",
    value: "HOST:PORT,…",
    inherits: `SD_SERVER, the context, ${DEFAULT_HOST}:${DEFAULT_PORT}`,
  },
  context: {
    type: "string",
    help: "named server; see sd context",
    value: "CONTEXT",
    inherits: "SD_CONTEXT, the context in use",
  },
  tls: { type: "boolean", help: "use TLS" },
  tlsCa: {
    type: "string",
    help: "additional certificate in PEM to trust; implies --tls",
    value: "FILE",
    inherits: "SD_TLS_CA",
  },
} as const satisfies FlagSpecs;

/** Flags of every command that is a client of a server. */
export const CLIENT_FLAGS = {
  ...SERVER_FLAGS,
  tokenFile: { type: "string", help: "file with the token of the server", value: "FILE" },
  token: {
    type: "string",
    help: "token itself; visible to other users of this machine, unlike a file",
    value: "TOKEN",
    inherits: "SD_TOKEN",
  },
} as const satisfies FlagSpecs;

/** The server that the flags, the environment and the contexts name. Throws `usage`. */
export function targetOf(flags: ServerFlagValues): Target {
  return chooseServer({ flags }).target;
}

/** The values of the flags. A command without a token flag has no member `token`. */
export interface ServerFlagValues {
  server?: string | undefined;
  context?: string | undefined;
  tls?: boolean;
  tlsCa?: string | undefined;
  token?: string | undefined;
  tokenFile?: string | undefined;
}

export interface ServerChoice {
  readonly target: Target;
  /** The name of the context of the server. */
  readonly context: string | undefined;
  /** The source of each, for people: `--server`, `SD_TOKEN`, `context "prod"`. */
  readonly from: {
    readonly server: string;
    readonly token: string | undefined;
    readonly tls: string | undefined;
  };
  /** The file of the token, if it comes from a file. */
  readonly tokenFile: string | undefined;
}

interface ServerSources {
  readonly flags: ServerFlagValues;
  /** Default: the environment of the process. */
  readonly env?: (name: string) => string | undefined;
  readonly contexts?: () => Contexts;
}

/** Finds the server by the order above. Throws `usage` for an input that cannot be read. */
export function chooseServer(
  { flags, env = (name) => Deno.env.get(name), contexts = readContexts }: ServerSources,
): ServerChoice {
  // An empty variable is an unset one, as in `SD_SERVER= sd status`.
  const variable = (name: string) => env(name) || undefined;
  const place = placeOf({ flags, variable, contexts });
  const tls = tlsOf(place, { flags, variable });
  const token = "token" in flags ? tokenOf(place, { flags, variable }) : undefined;
  return {
    target: {
      ...parseTarget(place.server, place.from),
      ...(tls ? { tls: { caCerts: tls.file === undefined ? [] : [readFile(tls.file)] } } : {}),
      ...(token ? { token: token.text } : {}),
    },
    context: place.name,
    from: { server: place.from, token: token?.from, tls: tls?.from },
    tokenFile: token?.file,
  };
}

interface Lookup {
  readonly flags: ServerFlagValues;
  variable(name: string): string | undefined;
}

interface Place {
  readonly server: string;
  readonly from: string;
  readonly name?: string;
  readonly context?: Context;
}

function placeOf({ flags, variable, contexts }: Lookup & { contexts(): Contexts }): Place {
  if (flags.server !== undefined && flags.context !== undefined) {
    throw new ClientError("usage", "--server and --context both name a server", {
      hint: "give one of them",
    });
  }
  if (flags.server !== undefined) return { server: flags.server, from: "--server" };
  if (flags.context !== undefined) return placeNamed(contexts(), flags.context, "--context");
  const server = variable("SD_SERVER");
  if (server !== undefined) return { server, from: "SD_SERVER" };
  const name = variable("SD_CONTEXT");
  if (name !== undefined) return placeNamed(contexts(), name, "SD_CONTEXT");
  const all = contexts();
  if (all.current !== undefined) return placeNamed(all, all.current, "sd context use");
  return DEFAULT_PLACE;
}

const DEFAULT_PLACE: Place = { server: `${DEFAULT_HOST}:${DEFAULT_PORT}`, from: "default" };

function placeNamed(contexts: Contexts, name: string, from: string): Place {
  const context = contextNamed(contexts, { name, from });
  if (!context) return { ...DEFAULT_PLACE, name: DEFAULT_CONTEXT, from };
  return { server: context.server, name, context, from: `context ${quote(name)} (${from})` };
}

function tlsOf(
  { name, context }: Place,
  { flags, variable }: Lookup,
): { file: string | undefined; from: string } | undefined {
  if (flags.tlsCa !== undefined) return { file: flags.tlsCa, from: "--tls-ca" };
  const file = variable("SD_TLS_CA");
  if (file !== undefined) return { file, from: "SD_TLS_CA" };
  const from = `context ${quote(name)}`;
  if (context?.tls_ca !== undefined) return { file: context.tls_ca, from };
  if (flags.tls) return { file: undefined, from: "--tls" };
  return context?.tls ? { file: undefined, from } : undefined;
}

function tokenOf(
  { name, context }: Place,
  { flags, variable }: Lookup,
): { text: string; from: string; file?: string } | undefined {
  const file = flags.tokenFile;
  if (file !== undefined && flags.token !== undefined) {
    throw new ClientError("usage", "--token-file and --token both give a token", {
      hint: "give one of them",
    });
  }
  if (file !== undefined) return { text: tokenIn(file), from: "--token-file", file };
  if (flags.token !== undefined) {
    return { text: tokenFrom(flags.token, "--token"), from: "--token" };
  }
  const given = variable("SD_TOKEN");
  if (given !== undefined) return { text: tokenFrom(given, "SD_TOKEN"), from: "SD_TOKEN" };
  const from = `context ${quote(name)}`;
  if (context?.token_file !== undefined) {
    return { text: tokenIn(context.token_file), from, file: context.token_file };
  }
  if (context?.token_env === undefined) return undefined;
  const held = variable(context.token_env);
  if (held !== undefined) {
    return { text: tokenFrom(held, context.token_env), from: `${from}, ${context.token_env}` };
  }
  throw new ClientError(
    "usage",
    `${from} has its token in the variable ${context.token_env}, which is not set`,
    {
      hint: `set it: export ${context.token_env}=TOKEN`,
    },
  );
}

function tokenFrom(text: string, from: string): string {
  const token = text.trim();
  if (token === "") throw new ClientError("usage", `${from} holds only spaces, and no token`);
  return token;
}

/** The first line of the file that is neither empty nor a comment. */
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
