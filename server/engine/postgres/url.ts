/**
 * Reads the URL of a PostgreSQL engine: as libpq reads it, with `schema` as one more parameter. No message and no label
 * that comes from here holds a password.
 */

import { closestString } from "@std/text/closest-string";
import { ClientError } from "../../../net/client_error.ts";
import { quote } from "../../../protocol/errors.ts";

const TLS_MODES = [
  "disable",
  "allow",
  "prefer",
  "require",
  "verify-ca",
  "verify-full",
] as const;
type TlsMode = typeof TLS_MODES[number];

/** A host of the URL. A `host` with a slash in front is the folder of a Unix socket. */
export interface Host {
  readonly host: string;
  readonly port: number;
}

/** Where a database is, and how to connect to it. */
export interface PostgresTarget {
  /** At least one. */
  readonly hosts: readonly Host[];
  readonly user: string;
  readonly database: string;
  /** A lower-case identifier. */
  readonly schema: string;
  /** The password in the URL, if there is one. */
  readonly password: string | undefined;
  /** The password file that the URL names. */
  readonly passFile: string | undefined;
  readonly tls: {
    readonly mode: TlsMode;
    /** Paths of files in PEM; `system` as `rootCert` stands for the certificates of the system. */
    readonly rootCert: string | undefined;
    readonly cert: string | undefined;
    readonly key: string | undefined;
  };
  readonly applicationName: string;
  readonly connectTimeoutMs: number;
  /** The URL for people: without password and parameters. */
  readonly label: string;
}

const FORM = "postgres://USER@HOST:5432/DATABASE?sslmode=verify-full";
const DEFAULT_PORT = 5432;
/** Default of `connect_timeout`, in ms, for each host. */
const CONNECT_TIMEOUT_MS = 2000;
const MAX_CONNECT_TIMEOUT_S = 60;
const MAX_HOSTS = 16;
/** Longest schema name: names of its indexes must fit into 63 bytes too. */
const MAX_SCHEMA = 40;
const DEFAULT_SCHEMA = "sd";

/** Parameters of libpq that change nothing here, or that sd sets for itself. */
const IGNORED = new Set([
  "fallback_application_name",
  "keepalives",
  "keepalives_idle",
  "keepalives_interval",
  "keepalives_count",
  "tcp_user_timeout",
  "client_encoding",
  "gssencmode",
  "load_balance_hosts",
]);
const PARAMETERS = [
  "host",
  "port",
  "user",
  "password",
  "dbname",
  "passfile",
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
  "schema",
  "target_session_attrs",
  "application_name",
  "connect_timeout",
  "channel_binding",
] as const;
type Parameter = typeof PARAMETERS[number];

/** Throws a `ClientError` that names the part that is wrong. */
export function parsePostgresUrl(
  url: string,
  env: (name: string) => string | undefined = () => undefined,
): PostgresTarget {
  const parts = /^postgres(?:ql)?:\/\/(?:([^@/?#]*)@)?([^@/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/
    .exec(url);
  // A password with a question mark looks like parameters, and must not be shown as such.
  const isCut = parts !== null && parts[1] === undefined && parts[4]?.includes("@");
  if (parts === null || isCut || /[\0-\x20\x7f]/.test(url)) {
    throw refusal(
      isCut || url.includes("#") || (url.match(/@/g)?.length ?? 0) > 1
        ? `it has a character that must be written with a percent sign: %40 for @, %23 for #, %2F for /, %3F for ?`
        : "it does not look like one",
    );
  }
  const [, login = "", authority = "", path = "", query = ""] = parts;
  const given = parametersOf(query);
  const colon = login.indexOf(":");
  const user = decoded(colon < 0 ? login : login.slice(0, colon), "the user") ||
    given.get("user") ||
    env("PGUSER") || env("USER") || env("LOGNAME") || "postgres";
  const password = colon < 0
    ? given.get("password")
    : decoded(login.slice(colon + 1), "the password");
  const database = decoded(path, "the database") || given.get("dbname") || env("PGDATABASE") ||
    user;
  const hosts = hostsOf(authority, given, env);
  return {
    hosts,
    user,
    database,
    schema: schemaOf(given.get("schema")),
    password: password || undefined,
    passFile: given.get("passfile"),
    tls: tlsOf(given, env),
    applicationName: given.get("application_name") ?? "sd",
    connectTimeoutMs: timeoutOf(given.get("connect_timeout")),
    label: `postgres://${user}@${hosts.map(hostText).join(",")}/${database}`,
  };
}

/** `HOST:PORT`, for messages. */
export function hostText({ host, port }: Host): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function refusal(reason: string): ClientError {
  return new ClientError("usage", `cannot use this URL of PostgreSQL: ${reason}`, {
    hint: `an example is ${FORM}`,
  });
}

/** Text with percent signs as it was meant. `what` names it, since the text itself may be secret. */
function decoded(text: string, what: string): string {
  let plain: string;
  try {
    plain = decodeURIComponent(text);
  } catch {
    throw refusal(`${what} has a percent sign that no two hex digits follow; write %25 for %`);
  }
  if (plain.includes("\0")) throw refusal(`${what} has the character U+0000`);
  return plain;
}

function parametersOf(query: string): Map<Parameter, string> {
  const given = new Map<Parameter, string>();
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    const name = decoded(at < 0 ? pair : pair.slice(0, at), "the name of a parameter");
    if (IGNORED.has(name)) continue;
    if (!isParameter(name)) {
      const near = closestString(name, [...PARAMETERS]);
      throw refusal(
        name === "options"
          ? "options is not supported; sd makes the settings of its sessions itself"
          : `it has the unknown parameter ${quote(name)}; is that ${near}?`,
      );
    }
    if (at < 0) throw refusal(`its parameter ${name} has no value`);
    if (given.has(name)) throw refusal(`its parameter ${name} stands there twice`);
    given.set(name, decoded(pair.slice(at + 1), `the value of ${name}`));
  }
  checkFixed(given);
  return given;
}

function isParameter(name: string): name is Parameter {
  return (PARAMETERS as readonly string[]).includes(name);
}

/** Parameters of which only some values make sense for a server that writes. */
function checkFixed(given: ReadonlyMap<Parameter, string>): void {
  const target = given.get("target_session_attrs") ?? "read-write";
  if (!["any", "read-write", "primary", "prefer-primary"].includes(target)) {
    throw refusal(
      `target_session_attrs is ${quote(target)}; sd writes, so it must be read-write or primary`,
    );
  }
  const binding = given.get("channel_binding") ?? "prefer";
  if (!["disable", "prefer", "require"].includes(binding)) {
    throw refusal(`channel_binding is ${quote(binding)}; it can be disable, prefer or require`);
  }
  if (binding === "require") {
    throw refusal("channel_binding=require is not supported; use sslmode=verify-full instead");
  }
}

function hostsOf(
  authority: string,
  given: ReadonlyMap<Parameter, string>,
  env: (name: string) => string | undefined,
): Host[] {
  const fromUrl = authority === "" ? [] : authority.split(",").map(hostAndPort);
  if (fromUrl.length > 0 && given.has("host")) throw refusal("it names its hosts twice");
  const names = given.get("host") ?? (fromUrl.length > 0 ? undefined : env("PGHOST"));
  const list = names === undefined ? fromUrl : names.split(",").map((host) => ({ host, port: "" }));
  if (list.length === 0) list.push({ host: "", port: "" });
  if (list.length > MAX_HOSTS) {
    throw refusal(`it names ${list.length} hosts; the limit is ${MAX_HOSTS}`);
  }
  const ports = (given.get("port") ?? env("PGPORT") ?? "").split(",");
  if (ports.length > 1 && ports.length !== list.length) {
    throw refusal(`it names ${list.length} hosts and ${ports.length} ports`);
  }
  return list.map(({ host, port }, i) => ({
    host: host || "localhost",
    port: portOf(port || (ports.length > 1 ? ports[i]! : ports[0]!)),
  }));
}

function hostAndPort(text: string): { host: string; port: string } {
  const parts = /^(?:\[([0-9A-Fa-f:.]+(?:%25\w+)?)\]|([^:[\]]*))(?::(.*))?$/.exec(text);
  if (parts === null) {
    throw refusal("a host is none; an IPv6 address stands in brackets: [::1]:5432");
  }
  return { host: decoded(parts[1] ?? parts[2] ?? "", "a host"), port: parts[3] ?? "" };
}

function portOf(text: string): number {
  if (text === "") return DEFAULT_PORT;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) {
    throw refusal(
      "a port is no number from 1 to 65535; a password stands before an @, with %2F for /",
    );
  }
  return port;
}

function schemaOf(name = DEFAULT_SCHEMA): string {
  if (!/^[a-z_][a-z0-9_]*$/.test(name) || name.length > MAX_SCHEMA) {
    throw refusal(
      `the schema ${quote(name)} must be a name of lower-case letters, digits and _, ` +
        `at most ${MAX_SCHEMA} characters`,
    );
  }
  if (name === "public" || name === "information_schema" || name.startsWith("pg_")) {
    throw refusal(`the schema ${name} is not for sd alone; take another name, like schema=sd`);
  }
  return name;
}

function tlsOf(
  given: ReadonlyMap<Parameter, string>,
  env: (name: string) => string | undefined,
): PostgresTarget["tls"] {
  const rootCert = given.get("sslrootcert") ?? env("PGSSLROOTCERT");
  const text = given.get("sslmode") ?? env("PGSSLMODE") ??
    (rootCert === "system" ? "verify-full" : "prefer");
  const mode = TLS_MODES.find((each) => each === text);
  if (!mode) throw refusal(`sslmode is ${quote(text)}; it can be ${TLS_MODES.join(", ")}`);
  if (rootCert === "system" && mode !== "verify-full") {
    throw refusal("sslrootcert=system needs sslmode=verify-full");
  }
  const cert = given.get("sslcert"), key = given.get("sslkey");
  if ((cert === undefined) !== (key === undefined)) {
    throw refusal("sslcert and sslkey belong together; give both or none");
  }
  // As in libpq: with a certificate of its authority, a server must have one that it signed.
  const isChecked = mode === "require" && rootCert !== undefined;
  return { mode: isChecked ? "verify-ca" : mode, rootCert, cert, key };
}

function timeoutOf(text: string | undefined): number {
  if (text === undefined) return CONNECT_TIMEOUT_MS;
  const seconds = /^\d{1,3}$/.test(text) ? Number(text) : -1;
  if (seconds < 0 || seconds > MAX_CONNECT_TIMEOUT_S) {
    throw refusal(
      `connect_timeout is ${quote(text)}; it is a number of seconds up to ${MAX_CONNECT_TIMEOUT_S}`,
    );
  }
  return seconds === 0 ? CONNECT_TIMEOUT_MS : seconds * 1000;
}
