/** Stores of PostgreSQL for tests, under a lead that is taken by force. */

import type { Opened } from "../../server/engine/journaled/task_store.ts";
import { PgSession } from "../../server/engine/postgres/connection.ts";
import { STORE_SETTINGS } from "../../server/engine/postgres/dial.ts";
import { migrate } from "../../server/engine/postgres/migrations.ts";
import { named } from "../../server/engine/postgres/schema.ts";
import { PostgresStore, SERIAL_BLOCK } from "../../server/engine/postgres/store.ts";
import { parsePostgresUrl } from "../../server/engine/postgres/url.ts";

export interface TestLead {
  readonly store: PostgresStore;
  readonly opened: Opened;
  readonly schema: string;
  readonly epoch: number;
  readonly token: string;
  /** For commits. */
  readonly session: PgSession;
  readonly side: PgSession;
}

export function testSession(url: string, settings: Record<string, string> = STORE_SETTINGS) {
  return new PgSession({
    target: parsePostgresUrl(url),
    password: () => Promise.resolve(undefined),
    applicationName: "sd test",
    settings,
    isPinned: true,
  });
}

/** Makes the schema that `url` names if it is not there, and takes the lead from any other. */
export async function takeLead(url: string, sliceRows?: number): Promise<TestLead> {
  const { schema } = parsePostgresUrl(url);
  const [session, side] = [testSession(url), testSession(url)];
  await Promise.all([session.ready(), side.ready()]);
  const query = <R>(query: Parameters<PgSession["query"]>[0]) => session.query<R>(query);
  const meta = await migrate({ query, schema, ...(sliceRows && { sliceRows }) });
  const [lead] = await session.query<{ epoch: number; token: string; hi: number }>({
    text: `update ${named(schema, "lead")} set epoch = epoch + 1, token = gen_random_uuid(),
      serial_hi = serial_hi + ${SERIAL_BLOCK} returning epoch, token, serial_hi as hi`,
  });
  const { epoch, token, hi } = lead!;
  const { store, opened } = await PostgresStore.open({
    session,
    side,
    schema,
    fence: { epoch, token },
    next: hi - SERIAL_BLOCK,
    serialHi: hi,
    sliceRows: meta.sliceRows,
  });
  return { store, opened, schema, epoch, token, session, side };
}
