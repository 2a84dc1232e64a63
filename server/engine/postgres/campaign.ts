/**
 * The way of a server to the lead. It watches the lease of the leader, and takes the lead in three cases: the leader has
 * resigned; its process is gone, since the lock is free and none of its sessions is there; its lease has run out, on two
 * looks.
 *
 * To take the lead, it ends the sessions of the leader before, then changes epoch and token of `lead`. That waits for a
 * commit under way, and ends all later ones of other servers.
 */

import { delay } from "@std/async/delay";
import { BEAT_MS, LEASE_MS, type ServerInfo } from "../journaled/shared_store.ts";
import { StoreError } from "../journaled/task_store.ts";
import type { PgSession } from "./connection.ts";
import { pgFaultOf } from "./faults.ts";

/** Time between the two looks at a lease that has run out, in ms. */
const SECOND_LOOK_MS = 500;
/** Longest time for the sessions of a process that is gone to end, in ms, and the time between two looks at them. */
const ENDING_MS = 400;
const ENDING_LOOK_MS = 40;
/** Time for which a leader that lost its lock alone can take it again, in ms. */
const GIVE_BACK_MS = 1500;
/**
 * Numbers that a lead begins with, for tasks and their places in line. Numbers that it does not use are left out for ever.
 * Short leads share a slice: each read locks the tables of all slices.
 */
const LEAD_SERIALS = 2 ** 17;

/** SQL for sessions of `pg_stat_activity` that are in the list `sessions`. */
const IS_LISTED = `a.pid = split_part(s, ' ', 1)::int and
  (a.backend_start is null or extract(epoch from a.backend_start)::text = split_part(s, ' ', 2))`;

/** The lease as the database sees it at one moment. */
interface Look {
  readonly epoch: number;
  readonly server: string | null;
  /** Until it runs out, in ms; negative since it has. */
  readonly left: number;
  /** Its leader has ended its lead itself, or there was none yet. */
  readonly isFree: boolean;
  /** The sessions of the leader that are there. */
  readonly alive: number;
  /** The session of our own lock is there. */
  readonly hasLock: boolean;
  readonly minVersion: number;
}

/** A lead that was just taken. */
interface TakenLead {
  readonly epoch: number;
  readonly token: string;
  /** Above all numbers of earlier leads; */
  readonly next: number;
  /** this lead can give out numbers below it. */
  readonly serialHi: number;
}

interface CampaignOptions {
  /** For the looks. */
  readonly session: PgSession;
  /** A session for the lock alone: nothing else can be asked while it waits. */
  readonly lockSession: PgSession;
  readonly lock: LeadLock;
  readonly schema: string;
  readonly self: ServerInfo;
  readonly signal: AbortSignal;
  readonly waitMs: () => number;
  /** The version of the tables that this release knows: with a higher `min_version` it must not lead. */
  readonly knows: number;
  readonly report: (message: string) => void;
}

/** Resolves with the lease that can be taken. Rejects once `signal` is aborted. */
export class Campaign {
  readonly #options: CampaignOptions;
  readonly #t: (name: string) => string;
  /** Since when each look has seen this lease run out. */
  #expired: { readonly epoch: number; readonly since: number } | undefined;
  #lockGeneration = 0;
  #lockSince = -Infinity;
  #mayWant = -Infinity;
  #warned = "";

  constructor(options: CampaignOptions) {
    this.#options = options;
    this.#t = (name) => `"${options.schema}"."${name}"`;
  }

  /** Resolves with the epoch to replace, once this server may lead. */
  async vacancy(): Promise<number> {
    const { lock, signal } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      try {
        const look = await this.#look();
        if (await this.#mayTake(look)) return look.epoch;
        if (performance.now() > this.#mayWant) lock.want(signal);
      } catch (error) {
        this.#warn(pgFaultOf(error).message);
      }
      const pause = new AbortController();
      const stop = () => pause.abort();
      signal.addEventListener("abort", stop);
      lock.onGranted = stop;
      await delay(BEAT_MS, { signal: pause.signal }).catch(() => {});
      lock.onGranted = undefined;
      signal.removeEventListener("abort", stop);
    }
  }

  async #look(): Promise<Look> {
    const { session, lockSession } = this.#options;
    await session.ready();
    const sessions = (list: string) =>
      `(select count(*) from unnest(${list}) s join pg_stat_activity a on ${IS_LISTED})`;
    const [row] = await session.query<Look>({
      text: `select l.epoch, l.server, l.until = 'epoch' as "isFree", ${
        sessions("l.sessions")
      } as alive,
          (extract(epoch from l.until - clock_timestamp()) * 1000)::float8 as left,
          ${sessions("array[$1::text]")} > 0 as "hasLock",
          (select min_version from ${this.#t("meta")}) as "minVersion"
        from ${this.#t("lease")} l`,
      values: [lockSession.current?.id ?? "0 0"],
    });
    if (!row) throw new StoreError("damaged", `the table ${this.#t("lease")} is empty`);
    return row;
  }

  async #mayTake(look: Look): Promise<boolean> {
    const { self, knows, lock, lockSession, waitMs } = this.#options;
    const now = performance.now();
    if (lockSession.generation !== this.#lockGeneration) {
      this.#lockGeneration = lockSession.generation;
      if (this.#lockGeneration > 1) this.#lockSince = now;
    } else if (!look.hasLock && lockSession.current?.isPooled === false) {
      lockSession.reconnect("the database does not know this session any more");
    }
    if (look.minVersion > knows) {
      this.#warn(
        `the tables need a newer release of sd (their version is ${look.minVersion}, this one knows ` +
          `${knows}): this server follows, and never leads`,
      );
      return false;
    }
    if (look.isFree || look.server === self.id) return true;
    if (look.left > 0) {
      this.#expired = undefined;
      return lock.isHeld && await this.#isGone(look);
    }
    if (look.left > -waitMs()) return false;
    if (this.#expired?.epoch !== look.epoch) this.#expired = { epoch: look.epoch, since: now };
    return now - this.#expired.since >= SECOND_LOOK_MS;
  }

  /**
   * Whether the process of the leader is gone, while its lease goes on. A database that has just been away says nothing of
   * that: it has ended the sessions of all.
   */
  async #isGone({ epoch }: Look): Promise<boolean> {
    if (performance.now() - this.#lockSince < LEASE_MS) return false;
    const { lock, session } = this.#options;
    const { generation } = session;
    for (const until = performance.now() + ENDING_MS; performance.now() < until;) {
      await delay(ENDING_LOOK_MS);
      const look = await this.#look();
      if (look.epoch !== epoch) return false;
      // The database was away during the look.
      if (session.generation !== generation || !lock.isHeld) return false;
      if (look.alive === 0) return true;
    }
    // The leader lost its lock alone.
    await lock.release();
    this.#mayWant = performance.now() + GIVE_BACK_MS;
    return false;
  }

  /** Says a thing once until another is said. */
  #warn(message: string): void {
    if (message !== this.#warned) this.#options.report(message);
    this.#warned = message;
  }
}

interface TakeOptions {
  /** On it the lead writes. */
  readonly session: PgSession;
  readonly schema: string;
  readonly lockKey: string;
  readonly self: ServerInfo;
  /** The epoch to replace. */
  readonly epoch: number;
  /** The sessions of the new leader, its lock first. */
  readonly sessions: readonly string[];
}

/** Takes the lead from the leader of `epoch`; `undefined` if another server was faster. */
export async function takeLead(options: TakeOptions): Promise<TakenLead | undefined> {
  const { session, schema, lockKey, self, epoch, sessions } = options;
  const t = (name: string) => `"${schema}"."${name}"`;
  const own = textArray(sessions);
  const end = `select pg_terminate_backend(a.pid) from ${t("lease")} l, unnest(l.sessions) s
    join pg_stat_activity a on ${IS_LISTED} where l.epoch = $1::bigint and s <> all($2::text[])`;
  // A server that was stopped can hold the lock without a lead.
  const free = `select pg_terminate_backend(k.pid) from pg_locks k where locktype = 'advisory'
    and granted and objsubid = 1 and database = (select oid from pg_database
      where datname = current_database())
    and (classid::bigint << 32) | objid::bigint = ${lockKey}
    and not exists (select from unnest($1::text[]) s where k.pid = split_part(s, ' ', 1)::int)`;
  if (sessions.length > 0) {
    for (const query of [{ text: end, values: [epoch, own] }, { text: free, values: [own] }]) {
      // They can be sessions of another role, which ours may not end. The fence does not need it.
      await session.query(query).catch((error) => {
        if (error.cause?.code !== "42501") throw error;
      });
    }
  }
  const [taken] = await session.query<TakenLead>({
    text: `with taken as (update ${t("lead")} set epoch = epoch + 1, token = gen_random_uuid(),
        serial_hi = serial_hi + ${LEAD_SERIALS} where epoch = $1::bigint returning *),
      led as (update ${t("lease")} l set epoch = t.epoch, server = $2::uuid, address = $3::text,
        until = clock_timestamp() + interval '${LEASE_MS} ms', sessions = $4::text[]
        from taken t)
      select epoch, token::text as token, serial_hi as "serialHi",
        serial_hi - ${LEAD_SERIALS} as next from taken`,
    values: [epoch, self.id, self.address, own],
  });
  return taken;
}

/** An array of texts without quotes and backslashes, as PostgreSQL reads it. */
export function textArray(texts: readonly string[]): string {
  return `{${texts.map((text) => `"${text}"`).join(",")}}`;
}

/**
 * The lock by which a standby server learns at once that the leader is gone: the leader holds it in a session, and all
 * others wait for it. It never makes a write safe; the fence does. Behind a pooler there is none.
 */
export class LeadLock {
  readonly #session: PgSession;
  readonly #key: string;
  /** The connection that holds it. */
  #heldBy = 0;
  #isWaiting = false;
  /**
   * Called when the lock is granted. A standby server waits for that for months, and looks four times a second: a promise
   * would keep each of its waits.
   */
  onGranted: (() => void) | undefined;

  /** `key`: SQL for the number of the lock. */
  constructor(session: PgSession, key: string) {
    this.#session = session;
    this.#key = key;
  }

  get isHeld(): boolean {
    return this.#heldBy > 0 && this.#heldBy === this.#session.generation && this.#hasSession;
  }

  /** A connection of its own to the database, without a pooler in between. */
  get #hasSession(): boolean {
    return this.#session.current?.isPooled === false;
  }

  /** Waits for the lock in the background, unless it does so already. After a fault, call it again. */
  want(signal: AbortSignal): void {
    if (this.#isWaiting || this.isHeld || !this.#hasSession || signal.aborted) return;
    this.#isWaiting = true;
    const { generation } = this.#session;
    this.#session.query({ text: `select pg_advisory_lock(${this.#key})`, deadlineMs: Infinity })
      .then(() => {
        this.#heldBy = generation;
        this.onGranted?.();
      }, () => {})
      .finally(() => this.#isWaiting = false);
  }

  /** Takes it if it is free, without waiting for it. */
  async tryNow(): Promise<void> {
    if (this.isHeld || this.#isWaiting || !this.#hasSession) return;
    const { generation } = this.#session;
    const text = `select pg_try_advisory_lock(${this.#key}) as done`;
    const [row] = await this.#session.query<{ done: boolean }>({ text });
    if (row?.done) this.#heldBy = generation;
  }

  async release(): Promise<void> {
    if (!this.isHeld) return;
    this.#heldBy = 0;
    await this.#session.query({ text: `select pg_advisory_unlock(${this.#key})` });
  }
}
