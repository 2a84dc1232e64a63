/** The lead over a shared PostgreSQL: who gets it, when, and what ends it. Each server here is a `SharedStore` of its own. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import { openSharedStore } from "../../server/engine/open.ts";
import {
  type Lead,
  LEASE_MS,
  type ServerInfo,
  type SharedStore,
} from "../../server/engine/journaled/shared_store.ts";
import type { Write } from "../../server/engine/journaled/task_store.ts";
import { CuttingProxy } from "../kit/cutting_proxy.ts";
import {
  OwnPostgres,
  OwnSchema,
  psql,
  SHARED,
  withOwnPostgres,
  withPostgres,
} from "../kit/services.ts";
import { insertOf, writeOf } from "./rows.ts";

/** One server of a cluster. */
class Member implements AsyncDisposable {
  readonly reports: string[] = [];
  readonly stop = new AbortController();
  waitMs = 0;
  lead: Lead | undefined;
  #renewing: ReturnType<typeof setInterval> | undefined;

  private constructor(readonly store: SharedStore, readonly self: ServerInfo, reports: string[]) {
    this.reports = reports;
  }

  static async open(url: string, name: string): Promise<Member> {
    const reports: string[] = [];
    const store = await openSharedStore(url, { report: (message) => reports.push(message) });
    return new Member(store, {
      id: crypto.randomUUID(),
      name,
      machine: "here",
      address: `127.0.0.1:${name.charCodeAt(0)}`,
      version: "1",
      pid: 1,
      startedAt: 1,
      isDraining: false,
      certificate: "ab",
    }, reports);
  }

  async campaign(): Promise<Lead> {
    return this.lead = await this.store.campaign(this.self, {
      signal: this.stop.signal,
      waitMs: () => this.waitMs,
    });
  }

  /** Renews every 500 ms. */
  keep(): void {
    this.#renewing = setInterval(() => this.lead!.renew().catch(() => {}), 500);
  }

  /** As a process that was stopped: it keeps its connections, and renews no more. */
  freeze(): void {
    clearInterval(this.#renewing);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.freeze();
    this.stop.abort();
    await this.lead?.store.close();
    await this.store.close();
  }
}

const setting = (name: string, value: string): Write => ({
  inserts: [],
  updates: [],
  attachments: [],
  settings: [[name, value]],
});

async function save(lead: Lead, value: string): Promise<void> {
  await lead.store.call("write", setting("test", value));
}

Deno.test(withPostgres("servers see each other, and a leader by its lease"), async () => {
  await using schema = new OwnSchema();
  await using a = await Member.open(schema.url, "a");
  await using b = await Member.open(schema.url, "b");
  assertEquals(a.store.secret, b.store.secret);
  assert(a.store.secret.length >= 32);
  assertEquals((await a.store.beat(a.self)).leader, undefined);
  const lead = await a.campaign();
  const view = await b.store.beat(b.self);
  assertEquals(new Set(view.servers.map(({ name }) => name)), new Set(["a", "b"]));
  assertEquals(view.servers.find(({ name }) => name === "a"), a.self);
  assertEquals(view.leader, { id: a.self.id, address: a.self.address, epoch: lead.epoch });
  assert(Math.abs(view.now - Date.now()) < 60_000);
  await a.store.leave(a.self);
  assertEquals((await b.store.beat(b.self)).servers.map(({ name }) => name), ["b"]);
});

Deno.test(withPostgres("of many servers that start together, one leads"), async () => {
  await using schema = new OwnSchema();
  const members = await Promise.all([..."abcde"].map((name) => Member.open(schema.url, name)));
  const leads: Lead[] = [];
  const all = members.map((member) => member.campaign().then((lead) => leads.push(lead), () => {}));
  await Promise.race(all);
  members.find(({ lead }) => lead)!.keep();
  await delay(1000);
  assertEquals(leads.length, 1);
  for (const member of members) await member[Symbol.asyncDispose]();
  await Promise.all(all);
});

Deno.test(
  withPostgres("a leader that resigns is followed at once, and nothing that it kept is lost"),
  async () => {
    await using schema = new OwnSchema();
    await using a = await Member.open(schema.url, "a");
    await using b = await Member.open(schema.url, "b");
    const first = await a.campaign();
    a.keep();
    const next = b.campaign();
    await save(first, "one");
    await delay(600);
    a.freeze();
    const from = performance.now();
    await first.store.close();
    await first.resign();
    const second = await next;
    assert(performance.now() - from < LEASE_MS, "it did not wait for the lease");
    assert(second.epoch > first.epoch);
    assertEquals(second.opened.settings, [["test", "one"]]);
    assert(second.opened.next > first.opened.next);
    assertEquals(await second.renew(), true);
  },
);

Deno.test(withOwnPostgres("a leader whose process is gone is replaced at once"), async () => {
  await using postgres = await OwnPostgres.start();
  await using proxy = new CuttingProxy({ hostname: "127.0.0.1", port: postgres.port });
  const through = `postgres://sd@127.0.0.1:${proxy.port}/test?sslmode=disable`;
  await using a = await Member.open(through, "a");
  await using b = await Member.open(postgres.url, "b");
  const first = await a.campaign();
  a.keep();
  await save(first, "one");
  const next = b.campaign();
  await delay(600);
  const from = performance.now();
  a.freeze();
  await proxy.leave();
  const second = await next;
  assert(performance.now() - from < LEASE_MS / 2, `after ${performance.now() - from} ms`);
  assertEquals(second.opened.settings, [["test", "one"]]);
});

Deno.test(
  withPostgres(
    "a leader that renews no more is replaced when its lease has run out, and can write no more",
  ),
  async () => {
    await using schema = new OwnSchema();
    await using a = await Member.open(schema.url, "a");
    await using b = await Member.open(schema.url, "b");
    const first = await a.campaign();
    const from = performance.now();
    const second = await b.campaign();
    assert(performance.now() - from > LEASE_MS - 1000, "the lease was kept to");
    const lost = first.store.lost!;
    await assertRejects(() => save(first, "late"));
    await lost;
    assertEquals(await first.renew().catch(() => false), false);
    await save(second, "new");
    assertEquals(await schema.sql("select value from setting"), "new");
  },
);

Deno.test(
  withPostgres("a standby waits longer by waitMs, so that the leader of before leads again"),
  async () => {
    await using schema = new OwnSchema();
    await using a = await Member.open(schema.url, "a");
    await using b = await Member.open(schema.url, "b");
    await using c = await Member.open(schema.url, "c");
    await a.campaign();
    b.waitMs = 3000;
    const winner = await Promise.race([
      b.campaign().then(() => "b"),
      delay(200).then(() => c.campaign()).then(() => "c"),
    ]);
    assertEquals(winner, "c");
    b.stop.abort();
  },
);

for (
  const [role, effect] of [["lease", "goes on"], ["store", "goes on"], [
    "servers",
    "goes on",
  ]] as const
) {
  Deno.test(
    withPostgres(`a leader whose ${role} session is ended ${effect}, and no other takes its place`),
    async () => {
      await using schema = new OwnSchema();
      const url = `${schema.url}&application_name=${schema.name}`;
      await using a = await Member.open(url, "a");
      await using b = await Member.open(schema.url, "b");
      const lead = await a.campaign();
      a.keep();
      let isReplaced = false;
      b.campaign().then(() => isReplaced = true, () => {});
      await delay(600);
      for (let i = 0; i < 3; i++) {
        const ended = await psql(
          SHARED.postgres,
          `select count(pg_terminate_backend(pid)) from pg_stat_activity
          where application_name like '${schema.name} ${role}%'`,
        );
        assertEquals(ended, "1");
        await save(lead, `after ${i}`);
        await delay(700);
      }
      assertEquals(await lead.renew(), true);
      await delay(1500);
      assertEquals(isReplaced, false);
      assertEquals(await schema.sql("select value from setting"), "after 2");
      b.stop.abort();
    },
  );
}

Deno.test(
  withOwnPostgres("after the database was killed, the leader goes on if it is back in time"),
  async () => {
    await using postgres = await OwnPostgres.start();
    await using a = await Member.open(postgres.url, "a");
    await using b = await Member.open(postgres.url, "b");
    b.waitMs = 60_000;
    const lead = await a.campaign();
    a.keep();
    await save(lead, "one");
    let isReplaced = false;
    b.campaign().then(() => isReplaced = true, () => {});
    await delay(600);
    await postgres.kill("SIGKILL");
    await postgres.start();
    await save(lead, "two");
    await delay(2000);
    assertEquals(await lead.renew(), true);
    assertEquals(isReplaced, false);
    b.stop.abort();
  },
);

Deno.test(
  withOwnPostgres("after a failover the lead is over, and a new one reads what the replica has"),
  async () => {
    await using primary = await OwnPostgres.start();
    await using standby = await primary.replica();
    const url = `postgres://sd@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/test`;
    await using a = await Member.open(url, "a");
    const first = await a.campaign();
    a.keep();
    await save(first, "one");
    const at = await primary.sql("select pg_current_wal_lsn()");
    while (await standby.sql(`select pg_last_wal_replay_lsn() >= '${at}'`) !== "t") await delay(50);
    await primary.kill("SIGKILL");
    await standby.promote();
    assert((await first.store.lost!).includes("replica has taken over"));
    a.freeze();
    const second = await a.campaign();
    assert(second.epoch > first.epoch);
    assertEquals(second.opened.settings, [["test", "one"]]);
    await save(second, "two");
  },
);

Deno.test(
  withPostgres("a renewal on a connection that is silent fails in time, and the next one works"),
  async () => {
    await using schema = new OwnSchema();
    const { hostname, port } = new URL(SHARED.postgres);
    await using proxy = new CuttingProxy({ hostname, port: Number(port) });
    const url = new URL(schema.url);
    url.port = String(proxy.port);
    await using a = await Member.open(`${url}&sslmode=disable`, "a");
    const lead = await a.campaign();
    proxy.swallow();
    const from = performance.now();
    await assertRejects(() => lead.renew());
    assert(performance.now() - from < LEASE_MS - 1000, "before the lease is over");
    while (!await lead.renew().catch(() => false)) await delay(50);
    await save(lead, "x");
  },
);

Deno.test(
  withPostgres("lines of SQL are read, dropped, and set aside with a reason, under the lead alone"),
  async () => {
    await using schema = new OwnSchema();
    await using a = await Member.open(schema.url, "a");
    await using b = await Member.open(schema.url, "b");
    const first = await a.campaign();
    for (let i = 0; i < 5; i++) await schema.sql(`select submit('x', '{}', '{"id":"t${i}"}')`);
    const rows = await first.inbox!.read(3);
    assertEquals(rows.map(({ id }) => id), ["t0", "t1", "t2"]);
    assertEquals(JSON.parse(rows[0]!.line), { op: "x", task: { id: "t0", wait: false } });
    await first.inbox!.done([rows[0]!.n]);
    await first.inbox!.refuse([[rows[1]!.n, 'no op is called "x"\0']]);
    assertEquals((await first.inbox!.read(9)).map(({ id }) => id), ["t2", "t3", "t4"]);
    assertEquals(
      await schema.sql("select id, reason from inbox_refused"),
      't1|no op is called "x"',
    );
    await b.campaign();
    await first.inbox!.done([rows[2]!.n]);
    assertEquals(await schema.sql("select count(*) from inbox"), "3", "it leads no more");
  },
);

Deno.test(
  withPostgres("a server that knows an older version of the tables never leads"),
  async () => {
    await using schema = new OwnSchema();
    await using a = await Member.open(schema.url, "a");
    await schema.sql("update meta set min_version = 1000");
    let isLeading = false;
    a.campaign().then(() => isLeading = true, () => {});
    await delay(1500);
    assertEquals(isLeading, false);
    assert(a.reports.some((report) => report.includes("newer release of sd")), a.reports.join());
    await schema.sql("update meta set min_version = 1");
    await delay(1500);
    assertEquals(isLeading, true);
  },
);

Deno.test(
  withPostgres("many short leads share a slice: reads lock the tables of all slices"),
  async () => {
    await using schema = new OwnSchema();
    const LEADS = 6;
    for (let i = 0; i < LEADS; i++) {
      await using a = await Member.open(schema.url, "a");
      const lead = await a.campaign();
      const { next } = lead.opened;
      await lead.store.call("write", writeOf({ inserts: insertOf(next) }));
      await lead.store.close();
      await lead.resign();
    }
    assertEquals(await schema.sql("select count(*) from task"), `${LEADS}`);
    const slices = await schema.sql(
      `select count(*) from pg_inherits where inhparent = 'task'::regclass`,
    );
    assert(Number(slices) <= 2, `${slices} slices`);
  },
);

Deno.test(
  withPostgres("a server waits for another that makes the tables slowly"),
  async () => {
    await using schema = new OwnSchema();
    const lock = `hashtext('sd schema ${schema.name}')`;
    // Longer than statements of other kinds wait for a lock.
    const making = schema.sql(`select pg_advisory_lock(${lock}); select pg_sleep(5)`);
    const isHeld = `select count(*) from pg_locks where locktype = 'advisory' and
      objid::bigint = ${lock}::bigint & 4294967295`;
    while (await schema.sql(isHeld) === "0") await delay(10);
    await using _ = await Member.open(schema.url, "a");
    await making;
  },
);
