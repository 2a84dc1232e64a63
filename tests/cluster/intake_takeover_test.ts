/**
 * The leader is killed while tasks come by RabbitMQ and by SQL: each becomes one task with one end, and each end that was
 * asked for is published.
 */

import { assertEquals } from "@std/assert";
import { RabbitClient, squares } from "../bridge/rabbit_client.ts";
import {
  OwnKeys,
  OwnSchema,
  OwnVhost,
  SHARED,
  withPostgres,
  withRabbit,
  withRedis,
} from "../kit/services.ts";
import { until } from "../kit/until.ts";
import { RealCluster } from "./real_cluster.ts";

const COUNT = 1000;

function withBoth(withStore: typeof withRabbit, claim: string): { name: string; ignore: boolean } {
  const needed = withStore(claim);
  return needed.ignore ? needed : withRabbit(claim);
}

/** What a test does beside: with each part of the messages, and at the end. */
interface Beside {
  part?(n: number): Promise<unknown>;
  finish?(): Promise<void>;
}

/** Sends tasks in ten parts, and kills the leader after the fifth; resolves once each has its end, at least once. */
async function takeover(engine: string, { part, finish }: Beside = {}): Promise<void> {
  await using vhost = await OwnVhost.make();
  const args = ["--workers", "1", "--intake", `${vhost.url}?queue=tasks`];
  await using cluster = await RealCluster.start({ engine, count: 2, args });
  await using client = await RabbitClient.connect(vhost.url);
  await client.listen();
  const leader = await cluster.leader();
  const tasks = squares(COUNT, { replyTo: client.replyQueue });
  for (let n = 0; n < 10; n++) {
    await client.send("tasks", tasks.slice(n * COUNT / 10, (n + 1) * COUNT / 10));
    await part?.(n);
    if (n === 4) cluster.signal(leader, "SIGKILL");
  }
  await until("each has its reply", () => client.replies.size === COUNT);
  const ends = [...client.replies.values()].map((all) => new Set(all.map(({ body }) => body)).size);
  assertEquals(ends.filter((different) => different !== 1), []);
  await finish?.();
}

Deno.test(
  withBoth(
    withPostgres,
    "PostgreSQL: the leader is killed while tasks come by RabbitMQ and by SQL",
  ),
  async () => {
    await using schema = new OwnSchema();
    const submit = (from: number, to: number) =>
      schema.sql(
        `select submit('square', jsonb_build_object('n', i), jsonb_build_object('id', 'sql-' || i))
        from generate_series(${from}, ${to}) i`,
      );
    await takeover(schema.url, {
      part: (n) => submit(n * COUNT / 10 + 1, (n + 1) * COUNT / 10),
      async finish() {
        const left = "select count(*) from inbox";
        await until("the table is empty", async () => await schema.sql(left) === "0");
        const ended = "select status || ' ' || count(*) || ' ' || count(distinct id) from tasks " +
          "group by status";
        const all = `completed ${2 * COUNT} ${2 * COUNT}`;
        await until("each has its end", async () => await schema.sql(ended) === all);
      },
    });
  },
);

Deno.test(
  withBoth(withRedis, "Redis: the leader is killed while tasks come by RabbitMQ"),
  async () => {
    await using keys = new OwnKeys();
    await takeover(`${SHARED.redis}?name=${keys.name}`);
  },
);
