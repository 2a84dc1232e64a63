/** NATS JetStream in front of sd: each message is a task, each end comes to its client, and nothing is lost or run twice. */

import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, headers, type NatsConnection } from "@nats-io/transport-node";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe } from "../kit/sd_process.ts";
import { ownName, OwnNats, SHARED, withNats, withOwnNats } from "../kit/services.ts";
import { TestServer } from "../kit/test_server.ts";
import { until } from "../kit/until.ts";

const COUNT = Deno.env.get("SD_LONG") === "1" ? 20_000 : 1000;

interface Message {
  readonly body: string | Uint8Array;
  readonly id?: string;
  readonly replyTo?: string;
}

/** A stream of the test's own, and a client of it that keeps replies by correlation id. */
class Stage implements AsyncDisposable {
  readonly stream = ownName("T");
  readonly subject = `tasks.${this.stream}`;
  readonly inbox = `_INBOX.${this.stream}`;
  readonly replies = new Map<string, string[]>();

  private constructor(readonly url: string, readonly connection: NatsConnection) {}

  static async open(url: string = SHARED.nats): Promise<Stage> {
    const stage = new Stage(url, await connect({ servers: url, maxReconnectAttempts: -1 }));
    stage.keep(stage.inbox);
    return stage;
  }

  get intake(): string {
    return `${this.url}?stream=${this.stream}&subject=${this.subject}&synced=yes`;
  }

  /** Keeps what comes to a subject. */
  keep(subject: string): void {
    this.connection.subscribe(subject, {
      callback: (_error, message) => {
        const id = message.headers?.get("Correlation-Id") ?? "";
        this.replies.set(id, [...this.replies.get(id) ?? [], message.string()]);
      },
    });
  }

  async send(messages: readonly Message[]): Promise<void> {
    const js = jetstream(this.connection);
    await Promise.all(messages.map(({ body, id, replyTo = this.inbox }) => {
      const own = headers();
      own.set("Reply-To", replyTo);
      own.set("Correlation-Id", id ?? "none");
      return js.publish(this.subject, body, {
        headers: own,
        ...(id === undefined ? {} : { msgID: id }),
      });
    }));
  }

  // deno-lint-ignore no-explicit-any
  async reply(id: string): Promise<any> {
    return JSON.parse(await until(`a reply to ${id}`, () => this.replies.get(id)?.[0]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const manager = await jetstreamManager(this.connection);
    for (const name of [this.stream, `${this.stream}_dead`, `${this.stream}_ends`]) {
      await manager.streams.delete(name).catch(() => {});
    }
    await this.connection.close();
  }
}

function squares(count: number, prefix = "t"): Message[] {
  return Array.from({ length: count }, (_, n) => ({
    body: JSON.stringify({ op: "square", n }),
    id: `${prefix}-${n}`,
  }));
}

async function statsOf(server: { readonly address: { hostname: string; port: number } }) {
  using client = await RawClient.connect(server.address);
  return await client.ask({ cmd: "stats" });
}

async function taking(server: TestServer): Promise<void> {
  await until(
    "the intake takes tasks",
    async () => (await statsOf(server)).intakes[0].state === "taking",
  );
}

Deno.test(withNats("every message is one task, and each end comes to its client"), async () => {
  await using stage = await Stage.open();
  await using server = await TestServer.start({ intakes: [stage.intake] });
  await taking(server);
  for (let n = 0; n < COUNT; n += 500) await stage.send(squares(COUNT).slice(n, n + 500));
  await until("all replies", () => stage.replies.size === COUNT);
  for (let n = 0; n < COUNT; n++) {
    assertEquals(stage.replies.get(`t-${n}`)!.map((body) => JSON.parse(body)), [
      { task_id: `t-${n}`, status: "completed", result: n * n },
    ]);
  }
  const manager = await jetstreamManager(stage.connection);
  await until(
    "the stream is empty",
    async () => (await manager.streams.info(stage.stream)).state.messages === 0,
  );
});

Deno.test(withNats("an end for a subject of a stream is kept there once"), async () => {
  await using stage = await Stage.open();
  await using server = await TestServer.start({ intakes: [stage.intake] });
  await taking(server);
  const manager = await jetstreamManager(stage.connection);
  const ends = `ends.${stage.stream}`;
  await manager.streams.add({ name: `${stage.stream}_ends`, subjects: [ends] });
  await stage.send(squares(20).map((message) => ({ ...message, replyTo: ends })));
  await until(
    "all ends are kept",
    async () => (await manager.streams.info(`${stage.stream}_ends`)).state.messages === 20,
  );
  assertEquals((await statsOf(server)).intakes[0].replied, 20);
});

Deno.test(withNats("no reply address is a command to NATS"), async () => {
  await using stage = await Stage.open();
  await using server = await TestServer.start({ intakes: [stage.intake] });
  await taking(server);
  const manager = await jetstreamManager(stage.connection);
  const [name, ends] = [`${stage.stream}_ends`, `ends.${stage.stream}`];
  await manager.streams.add({ name, subjects: [ends] });
  const commands = [`$JS.API.STREAM.PURGE.${name}`, `$JS.API.STREAM.MSG.DELETE.${name}`, "$SYS.x"];
  const good = squares(2).map((message) => ({ ...message, replyTo: ends }));
  await stage.send(good.slice(0, 1));
  await stage.send(squares(3, "bad").map((message, i) => ({ ...message, replyTo: commands[i]! })));
  const view = async () => (await statsOf(server)).intakes[0];
  await until("four ends", async () => (await view()).replied + (await view()).dropped === 4);
  await stage.send(good.slice(1));
  await until("the last end", async () => (await view()).replied + (await view()).dropped === 5);
  assertEquals((await manager.streams.info(name)).state.messages, 2);
  assertEquals((await view()).dropped, 3);
});

Deno.test(
  withNats("a refused message that fills the payload of NATS holds up nothing"),
  async () => {
    await using stage = await Stage.open();
    await using server = await TestServer.start({ intakes: [stage.intake] });
    await taking(server);
    // It has room for its own headers, and none for those of its copy.
    const most = stage.connection.info!.max_payload;
    await stage.send([{ body: "x".repeat(most - 140), id: "bad" }, ...squares(1)]);
    const manager = await jetstreamManager(stage.connection);
    await until(
      "the dead letter",
      async () => (await manager.streams.info(`${stage.stream}_dead`)).state.messages === 1,
    );
    await until(
      "the stream is empty",
      async () => (await manager.streams.info(stage.stream)).state.messages === 0,
    );
  },
);

Deno.test(withNats("what can be no task goes to the dead letters with its reason"), async () => {
  await using stage = await Stage.open();
  await using server = await TestServer.start({ intakes: [stage.intake] });
  await taking(server);
  const bad: [code: string, message: Message][] = [
    ["bad_json", { body: "square 4", id: "a" }],
    ["bad_json", { body: Uint8Array.of(0xff, 0), id: "b" }],
    ["bad_json", { body: '{"op":"echo","data":' + "[".repeat(99) + "]".repeat(99) + "}", id: "c" }],
    ["bad_request", { body: '{"op":"square","n":4}', id: "no id" }],
    ["bad_request", { body: '{"cmd":"stats"}', id: "d" }],
    ["conflict", { body: '{"op":"square","n":9,"task":{"id":"t-1"}}' }],
  ];
  await stage.send(squares(3));
  for (let n = 0; n < 3; n++) await stage.reply(`t-${n}`);
  await stage.send(bad.map(([, message]) => message).slice(0, -1));
  // Without an id of its own the message has one by its number, so the body can name none.
  await stage.send([{ body: '{"op":"square","n":5}' }]);
  assertEquals((await stage.reply("none")).result, 25);
  const js = jetstream(stage.connection);
  const consumer = await js.consumers.get(`${stage.stream}_dead`);
  const messages = await consumer.fetch({ max_messages: 5, expires: 20_000 });
  const codes: string[] = [];
  for await (const message of messages) {
    codes.push(message.headers!.get("X-Sd-Code"));
    assert(message.headers!.get("X-Sd-Reason").length > 10);
    if (codes.length === 5) break;
  }
  assertEquals(codes, bad.slice(0, 5).map(([code]) => code));
  const manager = await jetstreamManager(stage.connection);
  await until(
    "the stream is empty",
    async () => (await manager.streams.info(stage.stream)).state.messages === 0,
  );
});

Deno.test(
  withNats("a full server leaves messages in their stream, and takes all in the end"),
  async () => {
    await using stage = await Stage.open();
    await using server = await TestServer.start({
      limits: { maxQueued: 50 },
      intakes: [`${stage.intake}&prefetch=20`],
    });
    await taking(server);
    using control = await server.connect();
    await control.ask({ cmd: "pause" });
    await stage.send(squares(200));
    await until("it waits", async () => (await statsOf(server)).intakes[0].state === "waiting");
    await delay(100);
    assertEquals((await statsOf(server)).intakes[0].taken, 50);
    await control.ask({ cmd: "resume" });
    await until("all replies", () => stage.replies.size === 200);
  },
);

Deno.test(
  withOwnNats("a killed NATS and a killed sd lose no acknowledged task and no end"),
  async () => {
    await using nats = await OwnNats.start();
    await using stage = await Stage.open(nats.url);
    const folder = await Deno.makeTempDir();
    const args = ["--workers", "1", "--intake", stage.intake];
    const options = { env: { SD_DATA: folder }, started: "takes tasks from" };
    try {
      const first = await SdServe.start(args, options);
      const manager = await jetstreamManager(stage.connection);
      const ends = `ends.${stage.stream}`;
      await manager.streams.add({ name: `${stage.stream}_ends`, subjects: [ends] });
      await stage.send(
        squares(300).map(({ id }) => ({ id: id!, replyTo: ends, body: '{"op":"sleep","ms":5}' })),
      );
      await first.stop("SIGKILL");
      await using second = await SdServe.start(args, options);
      await nats.kill("SIGKILL");
      await nats.start();
      const distinct = new Set<string>();
      const js = jetstream(stage.connection);
      await until("all ends", async () => {
        try {
          const consumer = await js.consumers.get(`${stage.stream}_ends`);
          const messages = await consumer.fetch({ max_messages: 1000, expires: 1000 });
          for await (const message of messages) {
            distinct.add(message.json<{ task_id: string }>().task_id);
          }
        } catch {
          // The client of the test connects again.
        }
        return distinct.size === 300;
      });
      assertEquals((await statsOf(second)).tasks.completed, 300);
      await first[Symbol.asyncDispose]();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
