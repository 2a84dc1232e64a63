/** TLS and passwords of PostgreSQL: each mode of libpq against a server with a certificate, and against one without. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ClientError } from "../../net/client_error.ts";
import { openSharedStore } from "../../server/engine/open.ts";
import { Certificate } from "../kit/certificate.ts";
import { OwnPostgres, withOwnPostgres } from "../kit/services.ts";

const PASSWORD = "p@ss:w/ord?";

/** How many sessions of sd the server has, and whether they speak TLS. */
async function sessions(postgres: OwnPostgres): Promise<string> {
  return await postgres.sql(
    "select string_agg(ssl::text, ',') from pg_stat_ssl join pg_stat_activity using (pid) " +
      "where application_name like 'sd%'",
  );
}

async function tlsOf(postgres: OwnPostgres, url: string): Promise<string> {
  const store = await openSharedStore(url);
  const seen = await sessions(postgres);
  await store.close();
  return seen;
}

Deno.test(
  withOwnPostgres("each TLS mode does what libpq's does, against a server with a certificate"),
  async () => {
    using certificate = await Certificate.make("localhost");
    using other = await Certificate.make("localhost");
    await using postgres = await OwnPostgres.start({ tls: certificate, password: PASSWORD });
    const at = (query: string, host = "localhost") =>
      `postgres://sd:${encodeURIComponent(PASSWORD)}@${host}:${postgres.port}/test?${query}`;
    const root = `sslrootcert=${certificate.certFile}`;
    for (
      const [query, host, isTls] of [
        ["sslmode=disable", "localhost", "false"],
        ["sslmode=allow", "localhost", "false"],
        ["", "localhost", "true"],
        ["sslmode=prefer", "localhost", "true"],
        ["sslmode=require", "127.0.0.1", "true"],
        [`sslmode=verify-ca&${root}`, "127.0.0.1", "true"],
        [`sslmode=verify-full&${root}`, "localhost", "true"],
      ] as const
    ) assertEquals(`${query} ${await tlsOf(postgres, at(query, host))}`, `${query} ${isTls}`);
    for (
      const [query, host] of [
        ["sslmode=verify-full", "localhost"],
        [`sslmode=verify-full&${root}`, "127.0.0.1"],
        [`sslmode=verify-full&sslrootcert=${other.certFile}`, "localhost"],
        [`sslmode=verify-ca&sslrootcert=${other.certFile}`, "localhost"],
        [`sslmode=require&sslrootcert=${other.certFile}`, "localhost"],
        ["sslmode=verify-full&sslrootcert=system", "localhost"],
      ] as const
    ) {
      const error = await assertRejects(() => openSharedStore(at(query, host)), ClientError);
      assertEquals(`${query}: ${error.code}`, `${query}: usage`);
      assert(error.hint?.includes("sslrootcert=FILE"), `${query}: ${error.message}; ${error.hint}`);
      assert(!error.message.includes(PASSWORD));
    }
  },
);

Deno.test(
  withOwnPostgres("a server that wants TLS refuses one without, and its absence is said"),
  async () => {
    await using postgres = await OwnPostgres.start();
    assertEquals(await tlsOf(postgres, `${postgres.url}?sslmode=prefer`), "false");
    const error = await assertRejects(
      () => openSharedStore(`${postgres.url}?sslmode=require`),
      ClientError,
      "does not support SSL",
    );
    assert(error.hint?.includes("sslmode=disable"), error.hint);
  },
);

Deno.test(
  withOwnPostgres(
    "the password comes from the URL, a file, or the environment; a wrong one is refused at once",
  ),
  async () => {
    await using postgres = await OwnPostgres.start({ password: PASSWORD });
    const url = `postgres://sd@127.0.0.1:${postgres.port}/test?sslmode=disable`;
    const file = `${postgres.folder}/password`;
    await Deno.writeTextFile(file, `${PASSWORD}\n`);
    await (await openSharedStore(url, { passwordFile: file })).close();
    await Deno.writeTextFile(
      `${postgres.folder}/pgpass`,
      `127.0.0.1:*:test:sd:${PASSWORD.replace(":", "\\:")}\n`,
    );
    await (await openSharedStore(`${url}&passfile=${postgres.folder}/pgpass`)).close();
    Deno.env.set("SD_ENGINE_PASSWORD", PASSWORD);
    try {
      await (await openSharedStore(url)).close();
    } finally {
      Deno.env.delete("SD_ENGINE_PASSWORD");
    }
    for (const wrong of [url, url.replace("sd@", "sd:wrong@"), url.replace("sd@", "nobody:x@")]) {
      const error = await assertRejects(() => openSharedStore(wrong), ClientError);
      assert(error.hint?.includes("SD_ENGINE_PASSWORD"), `${error.message}; ${error.hint}`);
    }
    const error = await assertRejects(
      () => openSharedStore(url, { passwordFile: "/nowhere/password" }),
      ClientError,
      "/nowhere/password",
    );
    assert(error.hint !== undefined);
  },
);
