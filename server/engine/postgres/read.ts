/**
 * The reads of the engine as statements, each of bounded work. Names of statements stand for texts that do not change, so
 * each is planned once a connection.
 */

import { fromStored, keyFromStored, keyToStored, toStored } from "../journaled/stored_text.ts";
import {
  appended,
  type Cell,
  type LaneQuery,
  type PageSize,
  type StoredTask,
  type TaskCalls,
} from "../journaled/task_store.ts";
import { serialOf } from "../../task/task_id.ts";
import type { OutboxRow } from "../outbox.ts";
import { numbersOf, storedTaskOf, TASK_LIST, textsOf } from "./cells.ts";
import type { Query } from "./connection.ts";
import { named } from "./schema.ts";

type Ask<Name extends keyof TaskCalls> = TaskCalls[Name]["ask"];
type Answer<Name extends keyof TaskCalls> = TaskCalls[Name]["answer"];
export type Rows = readonly (readonly Cell[])[];

/** A statement, and how to read its answer. */
export interface PgRead<A> {
  readonly query: Query;
  readonly answer: (rows: Rows) => A;
}

/** Most rows that one `list` looks at. */
const MAX_LOOKED_AT = 1000;
/** Statuses with an index by `ord`. The others are common: a look at the newest rows finds them. */
const INDEXED = [1, 2, 4, 5, 6];
/** Most lanes that `ahead` looks at; with more, its answer is too low. */
const MAX_LANES = 1000;

export class Reads {
  readonly #schema: string;
  readonly #task: string;
  readonly #pages = new Map<string, string>();

  constructor(schema: string) {
    this.#schema = schema;
    this.#task = named(schema, "task");
  }

  find({ ids }: Ask<"find">): PgRead<Answer<"find">> {
    const ords = ids.map(serialOf).filter((ord) => ord > 0);
    // A client may choose an id that looks like ours.
    const text = `select ${TASK_LIST} from ${this.#task} where ord = any($1::bigint[])
      union all
      select ${TASK_LIST} from ${this.#task} where given = 1 and id = any($2::text[])`;
    return {
      query: this.#query("find", text, [numbersOf(ords), textsOf(ids.map(toStored))]),
      answer(rows) {
        const byId = new Map(rows.map((row) => [fromStored(row[1] as string), row]));
        return ids.map((id) => {
          const row = byId.get(id);
          return row === undefined ? null : storedTaskOf(row);
        });
      },
    };
  }

  attachments({ kind, ords }: Ask<"attachments">): PgRead<Answer<"attachments">> {
    const text = `select ord, text from ${named(this.#schema, "attachment")}
      where ord = any($1::bigint[]) and kind = $2::smallint order by n`;
    return {
      query: this.#query("attachments", text, [numbersOf(ords), kind]),
      answer(rows) {
        const whole = new Map<number, string>();
        for (const [ord, piece] of rows as readonly [number, string][]) {
          whole.set(ord, appended(kind, whole.get(ord) ?? null, fromStored(piece)));
        }
        return ords.map((ord) => whole.get(ord) ?? null);
      },
    };
  }

  outbox({ after, limit, maxChars }: Ask<"outbox">): PgRead<OutboxRow[]> {
    const text = `select n, route, body from
      (select *, row_number() over w as place, sum(octet_length(body)) over w as chars from
        (select n, route, body from ${named(this.#schema, "outbox")} where n > $1::bigint
          order by n limit $2::bigint) o
        window w as (order by n rows unbounded preceding)) o
      where place = 1 or chars <= $3::bigint order by place`;
    return {
      query: this.#query("outbox", text, [after, limit, maxChars]),
      answer: (rows) =>
        (rows as readonly [number, string, string][]).map(([n, route, body]) => ({
          n,
          route: fromStored(route),
          body: fromStored(body),
        })),
    };
  }

  lane(ask: Ask<"lane">): PgRead<StoredTask[]> {
    const where = `status = 0 and priority = $3::smallint and key = $4::text and op = $5::text
      and seq > $6::bigint`;
    const { priority, key, op, seq } = ask;
    const values = [priority, keyToStored(key), toStored(op), seq];
    return this.#page("lane", { where, order: "seq", values, size: ask });
  }

  due(ask: Ask<"due">): PgRead<StoredTask[]> {
    const where = "status = 1 and (run_at, ord) > ($3::bigint, $4::bigint)";
    const values = [ask.runAt, ask.ord];
    return this.#page("due", { where, order: "run_at, ord", values, size: ask });
  }

  waiting(ask: Ask<"waiting">): PgRead<StoredTask[]> {
    const where = "status in (1, 2, 4, 5, 6) and status = 2 and ord > $3::bigint";
    return this.#page("waiting", { where, order: "ord", values: [ask.ord], size: ask });
  }

  expired(ask: Ask<"expired">): PgRead<StoredTask[]> {
    const where = "expires_at is not null and status < 3 and expires_at <= $3::bigint";
    return this.#page("expired", {
      where,
      order: "expires_at, ord",
      values: [ask.now],
      size: ask,
    });
  }

  list(ask: Ask<"list">): PgRead<Answer<"list">> {
    const { statuses, limit, maxChars, createdSince, oldestFirst } = ask;
    const indexed = statuses.length > 0 && statuses.every((status) => INDEXED.includes(status));
    // If every row fits, one beyond the limit shows whether there are more.
    const every = ask.op === null && ask.key === null && createdSince === 0 &&
      (indexed || statuses.length === 0);
    const most = every ? Math.min(limit + 1, MAX_LOOKED_AT) : MAX_LOOKED_AT;
    const order = oldestFirst ? "ord" : "ord desc";
    const text = `with seen as materialized (${this.#look(indexed ? statuses : [], oldestFirst)}),
      fit as (select ord from seen where ($3::text is null or op = $3) and ($4::text is null or key = $4)
        and created_at >= $5::bigint and (cardinality($6::smallint[]) = 0 or status = any($6))
        order by ${order} limit $7::bigint)
      select s.n, s.last, t.* from
        (select count(*) as n, ${oldestFirst ? "max" : "min"}(ord) as last from seen) s left join
        (select ${TASK_LIST} from ${this.#task} where ord = any(array(select ord from fit))) t on true
      order by t.${order}`;
    const values = [
      ask.ord,
      most,
      ask.op === null ? null : toStored(ask.op),
      ask.key === null ? null : keyToStored(ask.key),
      createdSince,
      numbersOf(statuses),
      limit + 1,
    ];
    return {
      query: indexed
        ? { text, values, array: true }
        : this.#query(oldestFirst ? "list_up" : "list_down", text, values),
      answer(rows) {
        const [seen, last] = rows[0] as readonly [number, number];
        const tasks: StoredTask[] = [];
        let chars = 0;
        for (const row of rows) {
          if (row[2] === null) continue;
          const task = storedTaskOf(row.slice(2));
          chars += task.payload.length + (task.result?.length ?? 0);
          const isFull = tasks.length >= limit || (chars > maxChars && tasks.length > 0);
          if (isFull) return { tasks, next: tasks.at(-1)!.ord };
          tasks.push(task);
        }
        return { tasks, next: seen < most ? null : last };
      },
    };
  }

  /** The rows that a list looks at. */
  #look(statuses: readonly number[], oldestFirst: boolean): string {
    const order = oldestFirst ? "ord" : "ord desc";
    const from = (where: string) =>
      `select ord, status, created_at, key, op from ${this.#task}
        where ${where} ord ${
        oldestFirst ? ">" : "<"
      } $1::bigint order by ${order} limit $2::bigint`;
    if (statuses.length === 0) return from("");
    const looks = [...new Set(statuses)].map((status) =>
      `(${from(`status in (${INDEXED.join(", ")}) and status = ${status} and`)})`
    );
    return `select * from (${looks.join(" union all ")}) s order by ${order} limit $2::bigint`;
  }

  /** Counts lane by lane: within one priority, the index is in the order of lanes before that of `seq`. */
  ahead({ priority, seq, limit }: Ask<"ahead">): PgRead<number> {
    const queued = `from ${this.#task} where status = 0 and`;
    const next = (after: string) =>
      `(select key, op ${queued} priority = $1::smallint ${after} order by key, op limit 1)`;
    const here = (lane: string) =>
      `(select count(*) as n from (select ${queued} priority = $1::smallint and key = ${lane}.key
        and op = ${lane}.op and seq < $2::bigint limit $3::bigint) t)`;
    const text = `with recursive lane as (
        select 1 as lanes, l.key, l.op, c.n from ${next("")} l, lateral ${here("l")} c
        union all
        select o.lanes + 1, l.key, l.op, o.n + c.n from lane o,
          lateral ${next("and (key, op) > (o.key, o.op)")} l, lateral ${here("l")} c
        where o.lanes < ${MAX_LANES} and o.n < $3::bigint
      ) select
        (select count(*) from (select ${queued} priority > $1::smallint limit $3::bigint) t),
        (select coalesce(max(n), 0) from lane)`;
    return {
      query: this.#query("ahead", text, [priority, seq, limit]),
      answer: (rows) => Math.min(limit, (rows[0]?.[0] as number) + (rows[0]?.[1] as number)),
    };
  }

  /** Every lane with queued tasks, by one step down the index for each. */
  lanes(): PgRead<LaneQuery[]> {
    const queued = `select priority, key, op from ${this.#task} where status = 0`;
    const order = "order by priority, key, op limit 1";
    const text = `with recursive lane as ((${queued} ${order}) union all
      select l.* from lane o, lateral (${queued}
        and (priority, key, op) > (o.priority, o.key, o.op) ${order}) l)
      select * from lane`;
    return {
      query: { text, array: true },
      answer: (rows) =>
        (rows as readonly [number, string, string][]).map(([priority, key, op]) => ({
          priority,
          key: keyFromStored(key),
          op: fromStored(op),
        })),
    };
  }

  settings(): PgRead<[name: string, value: string][]> {
    const text = `select name, value from ${named(this.#schema, "setting")}`;
    return {
      query: { text, array: true },
      answer: (rows) =>
        (rows as readonly [string, string][]).map((
          [name, value],
        ) => [fromStored(name), fromStored(value)]),
    };
  }

  /** The numbers of the slices that are there. */
  slices(): PgRead<number[]> {
    const text = `select substr(c.relname, 6)::bigint from pg_inherits i
      join pg_class c on c.oid = i.inhrelid where i.inhparent = '${this.#task}'::regclass`;
    return {
      query: { text, array: true },
      answer: (rows) => rows.map(([n]) => n as number),
    };
  }

  #page(name: string, { where, order, values, size }: {
    where: string;
    order: string;
    values: readonly (string | number)[];
    size: PageSize;
  }): PgRead<StoredTask[]> {
    let text = this.#pages.get(name);
    if (text === undefined) {
      text = `select ${TASK_LIST} from
        (select *, row_number() over w as place,
          sum(octet_length(payload) + coalesce(octet_length(result), 0)) over w as chars from
          (select * from ${this.#task} where ${where} order by ${order} limit $1::bigint) t
          window w as (order by ${order} rows unbounded preceding)) t
        where place = 1 or chars <= $2::bigint order by place`;
      this.#pages.set(name, text);
    }
    return {
      query: this.#query(name, text, [size.limit, size.maxChars, ...values]),
      answer: (rows) => rows.map(storedTaskOf),
    };
  }

  #query(name: string, text: string, values: readonly (string | number | null)[]): Query {
    return { name: `sd_${name}`, text, values, array: true };
  }
}
