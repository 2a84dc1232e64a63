/** What becomes of tasks when their Redis is killed, stopped, full, replaced or wrong. Each test has a Redis of its own. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import { ClientError } from "../../net/client_error.ts";
import type { Engine } from "../../server/engine/engine.ts";
import type { Lead } from "../../server/engine/journaled/shared_store.ts";
import { type Cell, StoreError, type Write } from "../../server/engine/journaled/task_store.ts";
import { openRedis } from "../../server/engine/redis/open_redis.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { Certificate, HAS_OPENSSL } from "../kit/certificate.ts";
import { needing } from "../kit/needs.ts";
import { type PrivateService, runToEnd } from "../kit/private_service.ts";
import { OwnRedis, OwnSentinel, withOwnRedis, withOwnSentinel } from "../kit/services.ts";
import { until } from "../kit/until.ts";
import { leaseMany, NOW, submit, task } from "../contract/contract_steps.ts";
import { engineOn, leadOf, server } from "../contract/redis_stage.ts";

const LONG = Deno.env.get("SD_LONG") === "1";

function queued(ord: number, text = "{}"): Write {
  const fixed: Cell[] = [ord, `id-${ord}`, 1, "square", text, null, null, 0, 1, null];
  const state: Cell[] = [0, ord, 0, 0, 0, 0, 0, null, null, null, null];
  return { inserts: [...fixed, ...state], updates: [], attachments: [], settings: [] };
}

const withOwnTls = needing("redis-server and openssl", !withOwnRedis("").ignore && HAS_OPENSSL);

/** Sends one command to a Redis or a Sentinel, and resolves with the answer as text. */
async function ask({ port }: PrivateService, ...command: string[]): Promise<string> {
  return await runToEnd(["redis-cli", "-p", String(port), ...command]);
}

/** The same, but an empty text while it does not answer: a Sentinel cuts the connections of what it changes. */
async function look(service: PrivateService, ...command: string[]): Promise<string> {
  return await ask(service, ...command).catch(() => "");
}

/** Waits until the replica of `master` has everything. */
async function caughtUp(master: PrivateService): Promise<void> {
  await until("the replica has everything", async () => {
    const info = await look(master, "INFO", "replication");
    const [, there] = /slave0:.*offset=(\d+)/.exec(info) ?? [];
    const [, here] = /master_repl_offset:(\d+)/.exec(info) ?? [];
    return there !== undefined && there === here;
  });
}

/** Writes rows one after the other, and counts each as refused, acknowledged, or in doubt. */
class Account {
  readonly acknowledged: number[] = [];
  readonly refused: number[] = [];
  ord = 0;

  async write(lead: Lead): Promise<void> {
    const ord = ++this.ord;
    try {
      await lead.store.call("write", queued(ord));
      this.acknowledged.push(ord);
    } catch (error) {
      // Under a lead that is over, its fate is for the next leader to read.
      if ((error as StoreError).fault !== "fenced") this.refused.push(ord);
      throw error;
    }
  }

  /** Compares it with the rows that a leader finds. */
  async check(lead: Lead, what: string): Promise<void> {
    const all = [...this.acknowledged, ...this.refused];
    const rows = await lead.store.call("find", { ids: all.map((ord) => `id-${ord}`) });
    const lost = this.acknowledged.filter((_, i) => rows[i] === null);
    const wrong = this.refused.filter((_, i) => rows[this.acknowledged.length + i] !== null);
    assertEquals({ lost, wrong }, { lost: [], wrong: [] }, what);
  }
}

Deno.test(
  withOwnRedis(
    "a Redis with appendfsync always that is killed under load loses no acknowledged task, and its leader goes on",
  ),
  async () => {
    const seed = newSeed();
    const random = new Random(seed);
    await using redis = await OwnRedis.start({ appendfsync: "always" });
    const reports: string[] = [];
    const shared = await openRedis(redis.url, { report: (text) => void reports.push(text) });
    const lead = await leadOf(shared);
    const account = new Account();
    let isOver = false;
    const writing = Array.from({ length: 8 }, async () => {
      while (!isOver) await account.write(lead);
    });
    for (let kill = 0; kill < (LONG ? 40 : 3); kill++) {
      const before = account.acknowledged.length;
      await until("it writes", () => account.acknowledged.length > before + 20);
      await delay(random.int(0, 50));
      await redis.kill("SIGKILL");
      await delay(random.int(0, 200));
      await redis.start();
    }
    const before = account.acknowledged.length;
    await until("it writes again", () => account.acknowledged.length > before + 20);
    isOver = true;
    await Promise.all(writing);
    await account.check(lead, `SD_SEED=${seed}`);
    assertEquals(account.refused, []);
    assert(reports.some((text) => text.includes("has every acknowledged commit")), reports.join());
    await lead.store.close();
    await lead.resign();
    const next = await leadOf(shared);
    assertEquals(next.opened.counts[0], account.ord);
    await next.store.close();
    await next.resign();
    await shared.close();
  },
);

Deno.test(
  withOwnRedis(
    "a Redis that has lost acknowledged commits ends the lead, and the operator learns it",
  ),
  async () => {
    await using redis = await OwnRedis.start();
    const shared = await openRedis(redis.url);
    const lead = await leadOf(shared);
    await lead.store.call("write", queued(1));
    await ask(redis, "SAVE");
    await lead.store.call("write", queued(2));
    await redis.kill("SIGKILL");
    await redis.start();
    const error = await assertRejects(() => lead.store.call("write", queued(3)), StoreError);
    assertEquals(error.fault, "fenced");
    assert((await lead.store.lost)?.includes("has lost 1 of the commits"), error.message);
    const next = await leadOf(shared, server());
    assertEquals([next.opened.counts[0], next.epoch > lead.epoch], [1, true]);
    // Emptied, it holds no lead at all.
    await ask(redis, "FLUSHALL");
    const fenced = await assertRejects(() => next.store.call("write", queued(3)), StoreError);
    assertEquals(fenced.fault, "fenced");
    await shared.close();
  },
);

Deno.test(
  withOwnRedis(
    "a Redis that is stopped answers late, and a stale script that it finds then does nothing",
  ),
  async () => {
    await using redis = await OwnRedis.start();
    const shared = await openRedis(redis.url);
    const lead = await leadOf(shared);
    await lead.store.call("write", queued(1));
    const rounds = LONG ? 10 : 1;
    for (let round = 0; round < rounds; round++) {
      await redis.kill("SIGSTOP");
      const writing = lead.store.call("write", queued(2 + round));
      // Longer than the wait for an answer: the write is sent again on another connection.
      await delay(5600);
      const renewal = await assertRejects(() => lead.renew(), StoreError);
      assertEquals(renewal.fault, "io");
      await assertRejects(() => shared.beat(server()), StoreError);
      await redis.kill("SIGCONT");
      await writing;
      assert(await lead.renew());
    }
    const found = await lead.store.call("lane", {
      priority: 0,
      key: null,
      op: "square",
      seq: 0,
      limit: 100,
      maxChars: 1e6,
    });
    assertEquals(found.map(({ ord }) => ord), Array.from({ length: rounds + 1 }, (_, i) => i + 1));
    await lead.store.close();
    await lead.resign();
    await shared.close();
  },
);

Deno.test(
  withOwnRedis(
    "a Redis without room refuses new tasks with storage_full, keeps its leader, and takes tasks again",
  ),
  async () => {
    await using redis = await OwnRedis.start();
    const reports: string[] = [];
    const report = (text: string) => void reports.push(text);
    const engine: Engine = await engineOn(redis.url, { report });
    const [first] = await submit(engine, task(engine));
    await ask(redis, "CONFIG", "SET", "maxmemory", "1mb");
    const [refused] = await engine.enqueue([task(engine)], NOW);
    assertEquals([refused?.outcome, refused?.error?.code], ["uncommitted", "storage_full"]);
    // A candidate finds it led: the lease needs no room.
    const shared = await openRedis(redis.url, { report });
    assert((await shared.beat(server())).leader !== undefined);
    await engine.prune(NOW);
    // Even before that, the sweep says that it is full.
    const [full] = await engine.enqueue([task(engine)], NOW);
    assertEquals(full?.outcome, "full");
    await ask(redis, "CONFIG", "SET", "maxmemory", "100mb");
    await engine.prune(NOW);
    await until("it takes tasks again", async () => {
      const [one] = await engine.enqueue([task(engine)], NOW);
      return one!.outcome === "created";
    });
    const leased = await leaseMany(engine, 3);
    assertEquals([leased.length, leased[0]?.id], [2, first]);
    await engine.close();
    await shared.close();
  },
);

Deno.test(
  withOwnRedis(
    "a Redis that drops keys when it is full, or cannot confirm commits, is refused with the cure",
  ),
  async () => {
    await using redis = await OwnRedis.start({ settings: { "maxmemory-policy": "allkeys-lru" } });
    const error = await assertRejects(() => openRedis(redis.url), ClientError);
    assert(error.message.includes("allkeys-lru") && error.hint?.includes("noeviction"));
    await ask(redis, "CONFIG", "SET", "maxmemory-policy", "noeviction");
    const reports: string[] = [];
    const shared = await openRedis(redis.url, { report: (text) => void reports.push(text) });
    assert(reports[0]?.includes("appendonly yes"), reports.join());
    await shared.close();
    await redis.stop();
    const away = await assertRejects(() => openRedis(redis.url, { patienceMs: 0 }), ClientError);
    assertEquals(away.code, "unreachable");
  },
);

Deno.test(
  withOwnTls(
    "a user with few rights and a password, over TLS, is enough for a Redis; a wrong password is named",
  ),
  async () => {
    using tls = await Certificate.make("localhost");
    {
      await using redis = await OwnRedis.start({ tls, password: "p@ss:word" });
      const admin = [
        "--tls",
        "--cacert",
        tls.certFile,
        "-h",
        "localhost",
        "--no-auth-warning",
        "-a",
      ];
      const user = ["ACL", "SETUSER", "sd", "on", ">s%cret", "~{sd:*}*", ...RIGHTS];
      assertEquals((await ask(redis, ...admin, "p@ss:word", ...user)).trim(), "OK");
      const at = `localhost:${redis.port}?cafile=${encodeURIComponent(tls.certFile)}`;
      const engine = await engineOn(`rediss://sd:${encodeURIComponent("s%cret")}@${at}`, {
        report: () => {},
      });
      const [id] = await submit(engine, task(engine));
      assertEquals((await engine.get([id!]))[0]?.status, "queued");
      await engine.prune(NOW);
      await engine.close();
      const passwordFile = `${redis.folder}/password.txt`;
      await Deno.writeTextFile(passwordFile, "p@ss:word\n");
      const shared = await openRedis(`rediss://${at}`, { passwordFile });
      await shared.close();
      for (const url of [`rediss://:wrong@${at}`, `rediss://${at}`]) {
        const error = await assertRejects(() => openRedis(url, { patienceMs: 0 }), ClientError);
        assert(error.message.includes("refuses"), error.message);
      }
      const plain = `redis://:${encodeURIComponent("p@ss:word")}@localhost:${redis.port}`;
      assertEquals(
        (await assertRejects(() => openRedis(plain, { patienceMs: 0 }), ClientError)).code,
        "unreachable",
      );
    }
  },
);

/** Of a user of the redis engine; see docs. */
const RIGHTS = [
  "+@read",
  "+@write",
  "+@scripting",
  "+@connection",
  "-@dangerous",
  "+info",
  "+time",
];

Deno.test(
  withOwnSentinel(
    "after a failover by Sentinel the leader goes on, or learns what was lost; no task is lost that the replica had",
  ),
  async () => {
    const seed = newSeed();
    const random = new Random(seed);
    await using one = await OwnRedis.start({ appendfsync: "always" });
    await using two = await one.replica({ appendfsync: "always" });
    await until(
      "the replica follows",
      async () => (await look(two, "INFO", "replication")).includes("master_link_status:up"),
    );
    await using sentinel = await OwnSentinel.start(one, { downAfterMs: 300 });
    await until(
      "the Sentinel knows the replica",
      async () => (await ask(sentinel, "SENTINEL", "replicas", "sd")).includes(String(two.port)),
    );
    const reports: string[] = [];
    const report = (text: string) => void reports.push(text);
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/sd`;
    const shared = await openRedis(url, { report });
    let lead = await leadOf(shared);
    const account = new Account();
    let [master, replica] = [one, two];
    const rounds = LONG ? 20 : 1;
    for (let round = 1; round <= rounds; round++) {
      for (let i = 0; i < 50; i++) {
        await account.write(lead);
      }
      // The replica has all of it: so nothing may be lost.
      await caughtUp(master);
      await delay(random.int(0, 30));
      await master.kill("SIGKILL");
      await account.write(lead).catch(async (error: StoreError) => {
        assertEquals(error.fault, "fenced", error.message);
        await lead.resign().catch(() => {});
        lead = await leadOf(shared);
      });
      await account.check(lead, `round ${round}, SD_SEED=${seed}`);
      if (round === rounds) break;
      [master, replica] = [replica, master];
      await replica.start();
      await until(
        "the old master follows",
        async () => (await look(replica, "INFO", "replication")).includes("master_link_status:up"),
      );
      await until(
        "the Sentinel is at rest",
        async () =>
          (await ask(sentinel, "SENTINEL", "get-master-addr-by-name", "sd"))
            .includes(String(master.port)),
      );
    }
    await lead.store.close();
    await lead.resign();
    await shared.close();
  },
);

Deno.test(
  withOwnRedis(
    "a replica that takes over without the last commits: their number is reported, and no state is mixed",
  ),
  async () => {
    await using one = await OwnRedis.start({ settings: { "repl-diskless-sync-delay": "0" } });
    await using two = await one.replica();
    const isUp = async () => (await look(two, "INFO", "replication")).includes("link_status:up");
    await until("the replica follows", isUp);
    const shared = await openRedis(`redis://127.0.0.1:${one.port},127.0.0.1:${two.port}`);
    const lead = await leadOf(shared);
    await lead.store.call("write", queued(1));
    await caughtUp(one);
    // From now on it misses what is written, and would be a master.
    await ask(two, "REPLICAOF", "NO", "ONE");
    for (let ord = 2; ord <= 6; ord++) await lead.store.call("write", queued(ord));
    await one.kill("SIGKILL");
    const error = await assertRejects(() => lead.store.call("write", queued(7)), StoreError);
    assertEquals(error.fault, "fenced");
    assert((await lead.store.lost)?.includes("has lost 5 of the commits"), error.message);
    const next = await leadOf(shared);
    assertEquals(next.opened.counts[0], 1);
    assert(next.epoch > lead.epoch);
    await lead.resign();
    await next.store.call("write", queued(next.opened.next));
    await next.store.close();
    await next.resign();
    await shared.close();
  },
);
