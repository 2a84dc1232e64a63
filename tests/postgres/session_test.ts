/** The session with PostgreSQL: order of answers, lost connections of every kind, and the database that it finds after them. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import {
  PgSession,
  type PgSessionOptions,
  QUERY_DEADLINE_MS,
} from "../../server/engine/postgres/connection.ts";
import { STORE_SETTINGS } from "../../server/engine/postgres/dial.ts";
import { AnswerLost } from "../../server/engine/postgres/faults.ts";
import { parsePostgresUrl } from "../../server/engine/postgres/url.ts";
import { StoreError } from "../../server/engine/journaled/task_store.ts";
import { CuttingProxy } from "../kit/cutting_proxy.ts";
import { OwnPostgres, SHARED, withOwnPostgres, withPostgres } from "../kit/services.ts";

type Options = Partial<Omit<PgSessionOptions, "target">> & {
  readonly settings?: Record<string, string>;
};

/** A session that a test closes with `await using`. */
class TestSession extends PgSession implements AsyncDisposable {
  constructor(url: string, options: Options = {}) {
    super({
      target: parsePostgresUrl(url),
      password: () => Promise.resolve(undefined),
      applicationName: "sd test",
      settings: STORE_SETTINGS,
      ...options,
    });
  }

  async one(text: string, deadlineMs?: number): Promise<unknown> {
    const [row] = await this.query<unknown[]>({
      text,
      array: true,
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
    });
    return row?.[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function through(proxy: CuttingProxy, database = "test", user = "root"): string {
  return `postgres://${user}@127.0.0.1:${proxy.port}/${database}?sslmode=disable`;
}

function sharedServer(): { hostname: string; port: number } {
  const { hostname, port } = new URL(SHARED.postgres);
  return { hostname, port: Number(port) };
}

Deno.test(
  withPostgres(
    "a session answers in the order asked, and an error changes nothing for its neighbours",
  ),
  async () => {
    await using session = new TestSession(SHARED.postgres);
    assertEquals(await session.ready(), 1);
    const order: unknown[] = [];
    const texts = ["select 1 from pg_sleep(0.2)", "select 1/0", "select 3", "oops", "select 5"];
    await Promise.all(texts.map((text) =>
      session.one(text).then(
        (n) => void order.push(n),
        (error) => void order.push((error.cause as { code: string }).code),
      )
    ));
    assertEquals(order, [1, "22012", 3, "42601", 5]);
    assertEquals(session.generation, 1);
  },
);

Deno.test(
  withPostgres("values come back as they are: large integers, booleans, texts, times as text"),
  async () => {
    await using session = new TestSession(SHARED.postgres);
    await session.ready();
    const [row] = await session.query({
      name: "values",
      text: "select $1::bigint as n, $2::boolean as b, $3::text as t, $4::smallint as s, " +
        "'2026-12-01'::timestamptz as at, null::text as nothing",
      values: [Number.MAX_SAFE_INTEGER, true, 'a"\\\u{1F600}', -3],
    });
    assertEquals(row?.n, Number.MAX_SAFE_INTEGER);
    assertEquals([row?.b, row?.t, row?.s, row?.nothing], [true, 'a"\\\u{1F600}', -3, null]);
    assert(String(row?.at).startsWith("2026-1"));
  },
);

Deno.test(
  withPostgres(
    "its settings hold: plans for tables of any size, and cut sessions that free their locks",
  ),
  async () => {
    await using session = new TestSession(SHARED.postgres);
    await session.ready();
    for (
      const [name, value] of [
        ["plan_cache_mode", "force_generic_plan"],
        ["enable_seqscan", "off"],
        ["jit", "off"],
        ["random_page_cost", "1.1"],
        ["idle_in_transaction_session_timeout", "5s"],
        ["tcp_keepalives_idle", "2"],
        ["application_name", "sd test"],
      ]
    ) assertEquals(await session.one(`select current_setting('${name}')`), value, name);
  },
);

Deno.test(
  withPostgres("without a connection a query is refused at once, and says that it was not sent"),
  async () => {
    await using session = new TestSession("postgres://root@127.0.0.1:1/test");
    const error = await assertRejects(() => session.query({ text: "select 1" }), AnswerLost);
    assertEquals([error.fault, error.sent], ["io", false]);
  },
);

Deno.test(
  withPostgres(
    "the end of its server process loses the answers, and the session goes on with another",
  ),
  async () => {
    const troubles: string[] = [];
    await using session = new TestSession(SHARED.postgres, {
      onTrouble: ({ message }) => troubles.push(message),
    });
    await using other = new TestSession(SHARED.postgres);
    await Promise.all([session.ready(), other.ready()]);
    const { pid } = session.current!;
    const lost = [1, 2, 3].map((n) =>
      assertRejects(() => session.one(`select ${n} from pg_sleep(5)`), AnswerLost)
    );
    await delay(50);
    await other.one(`select pg_terminate_backend(${pid})`);
    assertEquals((await Promise.all(lost)).map(({ sent }) => sent), [true, true, true]);
    assertEquals(await session.ready(), 2);
    assertEquals(await session.one("select 4"), 4);
    assert(session.current!.pid !== pid);
    assert(troubles.length > 0);
  },
);

Deno.test(
  withPostgres(
    "a connection that goes silent is noticed: while a query waits, and while none does",
  ),
  async () => {
    await using proxy = new CuttingProxy(sharedServer());
    await using busy = new TestSession(through(proxy));
    await using idle = new TestSession(through(proxy));
    await Promise.all([busy.ready(), idle.ready()]);
    proxy.swallow();
    const from = performance.now();
    const lost = assertRejects(() => busy.one("select 1"), AnswerLost)
      .then(() => performance.now() - from);
    const gone = (async () => {
      while (idle.generation === 1) await delay(20);
      return performance.now() - from;
    })();
    // Whole seconds above what is promised, for a slow machine: the promise itself is in the constants.
    for (const ms of await Promise.all([lost, gone])) assert(ms < 12_000, `${ms} ms`);
    assert(await lost > QUERY_DEADLINE_MS - 1000);
    await busy.ready();
    assertEquals(await busy.one("select 2"), 2);
  },
);

Deno.test(
  withPostgres("a query may take long if it says so, and answers before it give time to the next"),
  async () => {
    await using session = new TestSession(SHARED.postgres);
    await session.ready();
    const long = session.one("select 1 from pg_sleep(5.5)", 20_000);
    const chain = [1, 2].map((n) => session.one(`select ${n}`));
    assertEquals([await long, ...await Promise.all(chain)], [1, 1, 2]);
    assertEquals(session.generation, 1);
  },
);

Deno.test(
  withOwnPostgres(
    "a database that is killed and starts again is found again, also by a pinned session",
  ),
  async () => {
    await using postgres = await OwnPostgres.start();
    await using session = new TestSession(postgres.url, { isPinned: true });
    await session.ready();
    const lost = assertRejects(() => session.one("select 1 from pg_sleep(5)"), AnswerLost);
    await postgres.kill("SIGKILL");
    await lost;
    await assertRejects(() => session.one("select 1"), AnswerLost);
    await postgres.start();
    assertEquals(await session.ready(), 2);
    assertEquals(await session.one("select 7"), 7);
  },
);

Deno.test(
  withOwnPostgres(
    "a database that was stopped for longer than the deadline is left, and found again",
  ),
  async () => {
    await using postgres = await OwnPostgres.start();
    await using session = new TestSession(postgres.url, { isPinned: true });
    await session.ready();
    await postgres.kill("SIGSTOP");
    await assertRejects(() => session.one("select 1"), AnswerLost, "no answer");
    await postgres.kill("SIGCONT");
    await session.ready();
    assertEquals(await session.one("select 8"), 8);
  },
);

Deno.test(
  withOwnPostgres(
    "after a failover the session finds the new primary; one that is pinned ends, for its history is another",
  ),
  async () => {
    await using primary = await OwnPostgres.start();
    await using standby = await primary.replica();
    const url = `postgres://sd@127.0.0.1:${standby.port},127.0.0.1:${primary.port}/test`;
    await using follower = new TestSession(url);
    await using leader = new TestSession(url, { isPinned: true });
    await Promise.all([follower.ready(), leader.ready()]);
    // The standby stands first in the URL, and is passed over.
    assertEquals(await follower.one("show port"), String(primary.port));
    await primary.kill("SIGKILL");
    await standby.promote();
    await follower.ready();
    assertEquals(await follower.one("show port"), String(standby.port));
    const reason = await leader.lost;
    assert(reason.includes("replica has taken over"), reason);
    const error = await assertRejects(() => leader.one("select 1"), StoreError);
    assertEquals(error.fault, "fenced");
  },
);

Deno.test(
  withOwnPostgres("another database at the same address ends a pinned session"),
  async () => {
    await using postgres = await OwnPostgres.start();
    await postgres.sql("create role root superuser login");
    await using proxy = new CuttingProxy({ hostname: "127.0.0.1", port: postgres.port });
    await using session = new TestSession(through(proxy), { isPinned: true });
    await session.ready();
    proxy.moveTo(sharedServer());
    proxy.cut();
    assert((await session.lost).includes("another database"));
  },
);

Deno.test(withOwnPostgres("a server that turned read-only under the session is left"), async () => {
  await using postgres = await OwnPostgres.start();
  await using session = new TestSession(postgres.url);
  await session.ready();
  await session.one("create table public.t (n int)");
  // As a primary that was demoted in place: each write answers 25006.
  await session.one("set default_transaction_read_only = on");
  const error = await assertRejects(
    () => session.one("insert into public.t values (1)"),
    AnswerLost,
  );
  assertEquals(error.sent, true);
  assertEquals(await session.ready(), 2);
  await session.one("insert into public.t values (1)");
  await postgres.sql(
    "alter system set default_transaction_read_only = on; select pg_reload_conf()",
  );
  await delay(300);
  session.reconnect("a test");
  await delay(500);
  await assertRejects(() => session.one("select 1"), AnswerLost, "read-only");
  await postgres.sql("alter system reset default_transaction_read_only; select pg_reload_conf()");
  await session.ready();
});

Deno.test(
  withPostgres(
    "closing ends what is under way, also an attempt to connect to a host that is silent",
  ),
  async () => {
    const session = new TestSession(SHARED.postgres);
    await session.ready();
    const ended = assertRejects(
      () => session.one("select 1 from pg_sleep(9)"),
      StoreError,
      "closed",
    );
    await session.close();
    await session.close();
    await ended;
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const silent = new TestSession(`postgres://127.0.0.1:${listener.addr.port}/x`);
    await delay(50);
    const from = performance.now();
    await silent.close();
    assert(performance.now() - from < 1500);
    await assertRejects(() => silent.ready(), StoreError, "closed");
    listener.close();
  },
);
