/**
 * The URLs of the redis engine: `redis://`, `rediss://` (TLS), and `redis+sentinel://` for Sentinel. Several hosts are
 * allowed, so the parser is our own.
 */

import { ClientError } from "../../../net/client_error.ts";
import { quote } from "../../../protocol/errors.ts";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface RedisAddress {
  /** Servers of Redis, or the Sentinels that know them; at least one. They are tried in turn. */
  readonly hosts: readonly HostPort[];
  /** The name of the master, if `hosts` are Sentinels. */
  readonly master: string | undefined;
  readonly isTls: boolean;
  /** A file of certificates to trust, in PEM, beside the certificates of the system. */
  readonly caFile: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** The number of the database. */
  readonly db: number;
  /** All keys begin with `{sd:NAME}:`, so several systems can share one Redis. */
  readonly name: string;
  /** Replicas that must have a commit on their disk before it is acknowledged. */
  readonly replicas: number;
}

const SCHEMES: ReadonlyMap<string, { readonly isTls: boolean; readonly isSentinel: boolean }> =
  new Map([
    ["redis", { isTls: false, isSentinel: false }],
    ["rediss", { isTls: true, isSentinel: false }],
    ["redis+sentinel", { isTls: false, isSentinel: true }],
    ["redis-sentinel", { isTls: false, isSentinel: true }],
    ["rediss+sentinel", { isTls: true, isSentinel: true }],
    ["rediss-sentinel", { isTls: true, isSentinel: true }],
  ]);
const PARAMETERS = ["name", "wait", "sentinel", "cafile"] as const;
const REDIS_PORT = 6379;
const SENTINEL_PORT = 26379;
const MAX_DB = 1_000_000;
const MAX_REPLICAS = 100;
const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const EXAMPLE = "an example is redis://HOST:6379/0?name=sd";

/** Throws a `ClientError` that names the part that is wrong; no message contains the password. */
export function parseRedisUrl(url: string): RedisAddress {
  const parts = /^([a-z+-]+):\/\/(?:([^@/?]*(?:@[^@/?]*)*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/
    .exec(url);
  const scheme = SCHEMES.get(parts?.[1] ?? "");
  if (!parts || !scheme) throw wrong("it does not look like a URL of Redis");
  const [, , credentials, places, path = "", query = ""] = parts;
  const parameters = readParameters(query);
  const isSentinel = scheme.isSentinel || parameters.has("sentinel");
  const [masterInPath, dbInPath] = scheme.isSentinel ? splitPath(path) : [undefined, path];
  const master = isSentinel ? parameters.get("sentinel") ?? masterInPath : undefined;
  if (isSentinel && !master) {
    throw wrong("it names no master; write redis+sentinel://HOST:26379/MASTER");
  }
  const name = parameters.get("name") ?? "sd";
  if (!NAME.test(name)) throw wrong(`name is ${quote(name)}; it can have letters, digits, . _ -`);
  return {
    hosts: readHosts(places ?? "", isSentinel ? SENTINEL_PORT : REDIS_PORT),
    master: master === undefined ? undefined : decoded(master),
    isTls: scheme.isTls,
    caFile: parameters.get("cafile"),
    ...readCredentials(credentials),
    db: readNumber("the database", dbInPath || "0", MAX_DB),
    name,
    replicas: readNumber("wait", parameters.get("wait") ?? "0", MAX_REPLICAS),
  };
}

/** The address for people: without user, password and parameters. */
export function redisLabel({ hosts, master, isTls, db }: RedisAddress): string {
  const places = hosts.map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`)
    .join(",");
  const scheme = `redis${isTls ? "s" : ""}${master === undefined ? "" : "+sentinel"}`;
  const path = master === undefined ? "" : `/${master}`;
  return `${scheme}://${places}${path}${db === 0 ? "" : `/${db}`}`;
}

function readParameters(query: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (!(PARAMETERS as readonly string[]).includes(name)) {
      throw wrong(`it has no parameter ${quote(name)}; there are ${PARAMETERS.join(", ")}`);
    }
    parameters.set(name, value);
  }
  return parameters;
}

function splitPath(path: string): [master: string | undefined, db: string] {
  const [master = "", db = "", ...more] = path.split("/");
  if (more.length > 0) throw wrong("its path has too many parts");
  return [master === "" ? undefined : master, db];
}

function readCredentials(
  text: string | undefined,
): Pick<RedisAddress, "username" | "password"> {
  if (text === undefined || text === "") return { username: undefined, password: undefined };
  const colon = text.indexOf(":");
  const username = decoded(colon < 0 ? text : text.slice(0, colon));
  const password = colon < 0 ? undefined : decoded(text.slice(colon + 1));
  return { username: username === "" ? undefined : username, password };
}

function readHosts(places: string, usualPort: number): HostPort[] {
  return places.split(",").map((place) => {
    const [, bracketed, plain, port] = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/
      .exec(place) ?? [];
    const host = bracketed ?? plain;
    if (host === undefined) throw wrong(`${quote(place)} is not HOST:PORT`);
    const number = port === undefined ? usualPort : Number(port);
    if (number < 1 || number > 65_535) throw wrong(`there is no port ${number}`);
    return { host, port: number };
  });
}

function readNumber(what: string, text: string, max: number): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (number <= max) return number;
  throw wrong(`${what} is ${quote(text)}, and must be a number from 0 to ${max}`);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong("a % in it does not stand before two hexadecimal digits; write %25 for a %");
  }
}

function wrong(reason: string): ClientError {
  return new ClientError("usage", `cannot use this URL of Redis: ${reason}`, { hint: EXAMPLE });
}
