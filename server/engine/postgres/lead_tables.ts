/**
 * The tables by which servers find and replace their leader, and the door by which SQL submits tasks. The first version of
 * the schema makes them, with the row of `lead`.
 *
 * `lead` is the fence: it changes when a server takes the lead and at no other time, so that each commit finds its one row
 * at once. The row of `lease` changes every second; no commit reads it.
 */

import { MAX_LINE_BYTES, MAX_OP_CHARS, MAX_TASK_ID_CHARS } from "../../../protocol/limits.ts";

/** The values in `lead` by which a write shows that its server leads. Each takeover changes both. */
export interface Fence {
  readonly epoch: number;
  /** A UUID. */
  readonly token: string;
}

/** `schema` is the name of a schema as the URL allows it. */
export function leadTables(schema: string): string {
  const t = (name: string) => `"${schema}"."${name}"`;
  return `
create table ${t("lead")} (
    one boolean primary key default true check (one), epoch bigint not null,
    token uuid not null, serial_hi bigint not null);
insert into ${t("lead")} values (true, 0, gen_random_uuid(), 1);
create table ${t("lease")} (
    one boolean primary key default true check (one), epoch bigint not null,
    server uuid, address text, until timestamptz not null, sessions text[] not null)
  with (fillfactor = 20, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
insert into ${t("lease")} values (true, 0, null, null, 'epoch', '{}');
create table ${t("member")} (
    server uuid primary key, name text not null, address text not null,
    is_draining boolean not null, beat_at timestamptz not null, info text not null)
  with (fillfactor = 20, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
${inboxTables(schema)}`;
}

/** The tables and functions of the door of SQL. */
function inboxTables(schema: string): string {
  const t = (name: string) => `"${schema}"."${name}"`;
  return `
create table ${t("inbox")} (
    n bigserial primary key, id text collate "C" not null,
    line text not null, at timestamptz not null default now());
create table ${t("inbox_refused")} (
    n bigint primary key, id text collate "C" not null,
    line text not null, at timestamptz not null, refused_at timestamptz not null default now(),
    reason text not null);
comment on table ${t("inbox_refused")} is
  'Submits by SQL that can never be tasks, with the reason; kept for seven days.';
${SUBMIT.replaceAll("@SCHEMA@", `"${schema}"`)}`;
}

/**
 * `submit('square', '{"n":4}', '{"priority":5}')` resolves to the id of the task that it becomes when the transaction
 * commits. Whatever can be judged without the server is refused at once, in the transaction of the caller; op, options and
 * arguments are judged by the leader. The function has the rights of its owner, so that a role needs no more than `usage`
 * of the schema. The arguments may be text, since `jsonb` cannot hold the character U+0000 and changes numbers.
 */
const SUBMIT = String.raw`
create function @SCHEMA@.submit(op text, args text, options jsonb default '{}') returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $sd$
declare
  task_id text := coalesce(options ->> 'id', gen_random_uuid()::text);
  members text;
  line text;
begin
  if op is null or length(op) not between 1 and ${MAX_OP_CHARS} then
    raise exception 'op must be a text of 1 to ${MAX_OP_CHARS} characters'
      using errcode = 'invalid_parameter_value';
  end if;
  if options is null or jsonb_typeof(options) <> 'object' then
    raise exception 'options must be a JSON object, like {"priority":5}'
      using errcode = 'invalid_parameter_value';
  end if;
  if task_id !~ '^[A-Za-z0-9._:-]{1,${MAX_TASK_ID_CHARS}}$' then
    raise exception 'the id of a task has 1 to ${MAX_TASK_ID_CHARS} of A-Za-z0-9._:-'
      using errcode = 'invalid_parameter_value';
  end if;
  if args is null or json_typeof(args::json) <> 'object' then
    raise exception 'args must be a JSON object, like {"n":4}'
      using errcode = 'invalid_parameter_value';
  end if;
  -- A function that reads U+0000 fails.
  if position(E'\\u0000' in args) = 0
    and exists (select from json_object_keys(args::json) k where k in ('op', 'task', 'ref')) then
    raise exception 'args must not have the members op, task and ref'
      using errcode = 'invalid_parameter_value';
  end if;
  -- The members of the arguments as they came, without their braces. Of two members of a name, the last one counts.
  members := btrim(args, E' \t\n\r');
  members := btrim(substr(members, 2, length(members) - 2), E' \t\n\r');
  line := '{' || case when members = '' then '' else members || ',' end ||
    '"op":' || to_json(op)::text || ',"task":' ||
    (options || jsonb_build_object('id', task_id, 'wait', false))::text || '}';
  line := translate(line, E'\n\r', '  ');
  if octet_length(line) > ${MAX_LINE_BYTES} then
    raise exception 'a submit has at most ${MAX_LINE_BYTES} bytes, this one has %', octet_length(line)
      using errcode = 'program_limit_exceeded';
  end if;
  insert into @SCHEMA@.inbox (id, line) values (task_id, line);
  return task_id;
end $sd$;
create function @SCHEMA@.submit(op text, args jsonb default '{}', options jsonb default '{}')
returns text language sql as $sd$ select @SCHEMA@.submit(op, args::text, options) $sd$;
comment on function @SCHEMA@.submit(text, text, jsonb) is
  'Submits a task in this transaction, and returns its id. Options are named as in a line of the wire.';
comment on function @SCHEMA@.submit(text, jsonb, jsonb) is
  'Submits a task in this transaction, and returns its id. Options are named as in a line of the wire.';`;
