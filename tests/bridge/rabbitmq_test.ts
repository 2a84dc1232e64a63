/** RabbitMQ in front of sd: each message is a task, each end comes to its client, and nothing is lost or run twice. */

import { assert, assertEquals } from "@std/assert";
import { CuttingProxy } from "../kit/cutting_proxy.ts";
import { runToEnd } from "../kit/private_service.ts";
import { SdServe } from "../kit/sd_process.ts";
import { OwnRabbit, OwnVhost, withOwnRabbit, withRabbit } from "../kit/services.ts";
import { TestServer } from "../kit/test_server.ts";
import { until } from "../kit/until.ts";
import { RabbitClient, squares } from "./rabbit_client.ts";

const IS_LONG = Deno.env.get("SD_LONG") === "1";
const COUNT = IS_LONG ? 20_000 : 2000;
const QUEUE = "tasks";

function intakeOf(vhost: string, more = ""): string {
  return `${vhost}?queue=${QUEUE}${more}`;
}

async function statsOf(server: { connect: TestServer["connect"] }) {
  using client = await server.connect();
  return await client.ask({ cmd: "stats" });
}

/** Resolves when the intake takes tasks. */
async function taking(server: TestServer): Promise<void> {
  await until(
    "the intake takes tasks",
    async () => (await statsOf(server)).intakes[0].state === "taking",
  );
}

for (const engine of ["memory:", "sqlite:"]) {
  Deno.test(
    withRabbit(`every message is one task, and each end comes once to its client, on ${engine}`),
    async () => {
      await using vhost = await OwnVhost.make();
      await using sd = await SdServe.start([
        ...["--engine", engine, "--workers", "1", "--intake", intakeOf(vhost.url)],
      ], { started: "takes tasks from" });
      const clients = await Promise.all([0, 1, 2, 3].map(() => RabbitClient.connect(vhost.url)));
      const count = COUNT / clients.length;
      await Promise.all(clients.map(async (client, c) => {
        await client.listen();
        const { replyQueue: replyTo } = client;
        await client.send(QUEUE, squares(count, { prefix: `c${c}`, replyTo }));
      }));
      for (const [c, client] of clients.entries()) {
        await until(`all replies of client ${c}`, () => client.replies.size === count);
        for (let n = 0; n < count; n++) {
          const [first, ...others] = client.replies.get(`c${c}-${n}`)!;
          assertEquals(JSON.parse(first!.body), {
            task_id: `c${c}-${n}`,
            status: "completed",
            result: n * n,
          });
          assert(first!.isPersistent);
          assertEquals(others, []);
        }
      }
      assertEquals(await clients[0]!.depth(QUEUE), 0);
      assertEquals(await clients[0]!.depth(`${QUEUE}.dead`), 0);
      await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()));
      assertEquals(
        sd.lines.filter((line) => /warning|error/.test(line) && !/--intake/.test(line)),
        [],
      );
    },
  );
}

Deno.test(
  withRabbit("what can be no task goes to the dead letters with its reason, and the rest goes on"),
  async () => {
    await using vhost = await OwnVhost.make();
    await using server = await TestServer.start({ intakes: [intakeOf(vhost.url)] });
    await taking(server);
    await using client = await RabbitClient.connect(vhost.url);
    await client.listen();
    const mebibyte = 1024 * 1024;
    const deep = '{"op":"echo","data":' + "[".repeat(100) + "]".repeat(100) + "}";
    const hostile: [code: string, body: string | Uint8Array, id?: string][] = [
      ["bad_json", ""],
      ["bad_json", "square 4"],
      ["bad_json", "[]"],
      ["bad_json", "null"],
      ["bad_json", "\0"],
      ["bad_json", '{"op":"square","n":4}\n{"op":"square","n":5}'],
      ["bad_json", Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d)],
      ["bad_json", '\ufeff{"op":"square","n":4}'],
      ["bad_json", deep],
      ["bad_request", '{"op":"square","n":12345678901234567890}'],
      ["bad_request", '{"cmd":"cancel","task_ids":["x"]}'],
      ["bad_request", '{"op":"square","n":4,"task":{"cron":"* * * * *"}}'],
      ["bad_request", '{"op":"square","n":4,"task":{"id":"another"}}'],
      ["bad_request", '{"op":"square","n":4,"task":{"prio":1}}'],
      ["bad_request", '{"op":"square","n":4,"task":[]}'],
      ["bad_request", '{"op":"","n":4}'],
      ["bad_request", '{"op":"square","n":4}', "an id with spaces"],
      ["bad_request", '{"op":"square","n":4}', ""],
      ["line_too_long", JSON.stringify({ op: "echo", data: "x".repeat(mebibyte) })],
      ["not_found", '{"op":"square","n":4,"task":{"after":["no-such-task"]}}'],
    ];
    const { replyQueue: replyTo } = client;
    const bad = hostile.map(([, body, messageId], i) => ({
      body,
      ...(messageId === "" ? {} : { messageId: messageId ?? `bad-${i}` }),
      // Neither may send copies elsewhere, and both stand for themselves.
      headers: { CC: [replyTo], mine: "kept" },
      correlationId: "copy",
      expiration: "60000",
    }));
    const [first, ...good] = squares(20, { replyTo });
    await client.send(QUEUE, [first!, ...bad, ...good]);
    await until("the good ones are done", () => client.replies.size >= 20);
    const dead = await client.drain(`${QUEUE}.dead`, bad.length);
    const codes = dead.map(({ headers }) => headers["x-sd-code"]);
    assertEquals(codes, hostile.map(([code]) => code));
    for (const { headers } of dead) {
      assert(headers["x-sd-reason"]!.length > 10);
      assertEquals([headers.mine, headers.CC], ["kept", undefined]);
    }
    // A copy came by the header of the client itself, and none by that of the dead letter.
    assertEquals(client.replies.get("copy")?.length, bad.length);
    const { intakes, notices } = await statsOf(server);
    assertEquals([intakes[0].taken, intakes[0].rejected], [20, bad.length]);
    assert(notices.some(({ cure }: { cure: string }) => cure.includes(`${QUEUE}.dead`)));
    assertEquals(server.lines.filter((line) => line.includes("square 4")), []);
  },
);

Deno.test(
  withRabbit("a message that comes twice is one task; the same id with other arguments is refused"),
  async () => {
    await using vhost = await OwnVhost.make();
    await using server = await TestServer.start({ intakes: [intakeOf(vhost.url)] });
    await taking(server);
    await using client = await RabbitClient.connect(vhost.url);
    await client.listen();
    const [task] = squares(1, { replyTo: client.replyQueue });
    await client.send(QUEUE, [task!]);
    await client.reply("t-0");
    // From a new connection with another address, as after a crash of the client.
    await using again = await RabbitClient.connect(vhost.url);
    await again.listen();
    await again.send(QUEUE, [{ ...task!, replyTo: again.replyQueue }]);
    assertEquals((await again.reply("t-0")).status, "completed");
    const other = { ...task!, body: '{"op":"square","n":7}' };
    await again.send(QUEUE, [other]);
    const [dead] = await again.drain(`${QUEUE}.dead`, 1);
    assertEquals(dead!.headers["x-sd-code"], "conflict");
    assertEquals(client.replies.get("t-0")!.length, 1);
    assertEquals((await statsOf(server)).totals.finished, 1);
  },
);

Deno.test(
  withRabbit("a message of a task that runs gets its end at the new address as well"),
  async () => {
    await using vhost = await OwnVhost.make();
    await using server = await TestServer.start({ intakes: [intakeOf(vhost.url)] });
    await taking(server);
    using control = await server.connect();
    await control.ask({ cmd: "pause" });
    await using client = await RabbitClient.connect(vhost.url);
    await using again = await RabbitClient.connect(vhost.url);
    await Promise.all([client.listen(), again.listen()]);
    const [task] = squares(1);
    await client.send(QUEUE, [{ ...task!, replyTo: client.replyQueue }]);
    await again.send(QUEUE, [{ ...task!, replyTo: again.replyQueue }]);
    await until("both are taken", async () => (await statsOf(server)).intakes[0].taken === 2);
    await control.ask({ cmd: "resume" });
    for (const one of [client, again]) assertEquals((await one.reply("t-0")).result, 0);
  },
);

Deno.test(
  withRabbit("a full server leaves messages in their queue, and takes all once there is room"),
  async () => {
    await using vhost = await OwnVhost.make();
    await using server = await TestServer.start({
      limits: { maxQueued: 50 },
      intakes: [intakeOf(vhost.url, "&prefetch=20")],
    });
    await taking(server);
    using control = await server.connect();
    await control.ask({ cmd: "pause" });
    await using client = await RabbitClient.connect(vhost.url);
    await client.listen();
    await client.send(QUEUE, squares(500, { replyTo: client.replyQueue }));
    const { intakes } = await until("it waits", async () => {
      const stats = await statsOf(server);
      return stats.intakes[0].state === "waiting" && stats;
    });
    assert(intakes[0].reason.includes("--max-queued"));
    assertEquals([intakes[0].taken, intakes[0].rejected], [50, 0]);
    assert(await client.depth(QUEUE) >= 500 - 50 - 2 * 20);
    await control.ask({ cmd: "resume" });
    await until("all replies", () => client.replies.size === 500);
    assertEquals((await statsOf(server)).intakes[0].state, "taking");
    assertEquals([...client.replies.values()].filter((all) => all.length > 1), []);
  },
);

Deno.test(
  withRabbit("killed between commit and acknowledgement, no final task runs a second time"),
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      await using vhost = await OwnVhost.make();
      const { hostname, port } = new URL(vhost.url);
      await using proxy = new CuttingProxy({ hostname, port: Number(port) });
      const args = ["--workers", "1", "--intake"];
      const env = { SD_DATA: folder };
      const through = intakeOf(vhost.url.replace(`:${port}`, `:${proxy.port}`));
      const started = "takes tasks from";
      const client = await RabbitClient.connect(vhost.url, "replies");
      {
        await using first = await SdServe.start([...args, through], { env, started });
        // Neither acknowledgements nor replies arrive from here on.
        proxy.swallow("clients");
        await client.send(QUEUE, squares(300, { replyTo: "replies" }));
        await until("all ends are committed", async () => {
          using raw = await rawOf(first);
          return (await raw.ask({ cmd: "stats" })).totals.finished === 300;
        });
        await first.stop("SIGKILL");
      }
      proxy.cut();
      await using second = await SdServe.start([...args, intakeOf(vhost.url)], { env, started });
      await client.listen();
      await until("all replies", () => client.replies.size === 300);
      using raw = await rawOf(second);
      const stats = await until("all messages are taken again", async () => {
        const all = await raw.ask({ cmd: "stats" });
        return all.intakes[0].taken === 300 && all;
      });
      assertEquals([stats.totals.finished, stats.tasks.completed], [0, 300]);
      for (let n = 0; n < 300; n++) assertEquals((await client.reply(`t-${n}`)).result, n * n);
      assertEquals([...client.replies.values()].filter((all) => all.length > 1), []);
      await client[Symbol.asyncDispose]();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

async function rawOf(sd: SdServe) {
  const { RawClient } = await import("../kit/raw_client.ts");
  return await RawClient.connect(sd.address);
}

Deno.test(
  withRabbit("connections that RabbitMQ closes are opened again, and no end is lost"),
  async () => {
    await using vhost = await OwnVhost.make();
    await using server = await TestServer.start({
      intakes: [intakeOf(vhost.url, "&prefetch=20")],
      mayLog: "no tasks come",
    });
    await taking(server);
    const name = new URL(vhost.url).pathname.slice(1);
    await using client = await RabbitClient.connect(vhost.url, "replies");
    await client.send(
      QUEUE,
      squares(1000, { replyTo: "replies" }).map((task, n) => ({
        ...task,
        body: JSON.stringify({ op: "sleep", ms: n % 10 }),
      })),
    );
    await client[Symbol.asyncDispose]();
    let closings = 0;
    for (; closings < 5; closings++) {
      await until(
        "it takes tasks",
        async () => (await statsOf(server)).intakes[0].state === "taking",
      );
      await runToEnd(["rabbitmqctl", "-q", "close_all_connections", "--vhost", name, "a test"]);
    }
    await using reader = await RabbitClient.connect(vhost.url, "replies");
    await reader.listen();
    await until("all replies", () => reader.replies.size === 1000);
    const { totals, intakes } = await statsOf(server);
    // An end is published again if its confirm was lost; a task never runs again.
    assertEquals([totals.finished, intakes[0].rejected], [1000, 0]);
  },
);

Deno.test(
  withRabbit("ends without an address are dropped and counted, and hold up no others"),
  async () => {
    await using vhost = await OwnVhost.make();
    await using server = await TestServer.start({ intakes: [intakeOf(vhost.url)] });
    await taking(server);
    await using client = await RabbitClient.connect(vhost.url);
    await client.listen();
    const lost = squares(50, { prefix: "lost", replyTo: "no.such.queue" });
    const kept = squares(50, { replyTo: client.replyQueue });
    await client.send(QUEUE, lost.flatMap((task, i) => [task, kept[i]!]));
    await until("all replies", () => client.replies.size === 50);
    const [intake] = await until("all are counted", async () => {
      const { intakes } = await statsOf(server);
      return intakes[0].replied + intakes[0].dropped === 100 && intakes;
    });
    assertEquals([intake.replied, intake.dropped], [50, 50]);
    assert(server.lines.some((line) => line.includes("no.such.queue")));
  },
);

Deno.test(withRabbit("a reply queue that takes no more holds up no other"), async () => {
  await using vhost = await OwnVhost.make();
  await using server = await TestServer.start({ intakes: [intakeOf(vhost.url)] });
  await taking(server);
  await using client = await RabbitClient.connect(vhost.url);
  await client.listen();
  await client.channel.assertQueue("small", { maxLength: 5, overflow: "reject-publish" });
  const held = squares(20, { prefix: "held", replyTo: "small" });
  await client.send(QUEUE, [...held, ...squares(20, { replyTo: client.replyQueue })]);
  await until("the replies of the others", () => client.replies.size === 20);
  // Once it is read, the rest comes, in the order of the ends.
  const got = await client.drain("small", 20);
  assertEquals(new Set(got.map(({ body }) => JSON.parse(body).task_id)).size, 20);
});

Deno.test(withRabbit("a client without a queue gets its reply by direct reply-to"), async () => {
  await using vhost = await OwnVhost.make();
  await using server = await TestServer.start({ intakes: [intakeOf(vhost.url)] });
  await taking(server);
  await using client = await RabbitClient.connect(vhost.url, "amq.rabbitmq.reply-to");
  await client.listen();
  await client.send(QUEUE, squares(10, { replyTo: "amq.rabbitmq.reply-to" }));
  for (let n = 0; n < 10; n++) assertEquals((await client.reply(`t-${n}`)).result, n * n);
});

Deno.test(withRabbit("a message that cannot be copied holds up no other"), async () => {
  await using vhost = await OwnVhost.make();
  await using server = await TestServer.start({ intakes: [intakeOf(vhost.url)] });
  await taking(server);
  await using client = await RabbitClient.connect(vhost.url);
  await client.listen();
  const { replyQueue: replyTo } = client;
  const table = (value: unknown) => ({ "!": "object", value });
  const hostile: Record<string, unknown>[] = [
    // The library takes this member for the name of a type.
    { odd: table({ "!": "no such type", value: 1 }) },
    { deep: table({ odd: table({ "!": "no such type" }) }) },
    // With the reason it is more than the library has room for.
    { large: "x".repeat(65_500) },
  ];
  const bad = hostile.map((headers, i) => ({
    body: "no task",
    messageId: `bad-${i}`,
    headers: { ...headers, mine: "kept" },
  }));
  await client.send(QUEUE, [...bad, ...squares(3, { replyTo })]);
  const dead = await client.drain(`${QUEUE}.dead`, bad.length);
  assertEquals(dead.map(({ id }) => id), ["bad-0", "bad-1", "bad-2"]);
  assert(dead.every(({ headers }) => headers.mine === "kept"));
  assert(dead.every(({ headers }) => headers["x-sd-code"] === "bad_json"));
  await until("all replies", () => client.replies.size === 3);
});

Deno.test(withRabbit("failed, cancelled and unroutable tasks end in a reply, too"), async () => {
  await using vhost = await OwnVhost.make();
  await using server = await TestServer.start({ intakes: [intakeOf(vhost.url)] });
  await taking(server);
  await using client = await RabbitClient.connect(vhost.url);
  await client.listen();
  const { replyQueue: replyTo } = client;
  await client.send(QUEUE, [
    { body: '{"op":"square","n":"x"}', messageId: "f", correlationId: "f", replyTo },
    {
      body: '{"op":"sleep","ms":60000,"task":{"timeout":50}}',
      messageId: "t",
      correlationId: "t",
      replyTo,
    },
    {
      body: '{\n  "op": "square",\r\n  "n": 3,\n  "task": {"delay": 3600000}\n}',
      messageId: "c",
      correlationId: "c",
      replyTo,
    },
  ]);
  const failed = await client.reply("f");
  assertEquals([failed.status, failed.error.code, failed.attempt], ["failed", "task_error", 1]);
  assertEquals((await client.reply("t")).error.code, "timeout");
  using control = await server.connect();
  await until(
    "it is there",
    async () => !("error" in await control.ask({ cmd: "get", task_id: "c" })),
  );
  await control.ask({ cmd: "cancel", task_id: "c" });
  assertEquals(await client.reply("c"), { task_id: "c", status: "cancelled" });
});

Deno.test(
  withRabbit(
    "with a wrong password the server runs, says what is wrong, and keeps the password to itself",
  ),
  async () => {
    await using vhost = await OwnVhost.make();
    const url = intakeOf(vhost.url.replace("guest:guest", "guest:open-sesame"));
    await using server = await TestServer.start({ intakes: [url] });
    const stats = await until("it is down", async () => {
      const all = await statsOf(server);
      return all.notices && all;
    });
    assertEquals(stats.intakes[0].state, "connecting");
    const said = JSON.stringify(stats) + server.lines.join("\n");
    assert(said.includes("no tasks come"));
    assertEquals([said.includes("sesame"), said.includes("guest")], [false, false]);
  },
);

Deno.test(withOwnRabbit("a restart of RabbitMQ loses no task and no end"), async () => {
  await using rabbit = await OwnRabbit.start();
  const url = `${rabbit.url}/`;
  await using server = await TestServer.start({ intakes: [intakeOf(url, "&prefetch=20")] });
  await taking(server);
  const client = await RabbitClient.connect(url, "replies");
  const count = IS_LONG ? 1000 : 200;
  await client.send(
    QUEUE,
    squares(count, { replyTo: "replies" }).map((task) => ({
      ...task,
      body: '{"op":"sleep","ms":5}',
    })),
  );
  await client[Symbol.asyncDispose]();
  await rabbit.restart();
  await rabbit.kill("SIGKILL");
  await rabbit.start();
  await taking(server);
  // A RabbitMQ that is frozen answers no heartbeat.
  await rabbit.kill("SIGSTOP");
  await until("it is lost", async () => (await statsOf(server)).intakes[0].state === "connecting");
  await rabbit.kill("SIGCONT");
  await taking(server);
  await using reader = await RabbitClient.connect(url, "replies");
  await reader.listen();
  await until("all replies", () => reader.replies.size === count);
  assertEquals((await statsOf(server)).totals.finished, count);
});
