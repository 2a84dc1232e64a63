/**
 * The checks of a PostgreSQL at the start of a server: whether it can be used, and what an operator must know of it. Each
 * refusal is a `ClientError` with the cure.
 */

import { ClientError } from "../../../net/client_error.ts";
import type { StoreError } from "../journaled/task_store.ts";
import type { PgSession } from "./connection.ts";
import { sqlState } from "./faults.ts";
import type { PostgresTarget } from "./url.ts";

/** The oldest PostgreSQL with all that sd needs, as `server_version_num`. */
const OLDEST = 130_000;
/** Difference of the clocks above which the operator is warned, in ms. */
const MAX_SKEW_MS = 1000;

interface Traits {
  readonly version: string;
  readonly encoding: string;
  readonly commit: string;
  readonly fsync: string;
  readonly now: number;
}

/**
 * Waits for the first connection. Rejects at once if another try cannot help: the password is wrong, the database does not
 * exist, the certificate is not trusted.
 */
export async function connected(
  session: PgSession,
  { target, troubles, patienceMs }: {
    readonly target: PostgresTarget;
    readonly troubles: readonly StoreError[];
    readonly patienceMs: number;
  },
): Promise<void> {
  const end = performance.now() + patienceMs;
  for (;;) {
    const look = Promise.withResolvers<false>();
    const timer = setTimeout(() => look.resolve(false), 20);
    const isReady = await Promise.race([session.ready().then(() => true), look.promise]);
    clearTimeout(timer);
    if (isReady) return;
    const round = troubles.slice(-target.hosts.length);
    const cures = round.map(cureOf);
    if (round.length === target.hosts.length && cures.every((cure) => cure !== undefined)) {
      throw refusal(target, round.at(-1)!, cures.at(-1));
    }
    if (performance.now() > end) throw refusal(target, session.trouble, undefined);
  }
}

function refusal(target: PostgresTarget, trouble: StoreError | undefined, cure?: string): Error {
  const reason = trouble?.message ?? "no answer";
  return new ClientError(
    cure === undefined ? "unreachable" : "usage",
    `cannot use the database ${target.label}: ${reason}`,
    {
      hint: cure ??
        (/replica|read-only/.test(reason)
          ? "name the primary in the URL of --engine, or all hosts: postgres://A,B/DATABASE"
          : "start it, or mend the URL of --engine"),
    },
  );
}

/** The cure for a fault that does not pass by itself. */
function cureOf({ message, cause }: StoreError): string | undefined {
  if (cause instanceof ClientError) return cause.hint;
  const code = sqlState(cause ?? {});
  if (/^28/.test(code) || /SASL|password must be/.test(message)) {
    return "give the password in SD_ENGINE_PASSWORD or --engine-password-file, and the user in the " +
      "URL; pg_hba.conf of the server must let it in";
  }
  if (code === "3D000") return "create the database: createdb NAME";
  if (/certificate|CERT|self.signed|UnknownIssuer|NotValidForName/i.test(`${code} ${message}`)) {
    return "set sslrootcert=FILE to the certificate of its authority; with verify-full the host of " +
      "the URL must be a name in the certificate of the server";
  }
  if (/does not support SSL/.test(message)) {
    return "turn TLS on at the server, or set sslmode=disable in a network of your own";
  }
  return undefined;
}

/** Checks the database, and reports what the operator must know. */
export async function checkDatabase(
  session: PgSession,
  { report }: { report: (message: string) => void },
): Promise<void> {
  const { version, isPooled } = session.current ?? { version: OLDEST, isPooled: false };
  const before = Date.now();
  const [traits] = await session.query<Traits>({
    text: `select current_setting('server_version') as version,
      current_setting('server_encoding') as encoding, current_setting('fsync') as fsync,
      (select reset_val from pg_settings where name = 'synchronous_commit') as commit,
      (extract(epoch from clock_timestamp()) * 1000)::float8 as now`,
  });
  const { encoding, commit, fsync, now } = traits!;
  if (version < OLDEST) {
    throw new ClientError("usage", `PostgreSQL ${traits!.version} is too old for sd`, {
      hint: "update it to 13 or newer",
    });
  }
  if (encoding !== "UTF8") {
    throw new ClientError("usage", `the encoding of the database is ${encoding}, not UTF8`, {
      hint: "create another database: createdb --encoding UTF8 --template template0 NAME",
    });
  }
  if (fsync === "off" || commit === "off") {
    const name = fsync === "off" ? "fsync" : "synchronous_commit";
    report(
      `${name} is off in this PostgreSQL: acknowledged tasks survive the end of sd, and the last of ` +
        `them can be lost when PostgreSQL or its machine fails; turn it on to keep them`,
    );
  }
  if (isPooled) {
    report(
      "a connection pooler is between this server and PostgreSQL: another server takes over from a " +
        "leader that died after 6 s instead of at once, and statements are planned each time; let " +
        "the URL of --engine name PostgreSQL itself",
    );
  }
  const after = Date.now();
  const skewMs = now - (before + after) / 2;
  if (Math.abs(skewMs) > MAX_SKEW_MS + (after - before)) {
    report(
      `the clock of this machine is ${Math.round(Math.abs(skewMs))} ms ` +
        `${
          skewMs > 0 ? "behind" : "ahead of"
        } that of PostgreSQL: times of delayed and recurring ` +
        "tasks shift when another server leads; set both clocks by NTP",
    );
  }
}

/** The sentence that an operator needs if `error` is the lack of a right; otherwise `error`. */
export function rightsError(error: unknown, { schema, user, database }: PostgresTarget): unknown {
  const cause = error instanceof Error ? error.cause : undefined;
  if (sqlState(cause ?? error as object) !== "42501") return error;
  return new ClientError(
    "usage",
    `the role ${user} may not make or use the schema ${schema}: ${(error as Error).message}`,
    {
      cause: error,
      hint: `as an administrator of the database ${database}: ` +
        `create schema "${schema}" authorization "${user}"`,
    },
  );
}
