/** One connection to one host of a PostgreSQL engine: TLS, login, what the server is, and the settings of the session. */

import { Socket } from "node:net";
import pg, { type PgClient } from "pg";
import { StoreError } from "../journaled/task_store.ts";
import { readTlsFile } from "../tls_file.ts";
import { sqlState } from "./faults.ts";
import type { Host, PostgresTarget } from "./url.ts";

/** Which database a server has. Two servers with the same identity have the same history. */
export interface Identity {
  /** The number of the database cluster; empty if this role cannot see it. */
  readonly system: string;
  /** Changes with each failover to a replica; empty if this role cannot see it. */
  readonly timeline: string;
}

/** A connection that is ready for queries. */
export interface Dialed {
  readonly client: PgClient;
  /** Its socket: destroy it to end the connection, whatever state it is in. */
  readonly socket: Socket;
  /** The process of the server, as `pg_stat_activity` has it. */
  readonly pid: number;
  /** The process and its start: no other session ever has the same. */
  readonly id: string;
  /** As `server_version_num`: 150004 for 15.4. */
  readonly version: number;
  /** A connection pooler is in between: settings and locks of a session do not last. */
  readonly isPooled: boolean;
  readonly identity: Identity;
}

/** Options of one attempt to connect. */
export interface DialOptions {
  readonly target: PostgresTarget;
  readonly host: Host;
  /** Asked for at each login. */
  readonly password: (host: Host) => Promise<string | undefined>;
  readonly applicationName: string;
  /** Settings of the session, by name. They are left out behind a pooler. */
  readonly settings: Readonly<Record<string, string>>;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
  /** Whether a server that cannot be written to will do. */
  readonly takesReplica?: boolean;
}

/**
 * Every session has these. A row lock of a session that was cut is freed, and a dead peer is noticed on both sides:
 * by the server within about 5 s.
 */
export const COMMON_SETTINGS = {
  idle_in_transaction_session_timeout: "5s",
  statement_timeout: "30s",
  lock_timeout: "3s",
  tcp_keepalives_idle: "2",
  tcp_keepalives_interval: "1",
  tcp_keepalives_count: "3",
  client_min_messages: "error",
  // A role or a database can have set these otherwise. Statements mean the same for every role.
  search_path: "pg_catalog",
  array_nulls: "on",
  standard_conforming_strings: "on",
  default_transaction_isolation: "read committed",
} as const;

/**
 * Settings of a session that reads and writes tasks. Its statements are planned once, for tables of any size: a plan
 * that was made while a table was empty reads the whole table for ever, and a compiled plan costs more than it saves.
 */
export const STORE_SETTINGS = {
  ...COMMON_SETTINGS,
  plan_cache_mode: "force_generic_plan",
  random_page_cost: "1.1",
  enable_seqscan: "off",
  jit: "off",
} as const;

const BOOL = 16, INT8 = 20, INT2 = 21, INT4 = 23, FLOAT4 = 700, FLOAT8 = 701;
const NUMBERS = new Set([INT8, INT2, INT4, FLOAT4, FLOAT8]);
/** Numbers and booleans are what they are, anything else is text. All numbers of sd are safe integers. */
const TYPES = {
  getTypeParser: (oid: number) =>
    NUMBERS.has(oid) ? Number : oid === BOOL ? (text: string) => text === "t" : String,
};

const NO_TLS = /does not support SSL connections/;
/** No line of pg_hba.conf for a connection without TLS. */
const REFUSED = "28000";

/**
 * Connects within `connectTimeoutMs` of the target, which holds for everything. Rejects with the error of the server, of
 * the network or of TLS.
 */
export async function dialHost(options: DialOptions): Promise<Dialed> {
  const { mode } = options.target.tls;
  if (mode === "disable" || options.host.host.startsWith("/")) {
    return await dialOnce(options, false);
  }
  if (mode === "allow") {
    return await dialOnce(options, false).catch((error) => {
      if (sqlState(error) !== REFUSED) throw error;
      return dialOnce(options, true);
    });
  }
  return await dialOnce(options, true).catch((error) => {
    if (mode !== "prefer" || !NO_TLS.test(String(error))) throw error;
    return dialOnce(options, false);
  });
}

async function dialOnce(options: DialOptions, withTls: boolean): Promise<Dialed> {
  const { target, host, applicationName, signal } = options;
  // Files that cannot be read reject before anything is opened or timed.
  const ssl = withTls ? await tlsOptions(target, host) : false;
  const socket = new Socket();
  const stopped = Promise.withResolvers<never>();
  const stop = (reason: string) => () => stopped.reject(new StoreError("io", reason));
  const { connectTimeoutMs } = target;
  const timer = setTimeout(stop(`no answer within ${connectTimeoutMs} ms`), connectTimeoutMs);
  const aborted = stop("the attempt was ended");
  if (signal.aborted) aborted();
  signal.addEventListener("abort", aborted);
  const client = new pg.Client(
    {
      host: host.host,
      port: host.port,
      user: target.user,
      database: target.database,
      password: async () => await options.password(host) ?? "",
      application_name: applicationName,
      ssl,
      stream: () => socket,
      types: TYPES,
      pipeline: true,
    },
  );
  // Until the session listens, the rejected call says what happened.
  client.on("error", () => {});
  const ready = prepare(client, socket, options);
  try {
    return await Promise.race([ready, stopped.promise]);
  } catch (error) {
    ready.catch(() => {});
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", aborted);
  }
}

async function prepare(client: PgClient, socket: Socket, options: DialOptions): Promise<Dialed> {
  await client.connect();
  const { rows: [row = {}] } = await client.query(
    "select pg_backend_pid() as pid, (select extract(epoch from backend_start)::text " +
      "from pg_stat_get_activity(pg_backend_pid())) as start, pg_is_in_recovery() as replica, " +
      "current_setting('transaction_read_only') = 'on' as fixed, " +
      "current_setting('server_version_num')::int as version",
  );
  if (row.replica && !options.takesReplica) {
    throw new StoreError("io", "it is a replica, and cannot be written to");
  }
  if (row.fixed && !options.takesReplica) {
    throw new StoreError("io", "it is read-only");
  }
  // A pooler makes up a process of its own for each client.
  const isPooled = client.processID !== row.pid;
  if (!isPooled) {
    const settings = Object.entries({ ...options.settings, ...newerSettings(row.version) });
    await client.query(
      settings.map(([name, value]) => `set ${name} = '${value.replaceAll("'", "''")}'`).join("; "),
    );
  }
  const identity = row.replica ? { system: "", timeline: "" } : await identityOf(client);
  const { pid, version, start } = row;
  return { client, socket, pid, id: `${pid} ${start}`, version, isPooled, identity };
}

/**
 * The server looks every second whether this side of a connection is there, also while it works. It ends no session that
 * is idle, and no transaction by its length, whatever is set for the role.
 */
function newerSettings(version: number): Readonly<Record<string, string>> {
  return {
    ...(version >= 140_000 &&
      { client_connection_check_interval: "1s", idle_session_timeout: "0" }),
    ...(version >= 170_000 && { transaction_timeout: "0" }),
  };
}

/** A role can be forbidden to see these, and some offers of a hosted PostgreSQL do not have them. */
async function identityOf(client: PgClient): Promise<Identity> {
  const one = async (sql: string): Promise<string> => {
    try {
      const { rows: [row = {}] } = await client.query(sql);
      return row.value ?? "";
    } catch (error) {
      if (/^(42501|42883|0A000|55000)/.test(sqlState(error))) return "";
      throw error;
    }
  };
  return {
    system: await one("select system_identifier::text as value from pg_control_system()"),
    timeline: await one("select left(pg_walfile_name(pg_current_wal_lsn()), 8) as value"),
  };
}

/** Options of the TLS of Node for the modes of libpq. */
async function tlsOptions({ tls }: PostgresTarget, { host }: Host) {
  const isVerified = tls.mode === "verify-ca" || tls.mode === "verify-full";
  const root = tls.rootCert === undefined || tls.rootCert === "system"
    ? undefined
    : await readTlsFile(tls.rootCert, "sslrootcert");
  return {
    host,
    rejectUnauthorized: isVerified,
    ...(root === undefined ? {} : { ca: root }),
    ...(tls.mode === "verify-full" ? {} : { checkServerIdentity: () => undefined }),
    ...(tls.cert === undefined || tls.key === undefined ? {} : {
      cert: await readTlsFile(tls.cert, "sslcert"),
      key: await readTlsFile(tls.key, "sslkey"),
    }),
  };
}
