/**
 * Brings the schema of a PostgreSQL engine up to date. The servers of a cluster do it one after the other, each in one
 * statement, so a schema is never half made. To change the tables, append a migration; never alter one that was released.
 * A migration adds: a server of the release before must be able to go on with the new tables, or `minVersion` of the
 * migration must name the version that it needs.
 */

import { StoreError } from "../journaled/task_store.ts";
import { firstVersion, named, quoted, SLICE_SIZE } from "./schema.ts";
import type { Query } from "./connection.ts";

/** Statements that make a version from the one before. */
interface Migration {
  readonly sql: (schema: string) => string;
  /** The oldest version of the tables whose servers can still lead. */
  readonly minVersion: number;
}

/** From version 1 on; the first makes version 2. */
const MIGRATIONS: readonly Migration[] = [];
/** The version of the tables that this release makes. */
export const SCHEMA_VERSION = 1 + MIGRATIONS.length;

/** The row of `meta`. */
export interface Meta {
  readonly version: number;
  /** Known to all that can read the schema. */
  readonly secret: string;
  /** The tasks of a slice. */
  readonly sliceRows: number;
}

interface MigrateOptions {
  readonly query: <R>(query: Query) => Promise<R[]>;
  readonly schema: string;
  /** Tasks of a slice, for a schema that is made now. */
  readonly sliceRows?: number;
}

/** Longest time of a migration, in ms. */
const DEADLINE_MS = 60_000;

/** Makes the schema, or brings it up to date. Rejects if it is of a release that this one cannot follow. */
export async function migrate(options: MigrateOptions): Promise<Meta> {
  const { query, schema } = options;
  await query({ text: migrationSql(options), deadlineMs: DEADLINE_MS });
  const [row] = await query<{ version: number; least: number; secret: string; rows: number }>({
    text: `select version, min_version as least, secret, slice_rows as rows
      from ${named(schema, "meta")}`,
  });
  if (!row) throw new StoreError("damaged", `the table ${schema}.meta is empty`);
  if (row.least > SCHEMA_VERSION) {
    throw new StoreError(
      "bug",
      `the schema ${schema} is of version ${row.version}, and this sd knows version ` +
        `${SCHEMA_VERSION}: start a newer release of sd`,
    );
  }
  return { version: row.version, secret: row.secret, sliceRows: row.rows };
}

function migrationSql({ schema, sliceRows = SLICE_SIZE }: MigrateOptions): string {
  const meta = named(schema, "meta");
  const steps = MIGRATIONS.map(({ sql, minVersion }, i) =>
    `if (select version from ${meta}) < ${i + 2} then
${sql(schema)}
update ${meta} set version = ${i + 2}, min_version = greatest(min_version, ${minVersion});
end if;`
  );
  // Other servers can take long to make the tables.
  const lock = `perform set_config('lock_timeout', '25s', true);
perform pg_advisory_xact_lock(hashtext('sd schema ${schema.replaceAll("'", "''")}'));`;
  return `do $migrate$ begin
if to_regclass('${meta}') is not null then
  if (select version from ${meta}) >= ${SCHEMA_VERSION} then return; end if;
end if;
${lock}
if to_regclass('${meta}') is null then
if to_regnamespace('${quoted(schema)}') is null then create schema ${quoted(schema)}; end if;
${firstVersion(schema, sliceRows)}
end if;
${steps.join("\n")}
end $migrate$`;
}
