/** What a server says of its PostgreSQL when it starts: what it refuses, with the cure, and what it warns of. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ClientError } from "../../net/client_error.ts";
import { openPostgres } from "../../server/engine/postgres/open_postgres.ts";
import { openSharedStore } from "../../server/engine/open.ts";
import { OwnPostgres, OwnSchema, withOwnPostgres, withPostgres } from "../kit/services.ts";

async function reportsOf(url: string): Promise<string[]> {
  const reports: string[] = [];
  const store = await openSharedStore(url, { report: (message) => reports.push(message) });
  await store.close();
  return reports;
}

Deno.test(withPostgres("a database as it is usually set up gives no warning"), async () => {
  await using schema = new OwnSchema();
  assertEquals(await reportsOf(schema.url), []);
});

Deno.test(withOwnPostgres("settings that can lose acknowledged tasks are warned of"), async () => {
  await using postgres = await OwnPostgres.start({ settings: { synchronous_commit: "off" } });
  const [first, ...more] = await reportsOf(postgres.url);
  assert(first?.startsWith("synchronous_commit is off"), first);
  assertEquals(more, []);
  await postgres.sql("alter system set fsync = off; select pg_reload_conf()");
  await postgres.restart();
  assert((await reportsOf(postgres.url))[0]?.startsWith("fsync is off"));
});

Deno.test(
  withOwnPostgres(
    "a role without the right to make the schema is told what an administrator must do",
  ),
  async () => {
    await using postgres = await OwnPostgres.start();
    await postgres.sql("create role app login");
    const url = `postgres://app@127.0.0.1:${postgres.port}/test?schema=sd_app`;
    const error = await assertRejects(() => openSharedStore(url), ClientError, "role app");
    assertEquals(error.code, "usage");
    const cure = error.hint!.replace(/^.*?: /, "");
    assertEquals(cure, `create schema "sd_app" authorization "app"`);
    await postgres.sql(cure);
    assertEquals(await reportsOf(url), []);
    await postgres.sql("create role other login");
    const foreign = `postgres://other@127.0.0.1:${postgres.port}/test?schema=sd_app`;
    await assertRejects(() => openSharedStore(foreign), ClientError, "role other");
  },
);

Deno.test(
  withOwnPostgres(
    "a replica, a database that is not there, and one with another encoding are refused",
  ),
  async () => {
    await using postgres = await OwnPostgres.start();
    await postgres.sql("create database latin encoding 'LATIN1' locale 'C' template template0");
    const at = (database: string) => `postgres://sd@127.0.0.1:${postgres.port}/${database}`;
    const odd = await assertRejects(() => openSharedStore(at("latin")), ClientError, "LATIN1");
    assert(odd.hint?.includes("createdb --encoding UTF8"));
    const missing = await assertRejects(() => openSharedStore(at("nowhere")), ClientError);
    assert(missing.hint?.startsWith("create the database"), missing.message);
    await using standby = await postgres.replica();
    const replica = await assertRejects(
      () => openPostgres(`postgres://sd@127.0.0.1:${standby.port}/test`, { patienceMs: 1000 }),
      ClientError,
      "is a replica",
    );
    assert(replica.hint?.includes("name the primary"));
  },
);

Deno.test("a database that is away is waited for, and then said to be unreachable", async () => {
  const error = await assertRejects(
    () => openPostgres("postgres://u:secret@127.0.0.1:1,127.0.0.1:2/x", { patienceMs: 1000 }),
    ClientError,
  );
  assertEquals(error.code, "unreachable");
  assert(error.message.includes("postgres://u@127.0.0.1:1,127.0.0.1:2/x"), error.message);
  assert(!error.message.includes("secret"));
});

Deno.test(withOwnPostgres("a database that starts late is waited for"), async () => {
  await using postgres = await OwnPostgres.start();
  await postgres.stop();
  const opening = reportsOf(postgres.url);
  await postgres.start();
  assertEquals(await opening, []);
});

Deno.test(
  withPostgres("a schema of a newer release that this one cannot follow is refused"),
  async () => {
    await using schema = new OwnSchema();
    await reportsOf(schema.url);
    await schema.sql("update meta set version = 1000, min_version = 1000");
    await assertRejects(() => openSharedStore(schema.url), ClientError, "newer release");
    await schema.sql("update meta set version = 1000, min_version = 1");
    await reportsOf(schema.url);
  },
);

Deno.test(withPostgres("a schema that holds other tables is left as it is"), async () => {
  await using schema = new OwnSchema();
  await schema.sql(`create schema "${schema.name}"; create table task (mine int)`);
  await assertRejects(() => openSharedStore(schema.url));
  assertEquals(await schema.sql("select count(*) from task"), "0");
  assertEquals(await schema.sql("select to_regclass('meta')"), "");
});
