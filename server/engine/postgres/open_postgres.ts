/** Opens the postgres engine's side of a cluster: the store that servers share in one schema. Called by `openSharedStore`. */

import { delay } from "@std/async/delay";
import { ClientError } from "../../../net/client_error.ts";
import {
  BEAT_MS,
  type ClusterView,
  type Lead,
  LEASE_MS,
  type ServerInfo,
  type SharedStore,
} from "../journaled/shared_store.ts";
import { StoreError } from "../journaled/task_store.ts";
import { Campaign, LeadLock, takeLead } from "./campaign.ts";
import { checkDatabase, connected, rightsError } from "./checks.ts";
import { PgSession, sessionName } from "./connection.ts";
import { COMMON_SETTINGS, STORE_SETTINGS } from "./dial.ts";
import { sqlState } from "./faults.ts";
import { PostgresLead } from "./lead.ts";
import { type Meta, migrate, SCHEMA_VERSION } from "./migrations.ts";
import { passwordFor } from "./password.ts";
import { PostgresStore } from "./store.ts";
import { SliceSweeper } from "./sweep.ts";
import { parsePostgresUrl, type PostgresTarget } from "./url.ts";

export interface PostgresOptions {
  /** A file with the password, if the URL has none. */
  readonly passwordFile?: string | undefined;
  /** Most records of final tasks; the oldest are dropped first. */
  readonly maxKept?: number;
  /** Called with messages for the operator. */
  readonly report?: (message: string) => void;
  /** How long a database that is away is waited for, in ms. */
  readonly patienceMs?: number;
}

const MAX_KEPT = 1_000_000;
/** Default of `patienceMs`. */
const PATIENCE_MS = 10_000;
/** Longest wait for a beat, in ms. */
const BEAT_ANSWER_MS = BEAT_MS * 8;
/** A server that has not been heard of for this long is removed from the table, in ms. */
const FORGET_MS = 60_000;
/** Pause after a campaign that failed, in ms. */
const RETRY_MS = 250;
/** The table, the schema or the function is there already. */
const MADE_MEANWHILE = /^(42P0[67]|42723|23505)/;
const MAX_TRIES = 5;

/** For what servers write about themselves: it is made again within a second, and must not wait for a disk. */
const BESIDE_SETTINGS = { ...COMMON_SETTINGS, synchronous_commit: "off" };
/** For the lock: it is waited for without an end. */
const LOCK_SETTINGS = { ...BESIDE_SETTINGS, lock_timeout: "0", statement_timeout: "0" };

/** Rejects with a `ClientError` that names the cure if this database cannot be used. */
export async function openPostgres(
  url: string,
  options: PostgresOptions = {},
): Promise<SharedStore> {
  const { report = () => {}, maxKept = MAX_KEPT, passwordFile, patienceMs = PATIENCE_MS } = options;
  const env = (name: string) => Deno.env.get(name);
  const target = parsePostgresUrl(url, env);
  const sources = { target, file: passwordFile, env };
  const troubles: StoreError[] = [];
  const open = (role: string, settings: Readonly<Record<string, string>>, isPinned = false) =>
    new PgSession({
      target,
      password: (host) => passwordFor(sources, host),
      applicationName: sessionName(target, role),
      settings,
      isPinned,
      onTrouble: (error) => troubles.length < 100 && troubles.push(error),
    });
  const session = open("servers", BESIDE_SETTINGS);
  try {
    await connected(session, { target, troubles, patienceMs });
    await checkDatabase(session, { report });
    const meta = await migrated(session, target.schema);
    return new PostgresShared(session, { target, meta, open, maxKept, report });
  } catch (error) {
    await session.close();
    throw error instanceof ClientError ? error : refusalOf(rightsError(error, target), target);
  }
}

/** Servers that start together can make the tables at the same time: all but one of them find that they are there. */
async function migrated(session: PgSession, schema: string): Promise<Meta> {
  for (let tries = 1;; tries++) {
    try {
      return await migrate({ query: (query) => session.query(query), schema });
    } catch (error) {
      const isMade = MADE_MEANWHILE.test(sqlState((error as Error).cause ?? {}));
      if (!isMade || tries === MAX_TRIES) throw error;
    }
  }
}

function refusalOf(error: unknown, target: PostgresTarget): unknown {
  if (!(error instanceof StoreError) || error.fault === "bug" && error.cause !== undefined) {
    return error;
  }
  return new ClientError("usage", `cannot use the database ${target.label}: ${error.message}`, {
    cause: error,
  });
}

interface SharedOptions {
  readonly target: PostgresTarget;
  readonly meta: Meta;
  readonly open: (
    role: string,
    settings: Readonly<Record<string, string>>,
    isPinned?: boolean,
  ) => PgSession;
  readonly maxKept: number;
  readonly report: (message: string) => void;
}

class PostgresShared implements SharedStore {
  readonly name = "postgres";
  readonly secret: string;
  readonly #session: PgSession;
  readonly #options: SharedOptions;
  /** The sessions of the campaign, or of the lead. */
  #sessions: PgSession[] = [];

  constructor(session: PgSession, options: SharedOptions) {
    this.#session = session;
    this.#options = options;
    this.secret = options.meta.secret;
  }

  async beat(self: ServerInfo): Promise<ClusterView> {
    const { schema } = this.#options.target;
    const t = (name: string) => `"${schema}"."${name}"`;
    const ms = (text: string) => `(extract(epoch from ${text}) * 1000)::float8`;
    await this.#session.readyWithin(BEAT_ANSWER_MS / 2);
    const [row] = await this.#session.query({
      name: "beat",
      text: `with me as (insert into ${
        t("member")
      } as m (server, name, address, is_draining, beat_at, info)
          values ($1::uuid, $2::text, $3::text, $4::boolean, clock_timestamp(), $5::text)
          on conflict (server) do update set name = excluded.name, address = excluded.address,
            is_draining = excluded.is_draining, beat_at = excluded.beat_at, info = excluded.info),
        gone as (delete from ${t("member")} where server in (select server from ${t("member")}
          where beat_at < clock_timestamp() - interval '${FORGET_MS} ms' and server <> $1::uuid
          for update skip locked))
        select ${ms("clock_timestamp()")} as now, l.server, l.address, l.epoch,
          (select json_agg(info) from ${t("member")} where server <> $1::uuid
            and beat_at > clock_timestamp() - interval '${LEASE_MS} ms')::text as others
        from (select 1) x left join ${t("lease")} l on l.until > clock_timestamp()`,
      values: [self.id, self.name, self.address, self.isDraining, JSON.stringify(self)],
      deadlineMs: BEAT_ANSWER_MS,
    });
    const { now, server, address, epoch, others } = row!;
    const infos: string[] = JSON.parse(others ?? "[]");
    return {
      now,
      servers: [self, ...infos.map((info) => JSON.parse(info) as ServerInfo)],
      leader: server === null ? undefined : { id: server, address, epoch },
    };
  }

  async campaign(
    self: ServerInfo,
    options: { readonly signal: AbortSignal; readonly waitMs: () => number },
  ): Promise<Lead> {
    const { signal } = options;
    for (;;) {
      await this.#closeSessions();
      signal.throwIfAborted();
      try {
        const lead = await this.#campaign(self, options);
        if (lead) return lead;
      } catch (error) {
        await this.#closeSessions();
        if (signal.aborted) throw error;
        this.#options.report(`this server could not take the lead: ${(error as Error).message}`);
        await delay(RETRY_MS, { signal });
      }
    }
  }

  /** Resolves with nothing if another server was faster. */
  async #campaign(
    self: ServerInfo,
    { signal, waitMs }: { readonly signal: AbortSignal; readonly waitMs: () => number },
  ): Promise<Lead | undefined> {
    const { target: { schema }, report, meta, maxKept } = this.#options;
    const lockKey = `hashtextextended('sd lead ${schema}', 0)`;
    const lockSession = this.#open(`lease ${self.name}`, LOCK_SETTINGS);
    const lock = new LeadLock(lockSession, lockKey);
    const epoch = await new Campaign({
      session: this.#session,
      lockSession,
      lock,
      schema,
      self,
      signal,
      waitMs,
      knows: SCHEMA_VERSION,
      report,
    }).vacancy();
    const session = this.#open(`store ${self.name}`, STORE_SETTINGS, true);
    const side = this.#open(`reads ${self.name}`, STORE_SETTINGS);
    await within(signal, Promise.all([session.ready(), side.ready(), lockSession.ready()]));
    const sessions = () =>
      [lockSession, session, side].flatMap(({ current }) =>
        current && !current.isPooled ? [current.id] : []
      );
    const take = { session, schema, lockKey, self, epoch, sessions: sessions() };
    const taken = await takeLead(take);
    if (!taken) return undefined;
    const { token, next, serialHi } = taken;
    const fence = { epoch: taken.epoch, token };
    const { sliceRows } = meta;
    const { store, opened } = await PostgresStore.open({
      session,
      side,
      schema,
      fence,
      next,
      serialHi,
      sliceRows,
    });
    // Others may lead now, and find out by the lock.
    void store.lost.then(() => lockSession.close());
    return new PostgresLead({
      schema,
      fence,
      store,
      opened,
      sweeper: new SliceSweeper({ store, schema, maxKept, report }),
      session: lockSession,
      lock,
      side: this.#session,
      sessions,
    });
  }

  async leave(self: ServerInfo): Promise<void> {
    await this.#session.query({
      text: `delete from "${this.#options.target.schema}".member where server = $1::uuid`,
      values: [self.id],
      deadlineMs: BEAT_ANSWER_MS,
    });
  }

  async close(): Promise<void> {
    await Promise.all([this.#session.close(), this.#closeSessions()]);
  }

  #open(...options: Parameters<SharedOptions["open"]>): PgSession {
    const session = this.#options.open(...options);
    this.#sessions.push(session);
    return session;
  }

  async #closeSessions(): Promise<void> {
    await Promise.all(this.#sessions.splice(0).map((session) => session.close()));
  }
}

/** Rejects once `signal` is aborted, if `promise` is not settled before. */
async function within<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
