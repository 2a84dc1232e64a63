/**
 * A commit as one statement: it is made whole or not at all, and only while this server leads. The statement locks the row
 * of the lead, shared. So a takeover waits for it; or it waits for the takeover, finds another token, and writes nothing.
 * It also notes the number of the commit: sent again after a lost answer, it finds its number and does nothing.
 */

import { toStored } from "../journaled/stored_text.ts";
import { appended, type Write } from "../journaled/task_store.ts";
import { columnOf, INSERT_WIDTH, numbersOf, textsOf, UPDATE_WIDTH } from "./cells.ts";
import type { Query } from "./connection.ts";
import type { Fence } from "./lead_tables.ts";
import { COLUMN_TYPES, named, STATE_NAMES, TASK_NAMES } from "./schema.ts";
import type { Slices } from "./slices.ts";

/** The lead under which a write is made. */
type Lead = Pick<Fence, "epoch" | "token">;

/** The fate of a commit. */
type Fate = "made" | "made before" | "fenced";

const UPDATE_NAMES = ["ord", "status", ...STATE_NAMES] as const;
const INSERT_TYPES = TASK_NAMES.map((name) => COLUMN_TYPES[name]);
const UPDATE_TYPES = UPDATE_NAMES.map((name) => COLUMN_TYPES[name]);
const SETTINGS = STATE_NAMES.map((name) => `${name} = u.${name}`).join(", ");

/** A piece of the statement: its SQL after the first free parameter, and the values of its parameters. */
interface Part {
  /** Stands for the SQL in the name of the statement. */
  readonly shape: string;
  readonly sql: (param: (type: string) => string) => string;
  readonly values: readonly string[];
}

export class WriteStatements {
  readonly #schema: string;
  readonly #slices: Slices;
  /** By shape. */
  readonly #texts = new Map<string, string>();

  constructor(schema: string, slices: Slices) {
    this.#schema = schema;
    this.#slices = slices;
  }

  /** The statement that makes `write` as the commit `n` of this lead. */
  commit(write: Write, n: number, { epoch, token }: Lead): Query {
    const updates = this.#updates(write.updates);
    const parts = [
      ...this.#inserts(write.inserts),
      ...updates,
      ...this.#attachments(write.attachments),
      ...this.#settings(write.settings),
      ...this.#outbox(write),
    ];
    const changed = write.updates.length / UPDATE_WIDTH;
    const values = [epoch, token, n, ...parts.flatMap((part) => part.values)];
    if (changed > 0) values.push(changed);
    return this.#query(parts, updates.length, values);
  }

  /** The statement that drops records of final tasks, as the commit `n` of this lead. */
  drop(ords: readonly number[], n: number, { epoch, token }: Lead): Query {
    const parts: Part[] = [];
    for (const [slice, some] of this.#bySlice(ords, (ord) => ord)) {
      const place = suffix(slice);
      const values = [numbersOf(some)];
      const only = slice === undefined ? "only " : "";
      const from = (table: "task" | "attachment") => (param: (type: string) => string) =>
        `delete from ${only}${this.#table(table, slice)} where ord = any(${param("bigint[]")})
          and exists (select from com)`;
      parts.push({ shape: `r${place}`, sql: from("task"), values });
      if (this.#slices.hasAttachments(slice)) {
        parts.push({ shape: `t${place}`, sql: from("attachment"), values });
      }
    }
    return this.#query(parts, 0, [epoch, token, n, ...parts.flatMap((part) => part.values)]);
  }

  /** The names of the statements that use tables of this slice; they are not made again. */
  forget(slice: number): string[] {
    const names: string[] = [];
    for (const shape of this.#texts.keys()) {
      if (!shape.split("_").some((part) => part.slice(1) === suffix(slice))) continue;
      this.#texts.delete(shape);
      names.push(shape);
    }
    return names;
  }

  #query(
    parts: readonly Part[],
    updates: number,
    values: readonly (string | number)[],
  ): Query {
    const shape = ["sd", ...parts.map((part) => part.shape)].join("_");
    // A write that changes tasks of many slices is rare, and there are many kinds of it.
    const isCommon = new Set(parts.map((part) => part.shape[0])).size === parts.length;
    const text = this.#texts.get(shape) ?? this.#text(parts, updates);
    if (isCommon) this.#texts.set(shape, text);
    return { text, values, array: true, ...(isCommon && { name: shape }) };
  }

  #text(parts: readonly Part[], updates: number): string {
    const t = (name: string) => named(this.#schema, name);
    let params = 3;
    const param = (type: string) => `$${++params}::${type}`;
    const tables = [
      `fence as materialized (
        select from ${t("lead")} where epoch = $1::bigint and token = $2::uuid for share)`,
      `com as (insert into ${t("commit")} (epoch, n) select $1::bigint, $3::bigint from fence
        on conflict do nothing returning 1)`,
      // Its answer has come: it is never sent again.
      `done as (delete from ${t("commit")} where epoch = $1::bigint and n = $3::bigint - 1
        and exists (select from com))`,
    ];
    const changed: string[] = [];
    parts.forEach((part, i) => {
      tables.push(`p${i} as (${part.sql(param)})`);
      if (part.shape.startsWith("u")) changed.push(`(select count(*) from p${i})`);
    });
    const check = updates === 0 ? "" : `,
      case when exists (select from com) and ${changed.join(" + ")} <> ${param("bigint")}
        then 1 / (select 0) end`;
    return `with ${tables.join(",\n")}
      select (select count(*) from fence), (select count(*) from com)${check}`;
  }

  #inserts(cells: Write["inserts"]): Part[] {
    return this.#rows(cells, INSERT_WIDTH).map(([slice, rows]) => ({
      shape: `i${suffix(slice)}`,
      sql: (param) =>
        `insert into ${this.#table("task", slice)} (${TASK_NAMES.join(", ")})
          select u.* from com, unnest(${
          INSERT_TYPES.map((type) => param(`${type}[]`)).join(", ")
        }) u`,
      values: TASK_NAMES.map((name, at) => columnOf(cells, rows, at, name)),
    }));
  }

  #updates(cells: Write["updates"]): Part[] {
    return this.#rows(cells, UPDATE_WIDTH).map(([slice, rows]) => {
      const only = slice === undefined ? "only " : "";
      const table = only + this.#table("task", slice);
      const columns = ["ord", "before", ...STATE_NAMES].join(", ");
      return {
        shape: `u${suffix(slice)}`,
        // By way of `ctid`, it is planned the same for a table of any size.
        sql: (param) =>
          `update ${table} t set ${SETTINGS}
          from com, unnest(${
            UPDATE_TYPES.map((type) => param(`${type}[]`)).join(", ")
          }) u(${columns}),
            lateral (select k.ctid as at from ${table} k
              where k.ord = u.ord and k.status = u.before limit 1) x
          where t.ctid = x.at returning 1`,
        values: UPDATE_NAMES.map((name, at) => columnOf(cells, rows, at, name)),
      };
    });
  }

  #attachments(attachments: Write["attachments"]): Part[] {
    const whole = new Map<string, [ord: number, kind: number, text: string]>();
    for (const [ord, kind, text] of attachments) {
      const before = whole.get(`${ord} ${kind}`)?.[2] ?? null;
      whole.set(`${ord} ${kind}`, [ord, kind, appended(kind, before, text)]);
    }
    return [...this.#bySlice([...whole.values()], ([ord]) => ord)].map(([slice, rows]) => {
      this.#slices.attached(slice);
      return {
        shape: `a${suffix(slice)}`,
        // Later commits have higher numbers, also under later leads.
        sql: (param) =>
          `insert into ${this.#table("attachment", slice)} (ord, kind, n, text)
          select u.ord, u.kind, ($1::bigint << 40) + $3::bigint, u.text
          from com, unnest(${param("bigint[]")}, ${param("smallint[]")}, ${param("text[]")})
            u(ord, kind, text)`,
        values: [
          numbersOf(rows.map(([ord]) => ord)),
          numbersOf(rows.map(([, kind]) => kind)),
          textsOf(rows.map(([, , text]) => toStored(text))),
        ],
      };
    });
  }

  #settings(settings: Write["settings"]): Part[] {
    const last = [...new Map(settings)];
    const kept = last.filter((entry): entry is [string, string] => entry[1] !== null);
    const dropped = last.filter(([, value]) => value === null);
    const parts: Part[] = [];
    const table = named(this.#schema, "setting");
    if (kept.length > 0) {
      parts.push({
        shape: "s",
        sql: (param) =>
          `insert into ${table} (name, value)
          select u.* from com, unnest(${param("text[]")}, ${param("text[]")}) u
          on conflict (name) do update set value = excluded.value`,
        values: [
          textsOf(kept.map(([name]) => toStored(name))),
          textsOf(kept.map(([, value]) => toStored(value))),
        ],
      });
    }
    if (dropped.length > 0) {
      parts.push({
        shape: "d",
        sql: (param) =>
          `delete from ${table} where name = any(${param("text[]")}) and exists (select from com)`,
        values: [textsOf(dropped.map(([name]) => toStored(name)))],
      });
    }
    return parts;
  }

  #outbox({ outbox = [], published = [] }: Write): Part[] {
    const parts: Part[] = [];
    const table = named(this.#schema, "outbox");
    if (outbox.length > 0) {
      parts.push({
        shape: "o",
        sql: (param) =>
          `insert into ${table} (route, body)
          select u.* from com, unnest(${param("text[]")}, ${param("text[]")}) u`,
        values: [
          textsOf(outbox.map(([route]) => toStored(route))),
          textsOf(outbox.map(([, body]) => toStored(body))),
        ],
      });
    }
    if (published.length > 0) {
      parts.push({
        shape: "p",
        sql: (param) =>
          `delete from ${table} where n = any(${param("bigint[]")}) and exists (select from com)`,
        values: [numbersOf(published)],
      });
    }
    return parts;
  }

  /** The places of the rows in `cells`, by the slice of their number. */
  #rows(cells: Write["inserts"], width: number): [slice: number | undefined, rows: number[]][] {
    const rows: number[] = [];
    for (let at = 0; at < cells.length; at += width) rows.push(at);
    return [...this.#bySlice(rows, (at) => cells[at] as number)];
  }

  #bySlice<T>(items: readonly T[], ordOf: (item: T) => number): Map<number | undefined, T[]> {
    const bySlice = new Map<number | undefined, T[]>();
    for (const item of items) {
      const slice = this.#slices.of(ordOf(item));
      const others = bySlice.get(slice);
      if (others) others.push(item);
      else bySlice.set(slice, [item]);
    }
    return bySlice;
  }

  #table(name: "task" | "attachment", slice: number | undefined): string {
    return named(this.#schema, slice === undefined ? name : `${name}_${slice}`);
  }
}

function suffix(slice: number | undefined): string {
  return slice === undefined ? "" : String(slice);
}

/** The fate in the answer to a statement of `WriteStatements`. */
export function fateOf([row]: readonly (readonly unknown[])[]): Fate {
  if (row?.[0] === 0) return "fenced";
  return row?.[1] === 0 ? "made before" : "made";
}
