/**
 * Short crash runs on PostgreSQL and Redis; `deno task crash --engine postgres --kills server,pool,engine,engine-restart`
 * makes long ones.
 */

import { assert, assertEquals } from "@std/assert";
import { newSeed } from "../fuzz/random.ts";
import { needing } from "../kit/needs.ts";
import type { PrivateService } from "../kit/private_service.ts";
import { OwnPostgres, OwnRedis, withOwnPostgres, withOwnRedis } from "../kit/services.ts";
import { crashRun } from "./crash_run.ts";
import type { Kill } from "./plan.ts";

const SERVE = await Deno.readTextFile(new URL("../../server/serve.ts", import.meta.url));
const onShared = needing("a server that takes shared engines", SERVE.includes("isSharedEngine"));

const ROUNDS = 8;
const KILLS: readonly Kill[] = ["server", "engine", "pool", "engine-restart"];

/** The options of a test that needs the service, and a server that takes it. */
function withEngine(service: ReturnType<typeof needing>, claim: string) {
  const [there, shared] = [service(claim), onShared(claim)];
  return there.ignore ? there : shared;
}

async function runOn(
  name: "postgres" | "redis",
  service: PrivateService & { readonly url: string },
): Promise<void> {
  const seed = newSeed();
  const again =
    `deno task crash --engine ${name} --rounds ${ROUNDS} --kills ${KILLS} --seed ${seed}`;
  try {
    const options = { seed, rounds: ROUNDS, kills: KILLS, engine: service.url, service };
    const { book, records, kills } = await crashRun(options);
    assertEquals(book.faults.lines(), [], again);
    assert(records > 50, `only ${records} records: ${again}`);
    assert(kills.size > 1, `${[...kills]}`);
  } catch (error) {
    throw new Error(again, { cause: error });
  }
}

Deno.test(
  withEngine(
    withOwnPostgres,
    "on PostgreSQL, what was acknowledged is there after every kill of it or of the server",
  ),
  async () => {
    await using service = await OwnPostgres.start();
    await runOn("postgres", service);
  },
);

Deno.test(
  withEngine(
    withOwnRedis,
    "on Redis that appends always, what was acknowledged is there after every kill of it or of the server",
  ),
  async () => {
    await using service = await OwnRedis.start({ appendfsync: "always" });
    await runOn("redis", service);
  },
);
