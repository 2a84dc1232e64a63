/** PostgreSQL behind pgbouncer in transaction mode: every statement can meet another session of the database. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { openLeadEngine, openSharedStore } from "../../server/engine/open.ts";
import { LEASE_MS, type ServerInfo } from "../../server/engine/journaled/shared_store.ts";
import { StoreError } from "../../server/engine/journaled/task_store.ts";
import { isInstalled, needing } from "../kit/needs.ts";
import { freePort, PrivateService, serviceFolder } from "../kit/private_service.ts";
import { OwnPostgres } from "../kit/services.ts";

const withPooler = needing("pgbouncer", await isInstalled("pgbouncer"));

async function pooler(postgres: OwnPostgres, size = 3): Promise<PrivateService> {
  const folder = await serviceFolder("pgbouncer");
  const port = freePort();
  await Deno.writeTextFile(
    `${folder}/pgbouncer.ini`,
    `[databases]
test = host=127.0.0.1 port=${postgres.port} dbname=test
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${folder}/users.txt
pool_mode = transaction
default_pool_size = ${size}
server_check_delay = 0
`,
  );
  await Deno.writeTextFile(`${folder}/users.txt`, '"sd" ""\n');
  const command = ["pgbouncer", `${folder}/pgbouncer.ini`];
  return await new PrivateService({
    name: "pgbouncer",
    folder,
    port,
    command,
    user: "postgres",
    stopSignal: "SIGINT",
  })
    .start();
}

function info(name: string): ServerInfo {
  return {
    id: crypto.randomUUID(),
    name,
    machine: "here",
    address: "127.0.0.1:1",
    version: "1",
    pid: 1,
    startedAt: 1,
    isDraining: false,
  };
}

Deno.test(
  withPooler(
    "behind a pooler a server leads, keeps tasks and hands over, and says that it found one",
  ),
  async () => {
    await using postgres = await OwnPostgres.start();
    await using bouncer = await pooler(postgres);
    const url = `postgres://sd@127.0.0.1:${bouncer.port}/test?sslmode=disable`;
    const reports: string[] = [];
    const report = (message: string) => reports.push(message);
    const a = await openSharedStore(url, { report });
    const b = await openSharedStore(url);
    assert(reports[0]?.includes("connection pooler"), reports.join());
    const stop = new AbortController();
    const options = { signal: stop.signal, waitMs: () => 0 };
    const self = info("a");
    const first = await a.campaign(self, options);
    const engine = await openLeadEngine(a, first, { report });
    for (let i = 0; i < 5; i++) {
      await Promise.all(
        Array.from({ length: 20 }, () => engine.settings.save(`k${i}`, crypto.randomUUID())),
      );
      assertEquals(await first.renew(), true);
      assertEquals((await b.beat(info("b"))).leader?.id, self.id);
    }
    const from = performance.now();
    const second = await b.campaign(info("b"), options);
    assert(performance.now() - from > LEASE_MS - 1500, "the lease alone decides");
    assertEquals(second.opened.settings.length >= 5, true);
    const late = { inserts: [], updates: [], attachments: [], settings: [["late", "x"]] } as const;
    await assertRejects(() => first.store.call("write", late), StoreError, "leads");
    assert((await first.store.lost)?.includes("another server leads"));
    assertEquals(await first.renew().catch(() => false), false);
    await first.store.close();
    await second.store.close();
    await second.resign();
    stop.abort();
    await Promise.all([a.close(), b.close()]);
  },
);
