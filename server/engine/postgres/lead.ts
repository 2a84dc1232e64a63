/** The lead of this server over a PostgreSQL: its lease, the rows that came by SQL, and its end. */

import { type Lead, LEASE_MS, RENEW_MS } from "../journaled/shared_store.ts";
import type { Opened, RecordSweeper, TaskStore } from "../journaled/task_store.ts";
import { type LeadLock, textArray } from "./campaign.ts";
import type { PgSession } from "./connection.ts";
import type { Fence } from "./lead_tables.ts";

/** Longest time for a renewal, in ms: another one follows, on a new connection. */
const RENEWAL_DEADLINE_MS = RENEW_MS;
/** Characters of lines that one read of the inbox returns, beyond its first row. */
const INBOX_CHARS = 4 * 1024 * 1024;
/** Refused rows are kept for this many days. */
const REFUSED_DAYS = 7;

interface LeadOptions {
  readonly schema: string;
  readonly fence: Fence;
  readonly store: TaskStore;
  readonly opened: Opened;
  readonly sweeper: RecordSweeper;
  /** Of the lease alone. */
  readonly session: PgSession;
  readonly lock: LeadLock;
  /** Of everything that no commit waits for. */
  readonly side: PgSession;
  /** The sessions of the lead as the database knows them now. */
  readonly sessions: () => string[];
}

export class PostgresLead implements Lead {
  readonly epoch: number;
  readonly store: TaskStore;
  readonly opened: Opened;
  readonly sweeper: RecordSweeper;
  readonly inbox: NonNullable<Lead["inbox"]>;
  readonly #options: LeadOptions;
  #resigned: Promise<void> | undefined;

  constructor(options: LeadOptions) {
    this.#options = options;
    this.epoch = options.fence.epoch;
    this.store = options.store;
    this.opened = options.opened;
    this.sweeper = options.sweeper;
    this.inbox = inboxOf(options);
  }

  async renew(): Promise<boolean> {
    const { session, schema, lock } = this.#options;
    await session.readyWithin(RENEWAL_DEADLINE_MS);
    const rows = await session.query({
      name: "renew",
      text: `update "${schema}".lease set until = clock_timestamp() + interval '${LEASE_MS} ms',
          sessions = $2::text[]
        where epoch = $1::bigint and exists (select from "${schema}".lead where epoch = $1::bigint)
        returning 1 as done`,
      values: [this.epoch, textArray(this.#options.sessions())],
      deadlineMs: RENEWAL_DEADLINE_MS,
    });
    // It was lost with its connection; the lease does not need it.
    lock.tryNow().catch(() => {});
    return rows.length > 0;
  }

  async resign(): Promise<void> {
    this.#resigned ??= this.#resign();
    await this.#resigned;
  }

  async #resign(): Promise<void> {
    const { session, schema } = this.#options;
    try {
      await session.query({
        text: `update "${schema}".lease set until = 'epoch', server = null, sessions = '{}'
          where epoch = $1::bigint`,
        values: [this.epoch],
        deadlineMs: RENEWAL_DEADLINE_MS,
      });
    } catch {
      // Its lease runs out by itself.
    } finally {
      await session.close();
    }
  }
}

/** The lines that came by `submit` of SQL. Rows are dropped under the fence alone. */
function inboxOf({ side, schema, fence }: LeadOptions): NonNullable<Lead["inbox"]> {
  const t = (name: string) => `"${schema}"."${name}"`;
  const isLeading = `exists (select from ${t("lead")} where epoch = $1::bigint for share)`;
  return {
    async read(limit) {
      return await side.query<{ n: number; id: string; line: string }>({
        text:
          `select n, id, line from (select n, id, line, sum(length(line)) over (order by n) as chars,
            row_number() over (order by n) as place
          from (select n, id, line from ${t("inbox")} order by n limit $1::int) oldest) page
          where place = 1 or chars <= ${INBOX_CHARS} order by n`,
        values: [limit],
      });
    },
    async done(ns) {
      await side.query({
        text: `delete from ${t("inbox")} where n = any($2::bigint[]) and ${isLeading}`,
        values: [fence.epoch, `{${ns.join(",")}}`],
      });
    },
    async refuse(rows) {
      await side.query({
        text: `with gone as (delete from ${t("inbox")} where n = any($2::bigint[]) and ${isLeading}
            returning *),
          old as (delete from ${t("inbox_refused")}
            where refused_at < now() - interval '${REFUSED_DAYS} days')
          insert into ${t("inbox_refused")} (n, id, line, at, reason)
          select g.n, g.id, g.line, g.at, coalesce(r.reason, '') from gone g
          left join json_to_recordset($3::json) r(n bigint, reason text) on r.n = g.n
          on conflict (n) do nothing`,
        values: [
          fence.epoch,
          `{${rows.map(([n]) => n).join(",")}}`,
          JSON.stringify(rows.map(([n, reason]) => ({ n, reason: reason.replaceAll("\0", "") }))),
        ],
      });
    },
  };
}
