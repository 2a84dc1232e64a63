/**
 * The tables of a PostgreSQL engine, in a schema of their own. `migrations.ts` makes them; a change is a migration.
 *
 * Tasks lie in slices: slice `n` has the numbers (`ord`) from `n * sliceRows` on, in two tables of its own, `task_N` and
 * `attachment_N`, which inherit from `task` and `attachment`. A read of `task` reads them all. Writes name the table of a slice, so they are
 * planned for a small table. An old slice is dropped whole, so dead rows never pile up; what is
 * still needed of it is moved to `task` and `attachment` themselves.
 */

import { STORED_STATUSES } from "../journaled/task_store.ts";
import { leadTables } from "./lead_tables.ts";

/** Tasks of a slice in a new schema. */
export const SLICE_SIZE = 2 ** 22;

/** The columns of a task, in the order of `FIXED_COLUMNS` and `STATE_COLUMNS` of the seam. */
const FIXED_NAMES = [
  "ord",
  "id",
  "given",
  "op",
  "payload",
  "options",
  "key",
  "priority",
  "created_at",
  "expires_at",
] as const;
export const STATE_NAMES = [
  "status",
  "seq",
  "run_at",
  "attempt",
  "deaths",
  "started_at",
  "finished_at",
  "drop_at",
  "result",
  "error",
  "trail",
] as const;
export const TASK_NAMES = [...FIXED_NAMES, ...STATE_NAMES] as const;
export type TaskColumn = typeof TASK_NAMES[number];

export const COLUMN_TYPES: Readonly<Record<TaskColumn, string>> = {
  ord: "bigint",
  id: "text",
  given: "smallint",
  op: "text",
  payload: "text",
  options: "text",
  key: "text",
  priority: "smallint",
  created_at: "bigint",
  expires_at: "bigint",
  status: "smallint",
  seq: "bigint",
  run_at: "bigint",
  attempt: "smallint",
  deaths: "smallint",
  started_at: "bigint",
  finished_at: "bigint",
  drop_at: "bigint",
  result: "text",
  error: "text",
  trail: "text",
};

/** `name` as an identifier in a statement. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The name of a table, or of another thing of the schema, for a statement. */
export function named(schema: string, name: string): string {
  return `${quoted(schema)}.${quoted(name)}`;
}

/*
 * Columns of fixed width come first, so that a row has no gaps. No update can be done in place, since the indexes that a
 * task is in change with its status; a completed task without options is in the index of its number alone.
 */
const TASK = `
    ord bigint not null, seq bigint not null, run_at bigint not null, started_at bigint not null,
    finished_at bigint not null, created_at bigint not null, expires_at bigint, drop_at bigint,
    status smallint not null, attempt smallint not null, deaths smallint not null,
    priority smallint not null, given smallint not null, id text collate "C" not null,
    key text collate "C" not null, op text collate "C" not null,
    options text, error text, trail text, result text, payload text not null, primary key (ord)`;

/** Each row is one text of an attachment; a read joins them in the order of `n`. */
const ATTACHMENT = `
    ord bigint not null, kind smallint not null, n bigint not null, text text not null,
    primary key (ord, kind, n)`;

/** With the default, 20 % of a table can be dead rows before it is cleaned. */
const CLEANED = "with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)";

/** The indexes of a table of tasks, beside that of `ord`. */
function taskIndexes(table: string): string {
  return `
create unique index on ${table} (id) where given = 1;
create index on ${table} (priority, key, op, seq) where status = 0;
create index on ${table} (run_at, ord) where status = 1;
create index on ${table} (expires_at, ord) where expires_at is not null and status < 3;
create index on ${table} (drop_at, ord) where drop_at is not null;
create index on ${table} (status, ord) where status in (1, 2, 4, 5, 6);`;
}

/** Makes the tables of slice `n`, unless they are there. */
export function sliceDdl(schema: string, n: number): string {
  const [task, attachment] = [named(schema, `task_${n}`), named(schema, `attachment_${n}`)];
  return `do $sd$ begin
if to_regclass('${task}') is null then
  create table ${task} (primary key (ord)) inherits (${named(schema, "task")}) ${CLEANED};
  ${taskIndexes(task)}
  create table ${attachment} (primary key (ord, kind, n))
    inherits (${named(schema, "attachment")}) ${CLEANED};
end if; end $sd$`;
}

interface SliceDrop {
  readonly schema: string;
  readonly n: number;
  /** The lead under which it is done. */
  readonly epoch: number;
  readonly token: string;
  /** Longest wait for readers of the slice, in ms. */
  readonly waitMs: number;
}

/** Drops slice `n`, unless it is gone, after it has moved what is left of it to `task` and `attachment`. */
export function dropSliceDdl({ schema, n, epoch, token, waitMs }: SliceDrop): string {
  const [task, attachment] = [named(schema, `task_${n}`), named(schema, `attachment_${n}`)];
  return `do $sd$ begin
perform from ${named(schema, "lead")} where epoch = ${epoch} and token = '${token}' for share;
if not found then raise exception 'another server leads' using errcode = '${FENCED_STATE}'; end if;
if to_regclass('${task}') is not null then
  perform set_config('lock_timeout', '${waitMs}', true);
  lock table ${task}, ${attachment} in access exclusive mode;
  insert into ${named(schema, "task")} select * from ${task};
  insert into ${named(schema, "attachment")} select * from ${attachment};
  drop table ${task};
  drop table ${attachment};
end if; end $sd$`;
}

/** Lets the server forget these prepared statements, if it has them. */
export function deallocateSql(names: readonly string[]): string {
  return `do $sd$ declare gone text; begin
for gone in select name from pg_prepared_statements where name in ('${names.join("', '")}') loop
  execute format('deallocate %I', gone);
end loop; end $sd$`;
}

/** SQLSTATE of a statement that was refused since another server leads. */
export const FENCED_STATE = "SD001";

/** The first version of the schema. */
export function firstVersion(schema: string, sliceRows: number): string {
  const t = (name: string) => named(schema, name);
  return `
create table ${t("meta")} (one boolean primary key default true check (one), version int not null,
  min_version int not null, slice_rows bigint not null, secret text not null);
insert into ${t("meta")} values (true, 1, 1, ${sliceRows},
  replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''));
${leadTables(schema)}
create table ${t("commit")} (epoch bigint not null, n bigint not null, primary key (epoch, n))
  ${CLEANED};
create table ${t("task")} (${TASK}) ${CLEANED};
${taskIndexes(t("task"))}
create table ${t("attachment")} (${ATTACHMENT}) ${CLEANED};
create table ${t("setting")} (name text collate "C" primary key, value text not null)
  with (fillfactor = 50);
create table ${t("outbox")} (n bigserial primary key, route text not null, body text not null);
${viewOfTasks(schema)}`;
}

/** The statuses for people: on disk, a task that runs is queued. */
const STATUS_NAMES = STORED_STATUSES
  .map((name, code) => `when ${code} then '${name === "waiting" ? "delayed" : name}'`).join(" ");

const time = (column: string) =>
  `case when ${column} > 0 then to_timestamp(${column} / 1000.0) end as ${column}`;

const VIEW_COMMENT = "The tasks of sd, to read. U+0000, U+001A and lone surrogates in a text are " +
  "U+001A and four hexadecimal digits. Submit and change tasks by sd alone.";
const VIEW_COMMENTS: readonly (readonly [column: string, comment: string])[] = [
  ["id", "the id of the task"],
  ["op", "its operation"],
  [
    "status",
    "queued (a task that runs is queued here), delayed, completed, failed, cancelled or expired",
  ],
  ["key", "its key; null if it has none"],
  ["priority", "higher is first"],
  ["payload", "the submitted message, JSON text"],
  ["result", "the result of a completed task, JSON text"],
  ["error", "the error of a failed task, JSON text"],
  ["options", "its other options, JSON text"],
  ["attempt", "how many runs were counted against its attempts"],
  ["deaths", "how many worker processes died with it"],
  ["created_at", "when it was submitted"],
  ["run_at", "when it may start"],
  ["started_at", "when its last run started; null while it has not run"],
  ["finished_at", "when it ended; null while it is open"],
  ["expires_at", "when it ends unless it has started; null if it does not expire"],
  ["number", "its number: tasks in the order of their submits"],
];

function viewOfTasks(schema: string): string {
  const view = named(schema, "tasks");
  const key = `case key when '' then null when E'\\x1a-' then '' else key end as key`;
  return `
create view ${view} as
    select id, op, case status ${STATUS_NAMES} end as status, ${key}, priority,
    payload, result, error, options, attempt, deaths, ${time("created_at")}, ${time("run_at")},
    ${time("started_at")}, ${time("finished_at")}, ${time("expires_at")}, ord as number
    from ${named(schema, "task")};
comment on view ${view} is '${VIEW_COMMENT}';
${
    VIEW_COMMENTS.map(([name, text]) =>
      `comment on column ${view}.${name} is '${text.replaceAll("'", "''")}';`
    ).join("\n")
  }`;
}
