/** The fence of a leader: its own renewal ends the writes of its old connection, and that of another leader ends its own. */

import { assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import { StoreError } from "../../server/engine/journaled/task_store.ts";
import { PgSession } from "../../server/engine/postgres/connection.ts";
import { STORE_SETTINGS } from "../../server/engine/postgres/dial.ts";
import { Fence } from "../../server/engine/postgres/fence.ts";
import { parsePostgresUrl } from "../../server/engine/postgres/url.ts";
import { OwnSchema, SHARED, withPostgres } from "../kit/services.ts";

const TOKEN = "11111111-1111-4111-8111-111111111111";

async function stage(schema: OwnSchema): Promise<{ session: PgSession; lead: string }> {
  await schema.sql(`create schema "${schema.name}"; create table "${schema.name}".lead
    (one boolean primary key default true, epoch bigint not null, token uuid not null);
    create table "${schema.name}".row (n int);
    insert into "${schema.name}".lead values (true, 7, '${TOKEN}')`);
  const session = new PgSession({
    target: parsePostgresUrl(SHARED.postgres),
    password: () => Promise.resolve(undefined),
    applicationName: "sd fence",
    settings: STORE_SETTINGS,
  });
  await session.ready();
  return { session, lead: `"${schema.name}".lead` };
}

Deno.test(
  withPostgres("a renewal waits for a write under way, and ends one that comes later"),
  async () => {
    await using schema = new OwnSchema();
    const { session, lead } = await stage(schema);
    const fence = new Fence(lead, 7, TOKEN);
    const write = `with f as materialized (select 1 from lead where token = '${TOKEN}' for share)
    insert into row select 1 from f`;
    const underWay = schema.sql(`begin; ${write}; select pg_sleep(0.5); commit`);
    while (
      await schema.sql(
        "select count(*) from pg_locks where mode = 'RowShareLock' and relation = 'lead'::regclass",
      ) === "0"
    ) {
      await delay(20);
    }
    await fence.renew(session);
    assertEquals(await schema.sql("select count(*) from row"), "1", "it had waited");
    await underWay;
    await schema.sql(write);
    assertEquals(await schema.sql("select count(*) from row"), "1", "the token is another");
    assertEquals(await schema.sql("select token from lead"), fence.token);
    await fence.renew(session);
    assertEquals(await schema.sql("select token from lead"), fence.token);
    await session.close();
  },
);

Deno.test(
  withPostgres("a renewal whose answer was lost can be repeated; after another leader's it cannot"),
  async () => {
    await using schema = new OwnSchema();
    const { session, lead } = await stage(schema);
    const fence = new Fence(lead, 7, TOKEN);
    const lost = assertRejects(() => fence.renew(session));
    session.reconnect("a test");
    await lost;
    await session.ready();
    await fence.renew(session);
    assertEquals(await schema.sql("select token from lead"), fence.token);
    await schema.sql(`update lead set epoch = 8, token = '${TOKEN}'`);
    assertEquals((await assertRejects(() => fence.renew(session), StoreError)).fault, "fenced");
    await session.close();
  },
);
