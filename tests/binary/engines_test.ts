/**
 * The compiled executable holds every library of its engines and intakes: alone in a folder, with an empty home, it
 * serves with each, and reads and writes no cache.
 */

import { assert, assertEquals } from "@std/assert";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import { RabbitClient } from "../bridge/rabbit_client.ts";
import { Certificate } from "../kit/certificate.ts";
import {
  OwnKeys,
  ownName,
  OwnPostgres,
  OwnVhost,
  SHARED,
  withNats,
  withOwnPostgres,
  withRabbit,
  withRedis,
} from "../kit/services.ts";
import { until } from "../kit/until.ts";
import { BINARY, Installed, serve, untilNoneLeft, withBinary } from "./installed.ts";

/** The options of a test that needs the executable and a service. */
function needingBoth(withService: typeof withBinary): typeof withBinary {
  return (claim) => {
    const binary = withBinary(claim);
    return binary.ignore ? binary : withService(claim);
  };
}

/** Files under the home of the executable, which is its folder, beside the executable and its state. */
function strayFiles(folder: string): string[] {
  const stray = (path: string): string[] =>
    [...Deno.readDirSync(`${folder}${path}`)].flatMap(({ name, isDirectory }) =>
      isDirectory ? stray(`${path}/${name}`) : [`${path}/${name}`]
    );
  return stray("").filter((path) => path !== "/sd" && !path.startsWith("/.local/state/sd/"));
}

/** Sends a signal, which is too late for a process that has ended. */
function end(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}

/** Two servers and an `sd work` through the one that follows; the one that leads is killed. */
async function takesOver(sd: Installed, engine: string): Promise<void> {
  const env = { SD_POOL_SECRET: crypto.randomUUID(), SD_ENGINE: engine };
  const leads = ({ lines }: Awaited<ReturnType<typeof serve>>) =>
    lines.some((line) => line.includes("leads, epoch"));
  const first = await serve(sd, ["--workers", "0"], env);
  await until("a first lead", () => leads(first));
  const second = await serve(sd, ["--workers", "0"], env);
  const both = `${second.server},${first.server}`;
  const work = sd.command(["work", "--workers", "1", "--server", both], {
    env,
    stderr: "null",
    stdout: "null",
    stdin: "null",
  }).spawn();
  const square = async (n: number) => {
    const { code, stdout, stderr } = await until("workers", async () => {
      const done = await sd.run(["submit", `{"op":"square","n":${n}}`, "--server", both]);
      // Its op is unknown as long as no worker is there.
      return done.code !== 7 && done;
    });
    assertEquals([code, stdout], [0, `${n * n}\n`], stderr);
  };
  try {
    await square(7);
    assert(!leads(second), second.lines.join("\n"));
    first.child.kill("SIGKILL");
    await until("a takeover", () => leads(second));
    await square(8);
  } finally {
    end(first.child, "SIGKILL");
    end(work, "SIGTERM");
    end(second.child, "SIGTERM");
    await Promise.all([work.status, first.child.status]);
  }
  assertEquals((await second.child.status).code, 0);
  await Promise.all([first.talk, second.talk]);
  await untilNoneLeft(sd.folder);
  assertEquals(strayFiles(sd.folder), []);
}

Deno.test({
  ...needingBoth(withOwnPostgres)("the executable alone shares PostgreSQL, by TLS, and takes over"),
  async fn() {
    assert(BINARY, "SD_BINARY must name the executable in CI");
    using certificate = await Certificate.make("localhost");
    await using postgres = await OwnPostgres.start({ tls: certificate, password: "p@ss" });
    using sd = new Installed(BINARY);
    const query = `sslmode=verify-full&sslrootcert=${certificate.certFile}`;
    await takesOver(sd, `postgres://sd:p%40ss@localhost:${postgres.port}/test?${query}`);
  },
});

Deno.test({
  ...needingBoth(withRedis)("the executable alone shares Redis, and takes over"),
  async fn() {
    assert(BINARY, "SD_BINARY must name the executable in CI");
    await using keys = new OwnKeys();
    using sd = new Installed(BINARY);
    await takesOver(sd, `${keys.server}/0?name=${keys.name}`);
  },
});

/** Serves with an intake while `use` runs. */
async function withIntake(intake: string, use: () => Promise<void>): Promise<void> {
  assert(BINARY, "SD_BINARY must name the executable in CI");
  using sd = new Installed(BINARY);
  const { child, talk, lines } = await serve(sd, ["--engine", "memory:", "--intake", intake]);
  try {
    await until(
      "the intake takes tasks",
      () => lines.some((line) => line.includes("takes tasks from")),
    );
    await use();
  } finally {
    child.kill("SIGTERM");
  }
  assertEquals((await child.status).code, 0, lines.join("\n"));
  await talk;
  await untilNoneLeft(sd.folder);
  assertEquals(strayFiles(sd.folder), []);
}

const END = { task_id: "a", status: "completed", result: 49 };
const TASK = '{"op":"square","n":7}';

Deno.test({
  ...needingBoth(withRabbit)("the executable alone takes a task from RabbitMQ, and replies"),
  async fn() {
    await using vhost = await OwnVhost.make();
    await withIntake(`${vhost.url}?queue=tasks`, async () => {
      await using client = await RabbitClient.connect(vhost.url);
      await client.listen();
      const task = { messageId: "a", correlationId: "a", replyTo: client.replyQueue };
      await client.send("tasks", [{ ...task, body: TASK }]);
      assertEquals(await client.reply("a"), END);
    });
  },
});

Deno.test({
  ...needingBoth(withNats)("the executable alone takes a task from NATS, and replies"),
  async fn() {
    const stream = ownName("T");
    const connection = await connect({ servers: SHARED.nats });
    try {
      await withIntake(`${SHARED.nats}?stream=${stream}&subject=tasks.${stream}`, async () => {
        const replies = connection.subscribe(`_INBOX.${stream}`, { max: 1 });
        const own = headers();
        own.set("Reply-To", `_INBOX.${stream}`);
        const options = { headers: own, msgID: "a" };
        await jetstream(connection).publish(`tasks.${stream}`, TASK, options);
        for await (const reply of replies) assertEquals(reply.json(), END);
      });
    } finally {
      const { streams } = await jetstreamManager(connection);
      for (const name of [stream, `${stream}_dead`]) await streams.delete(name).catch(() => {});
      await connection.close();
    }
  },
});
