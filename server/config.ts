/** The configuration of `sd serve`, checked: addresses, tokens, certificates. */

import { ClientError } from "../net/client_error.ts";
import type { IpRanges } from "../net/ip_address.ts";
import { isLoopback } from "../net/target.ts";
import { quote, SdError } from "../protocol/errors.ts";
import type { PoolWork } from "../protocol/pool_start.ts";

/** Both in PEM. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

export interface ServeConfig {
  readonly hostname: string;
  /** 0: any free one. */
  readonly port: number;
  readonly workers: number;
  /** The task files and permissions of the server's own workers. */
  readonly work: PoolWork;
  /** The arguments that named the task files; set if changed files are loaded again. */
  readonly watch?: readonly string[] | undefined;
  /** Without tokens, every client that can connect is let in. */
  readonly tokens: readonly string[];
  readonly tls: TlsFiles | undefined;
  /** Load balancers, which begin each connection with a PROXY header. */
  readonly proxies?: IpRanges | undefined;
}

/** Least length of a token: a shorter one could be found by guessing. */
const MIN_TOKEN_CHARS = 16;
/** Longest token: it must fit into the first line of a client. */
const MAX_TOKEN_CHARS = 1024;

/** Throws `bad_request` for an address that others can reach, unless it is protected. */
export function checkAddress(
  { hostname, tokens, tls }: Pick<ServeConfig, "hostname" | "tokens" | "tls">,
  insecure: boolean,
): void {
  if (isLoopback(hostname) || insecure || (tokens.length > 0 && tls)) return;
  throw new SdError(
    "bad_request",
    `${
      quote(hostname)
    } is an address that other machines can reach, and a client on one of them could run ` +
      "tasks; give the server a token (--token-file) and a certificate (--tls-cert, --tls-key), " +
      "listen on 127.0.0.1, or say --insecure if the network itself is closed to others",
  );
}

/** The tokens in a file (one a line; a line that begins with `#` is a comment), or that in `SD_TOKEN`. */
export function readTokens(
  { file, variable }: { file: string | undefined; variable: string | undefined },
): string[] {
  const lines = file === undefined
    ? [variable ?? ""]
    : readText(file, "--token-file").split("\n").filter((line) => !/^\s*#/.test(line));
  const tokens = lines.map((line) => line.trim()).filter((line) => line !== "");
  if (file === undefined && variable && tokens.length === 0) {
    throw new ClientError("usage", "SD_TOKEN holds no token, but spaces alone", {
      hint: "set it to a token, or serve without one: unset SD_TOKEN",
    });
  }
  if (file !== undefined && tokens.length === 0) {
    throw new ClientError("usage", `${file} holds no token: write one on a line of its own`);
  }
  if (tokens.some((token) => token.length < MIN_TOKEN_CHARS)) {
    throw new ClientError("usage", `a token has ${MIN_TOKEN_CHARS} characters or more`, {
      hint: "make one with: openssl rand -hex 32",
    });
  }
  if (tokens.some((token) => token.length > MAX_TOKEN_CHARS)) {
    throw new ClientError("usage", `a token has ${MAX_TOKEN_CHARS} characters at most`);
  }
  return tokens;
}

/** The certificate and its key; nothing when neither was named. */
export function readTlsFiles(
  { cert, key }: { cert: string | undefined; key: string | undefined },
): TlsFiles | undefined {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw new ClientError("usage", "TLS needs both --tls-cert and --tls-key");
  }
  return {
    cert: readPem(cert, { flag: "--tls-cert", holds: "CERTIFICATE" }),
    key: readPem(key, { flag: "--tls-key", holds: "PRIVATE KEY" }),
  };
}

function readPem(path: string, { flag, holds }: { flag: string; holds: string }): string {
  const text = readText(path, flag);
  if (new RegExp(`^-----BEGIN (?:RSA |EC )?${holds}-----`, "m").test(text)) return text;
  throw new ClientError("usage", `${path} (${flag}) holds no ${holds.toLowerCase()} in PEM`, {
    hint: text.includes("ENCRYPTED")
      ? "it is encrypted; write it without a password: openssl pkey -in FILE"
      : `it should begin with -----BEGIN ${holds}-----`,
  });
}

function readText(path: string, flag: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClientError("usage", `cannot read ${path} (${flag}): ${reason}`, { cause: error });
  }
}
