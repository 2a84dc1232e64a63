/** The kit's own services do what the tests that use them rely on: they die, come back with their data, and leave nothing. */

import { assertEquals, assertRejects } from "@std/assert";
import { CuttingProxy } from "./cutting_proxy.ts";
import { answersAt } from "./private_service.ts";
import { OwnPostgres, OwnRedis, OwnSchema, withOwnPostgres, withOwnRedis } from "./services.ts";

Deno.test(withOwnPostgres("A PostgreSQL of a test keeps its rows over SIGKILL"), async () => {
  await using own = await OwnPostgres.start();
  await own.sql("create table seen (n int); insert into seen values (1)");
  await own.kill("SIGKILL");
  assertEquals(await answersAt(own.port), false);
  await own.start();
  assertEquals(await own.sql("select n from seen"), "1");
});

Deno.test(withOwnPostgres("A standby follows its primary, and is promoted"), async () => {
  await using primary = await OwnPostgres.start();
  await primary.sql("create table seen (n int)");
  await using standby = await primary.replica();
  assertEquals(await standby.sql("select pg_is_in_recovery()"), "t");
  await assertRejects(() => standby.sql("insert into seen values (2)"));
  await primary.kill("SIGKILL");
  await standby.promote();
  await standby.sql("insert into seen values (2)");
});

Deno.test(withOwnPostgres("A schema of a test is dropped with it"), async () => {
  await using own = await OwnPostgres.start();
  let name: string;
  {
    await using schema = new OwnSchema(own.url);
    name = schema.name;
    await schema.sql(`create schema "${name}"; create table seen (n int)`);
  }
  assertEquals(await own.sql(`select count(*) from pg_namespace where nspname = '${name}'`), "0");
});

Deno.test(withOwnRedis("A Redis that appends always keeps what it has answered"), async () => {
  await using own = await OwnRedis.start({ appendfsync: "always" });
  assertEquals(await ask(own.port, "SET a 1"), "+OK\r\n");
  await own.kill("SIGKILL");
  await own.start();
  assertEquals(await ask(own.port, "GET a"), "$1\r\n1\r\n");
});

Deno.test(withOwnRedis("A held proxy is silent, and delivers once it is released"), async () => {
  await using own = await OwnRedis.start();
  await using proxy = new CuttingProxy({ hostname: "127.0.0.1", port: own.port });
  using conn = await Deno.connect(proxy.address);
  const before = await ping(conn);
  proxy.hold();
  let answered = false;
  const later = ping(conn).then((text) => (answered = true, text));
  using other = await Deno.connect(proxy.address);
  const third = ping(other);
  // A direct question is answered after the held one would have been.
  await ask(own.port, "PING");
  assertEquals([before, answered], ["+PONG\r\n", false]);
  proxy.release();
  assertEquals([await later, await third], ["+PONG\r\n", "+PONG\r\n"]);
});

async function ask(port: number, command: string): Promise<string> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  return await answer(conn, command);
}

function ping(conn: Deno.TcpConn): Promise<string> {
  return answer(conn, "PING");
}

async function answer(conn: Deno.TcpConn, command: string): Promise<string> {
  await conn.write(new TextEncoder().encode(`${command}\r\n`));
  const buffer = new Uint8Array(1024);
  const n = await conn.read(buffer) ?? 0;
  return new TextDecoder().decode(buffer.subarray(0, n));
}
