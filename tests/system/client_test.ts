/** The client library against a real server: calls by name, many tasks, watching, aborting. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type BuiltinTasks,
  type Client,
  ClientError,
  connect,
  type ManyEnd,
  type ManyTask,
  SdError,
  TaskEndedError,
  TaskFailedError,
  type WatchEvent,
} from "../../client/mod.ts";
import { TestServer } from "../kit/test_server.ts";

async function withClient(
  use: (client: Client, server: TestServer) => Promise<void>,
  limits: { maxQueued?: number } = {},
): Promise<void> {
  await using server = await TestServer.start({ limits });
  await using client = await connect(server.address);
  await use(client, server);
}

/** The next event that `isIt`; events of others pass by. */
async function nextOf(
  events: AsyncIterator<WatchEvent>,
  isIt: (event: WatchEvent) => boolean,
): Promise<WatchEvent> {
  for (;;) {
    const { value, done } = await events.next();
    if (done) throw new Error("the watch has ended");
    if (isIt(value)) return value;
  }
}

Deno.test("an op is called by its name, and by run if the client has a member of that name", async () => {
  await withClient(async (client, server) => {
    assertEquals(await client.square({ n: 7 }), 49);
    assertEquals(await client.run("echo", { data: [1, null] }), [1, null]);
    const failed = await assertRejects(() => client.square({ n: "seven" }), TaskFailedError);
    assertEquals(failed.code, "task_error");
    await assertRejects(() => client.run("get", {}), SdError, 'no worker has an op "get"');
    await using typed = await connect<Pick<BuiltinTasks, "square">>(
      `127.0.0.1:${server.address.port}`,
    );
    assertEquals(await typed.square({ n: 3 }, { priority: 1 }), 9);
  });
});

Deno.test("awaiting, stringifying and inspecting a client calls no op", async () => {
  await withClient(async (client) => {
    const same = await Promise.resolve(client);
    assert(same === client && client instanceof Object);
    assertEquals([JSON.stringify(client), String(client)], ["{}", "[object Object]"]);
    Deno.inspect(client);
    assertEquals((await client.stats()).totals.submitted, 0);
  });
});

Deno.test("submitMany reads as far as there is room, and yields each end with its index", async () => {
  await withClient(async (client) => {
    let read = 0;
    function* tasks(): Generator<ManyTask<"square", { n: number }>> {
      for (let n = 0; n < 10_000; n++) {
        read = n + 1;
        yield { op: "square", args: { n } };
      }
    }
    const seen = new Set<number>();
    for await (const end of client.submitMany(tasks(), { inFlight: 100 })) {
      assert(end.status === "completed", JSON.stringify(end));
      assertEquals(end.result, end.index ** 2);
      seen.add(end.index);
      assert(read <= seen.size + 100, `${read} read, ${seen.size} told`);
    }
    assertEquals([read, seen.size], [10_000, 10_000]);
  });
});

Deno.test("submitMany: a failed task and a refused task are ends like others", async () => {
  await withClient(async (client) => {
    const tasks = async function* () {
      yield { op: "square", args: { n: "x" } };
      await client.ping();
      yield { op: "no-such-op" };
      yield { op: "square", args: { n: 5 }, options: { id: "five" } };
    };
    const ends: ManyEnd[] = [];
    for await (const end of client.submitMany(tasks())) ends.push(end);
    ends.sort((a, b) => a.index - b.index);
    assertEquals(ends.map(({ status }) => status), ["failed", "refused", "completed"]);
    assert(ends[1]?.status === "refused" && ends[1].error.code === "unknown_op");
    assertEquals(ends[2], { index: 2, task_id: "five", status: "completed", result: 25 });
  });
});

Deno.test("submitMany waits while the server is full", async () => {
  await withClient(async (client) => {
    const tasks = Array.from({ length: 200 }, () => ({ op: "sleep" as const, args: { ms: 2 } }));
    let completed = 0;
    for await (const end of client.submitMany(tasks)) {
      assertEquals(end.status, "completed");
      completed++;
    }
    assertEquals(completed, 200);
  }, { maxQueued: 50 });
});

Deno.test("submitMany: an error of the iterable comes after the ends of the earlier tasks", async () => {
  await withClient(async (client) => {
    const tasks = function* () {
      yield { op: "square" as const, args: { n: 2 } };
      throw new Error("the file ends here");
    };
    const ends: unknown[] = [];
    await assertRejects(
      async () => {
        for await (const end of client.submitMany(tasks())) ends.push(end.status);
      },
      Error,
      "the file ends here",
    );
    assertEquals(ends, ["completed"]);
  });
});

Deno.test("submitMany: break closes the iterable, and tasks in flight go on", async () => {
  await withClient(async (client) => {
    const closed = Promise.withResolvers<void>();
    const tasks = function* () {
      try {
        yield { op: "echo", args: { data: 1 } };
        for (;;) yield { op: "sleep", args: { ms: 60_000 }, options: { id: "sleeper" } };
      } finally {
        closed.resolve();
      }
    };
    for await (const end of client.submitMany(tasks(), { inFlight: 2 })) {
      assertEquals(end.index, 0);
      break;
    }
    await closed.promise;
    // With an id of its own it is submitted whether or not the loop had left by then, and only once.
    await client.submit("sleep", { ms: 60_000 }, { id: "sleeper", wait: false });
    assertEquals((await client.cancel("sleeper")).status, "cancelled");
  });
});

Deno.test("aborting submitMany throws the reason and cancels the tasks in flight", async () => {
  await withClient(async (client) => {
    const aborter = new AbortController();
    const tasks = ["a", "b"].map((id) => ({
      op: "sleep" as const,
      args: { ms: 60_000 },
      options: { id },
    }));
    const events = client.watch();
    const run = assertRejects(
      async () => {
        for await (const _ of client.submitMany(tasks, { signal: aborter.signal }));
      },
      Error,
      "enough",
    );
    let started = 0;
    await nextOf(events, ({ event }) => event === "started" && ++started === 2);
    aborter.abort(new Error("enough"));
    await run;
    assertEquals(
      (await Promise.all(["a", "b"].map((id) => client.wait(id)))).map((t) => t.status),
      [
        "cancelled",
        "cancelled",
      ],
    );
    await events.return();
  });
});

Deno.test("aborting a call by name cancels its task; aborting a wait leaves it alone", async () => {
  await withClient(async (client) => {
    const events = client.watch();
    const called = new AbortController();
    const run = assertRejects(
      () => client.sleep({ ms: 60_000 }, { id: "called", signal: called.signal }),
      Error,
      "not wanted",
    );
    await nextOf(events, ({ event, task_id }) => event === "started" && task_id === "called");
    const waited = new AbortController();
    const wait = assertRejects(
      () => client.wait("called", { signal: waited.signal }),
      Error,
      "late",
    );
    waited.abort(new Error("late"));
    await wait;
    assertEquals((await client.get("called")).status, "running");
    called.abort(new Error("not wanted"));
    await run;
    assertEquals((await client.wait("called")).status, "cancelled");
    await events.return();
  });
});

Deno.test("a call that is aborted before it begins sends nothing", async () => {
  await withClient(async (client, server) => {
    const signal = AbortSignal.abort(new Error("before"));
    for (
      const call of [
        () => client.square({ n: 1 }, { signal }),
        () => client.submit("square", { n: 1 }, { signal }),
        () => client.get("a", { signal }),
        () => client.wait("a", { signal }),
        () => client.cancel("a", { signal }),
        () => client.stats({ signal }),
        () => client.submitMany([], { signal }).next(),
        () => client.watch({ signal }).next(),
        () => connect(server.address, { signal }),
      ]
    ) await assertRejects(call, Error, "before");
    assertEquals((await client.stats()).totals.submitted, 0);
  });
});

Deno.test("watch yields the life of a task, and stops when the loop is left", async () => {
  await withClient(async (client) => {
    const told: string[] = [];
    const events = client.watch({ op: "square" });
    await client.square({ n: 2 });
    for await (const { event } of events) {
      told.push(event);
      if (event === "completed") break;
    }
    assertEquals(told.sort(), ["completed", "queued", "started"]);
    assertEquals(await events.next(), { done: true, value: undefined });
    // All sixteen that a connection may have are free again.
    for (let i = 0; i < 20; i++) await client.watch().return();
  });
});

Deno.test("a cancelled task rejects with TaskEndedError, and a wrong inFlight with the right range", async () => {
  await withClient(async (client) => {
    const task = await client.submit("sleep", { ms: 60_000 });
    await client.cancel(task.id);
    await assertRejects(() => task.result, TaskEndedError);
    await assertRejects(
      () => client.submitMany([], { inFlight: 0 }).next(),
      ClientError,
      "inFlight is a number from 1; this is 0",
    );
  });
});

Deno.test("the library itself refuses a message that a server would not read, and goes on", async () => {
  await using server = await TestServer.start({ workers: 1 });
  await using client = await connect(server.address);
  const nested = (levels: number) => JSON.parse("[".repeat(levels) + "]".repeat(levels)) as unknown;
  const tooDeep = await assertRejects(() => client.echo({ data: nested(64) }), SdError, "nested");
  assertEquals(tooDeep.code, "bad_json");
  const tooBig = await assertRejects(() => client.echo({ data: [2 ** 53] }), SdError, "rounded");
  assertEquals(tooBig.code, "bad_request");
  assertEquals(await client.echo({ data: nested(63) }), nested(63));
  const ends: string[] = [];
  const tasks = [64, 1, 64].map((levels) => ({ op: "echo", args: { data: nested(levels) } }));
  for await (const end of client.submitMany(tasks)) ends.push(end.status);
  assertEquals(ends.sort(), ["completed", "refused", "refused"]);
});

Deno.test("the refusal of any bad line carries its ref", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  assertEquals((await client.ask({ cmd: "ping" })).pong, true);
  const deep = "[".repeat(64) + "]".repeat(64);
  const bad = [
    `{"op":"echo","data":${deep},"ref":"r"}`,
    `{"ref":"r","op":"echo","data":${deep}`,
    '{"ref":"r","op":"square","n":9007199254740993}',
    '{"ref":"r","op":"square","n":1e400}',
    '{"ref":"r","op":"square","op":7}',
    '{"ref":"r","op":"nobody has this"}',
    '{"ref":"r","op":"square","cmd":"ping"}',
    '{"ref":"r","task":{"priority":"high"},"op":"square"}',
    '{"ref":"r"',
    '{"ref":"r","x":"\u0001"}',
    '{"ref":"r"} {"ref":"s"}',
  ];
  for (const line of bad) {
    await client.send(`${line}\n`);
    const reply = await client.object();
    assert(reply.error, line);
    assertEquals(reply.ref, "r", line);
  }
  const spoiled = new TextEncoder().encode('{"op":"echo","data":"?","ref":"r"}\n');
  spoiled[spoiled.indexOf(63)] = 0xff;
  await client.send(spoiled);
  assertEquals((await client.object()).ref, "r");
});

Deno.test("a repeated submit of an ended id gets an acknowledgement with its final status", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const ended: [line: object, told: object][] = [
    [{ op: "square", n: 7, task: { id: "a" } }, { status: "completed", result: 49 }],
    [{ op: "square", n: "x", task: { id: "b" } }, { status: "failed" }],
    [{ op: "square", n: 1, task: { id: "c", delay: 600_000 } }, { status: "cancelled" }],
  ];
  for (const [line, told] of ended) {
    using client = await server.connect();
    const { task_id, ack } = await client.ask({ ...line, ref: 1 });
    assertEquals(ack, undefined);
    if (task_id === "c") await client.ask({ cmd: "cancel", task_id });
    else await client.object();
    using other = await server.connect();
    const first = await other.ask({ ...line, ref: 2 });
    const second = await other.object();
    assertEquals(first.ack, true);
    assertEquals({ ...first, ...told }, first);
    const { ack: _ack, ...rest } = first;
    assertEquals(rest, second);
    // One line, and it says which it is.
    const task = { ...(line as { task: object }).task, wait: false };
    const only = await other.ask({ ...line, task, ref: 3 });
    assertEquals({ ...only, ref: 2 }, first);
  }
});
