/** Clients with costly requests: other clients are served in between, by both engines. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { SdError } from "../../protocol/errors.ts";
import type { EndedSink } from "../../server/engine/engine.ts";
import { openEngine } from "../../server/engine/open.ts";
import { DEFAULT_LIMITS } from "../../server/limits.ts";
import { PublishedEvent, type Watcher, Watchers } from "../../server/task/watchers.ts";
import { CommandState } from "../../server/tcp/client/commands.ts";
import { systemClock } from "../../server/clock.ts";
import type { RawClient } from "../kit/raw_client.ts";
import { TestServer } from "../kit/test_server.ts";

const RECORDS = 20_000;
/** Requests that a greedy client repeats; each looks at thousands of tasks. */
const QUESTIONS = (ids: readonly string[]): Record<string, object> => ({
  "lists that find nothing": { cmd: "list", key: "nobody" },
  "exports that find nothing": { cmd: "export", op: "nobody" },
  "long lists": { cmd: "list", limit: 1000 },
  "reasons": { cmd: "why", task_id: ids[0] },
  "cancels of many": { cmd: "cancel", task_ids: ids },
});

async function submit(client: RawClient, count: number, task: object): Promise<string[]> {
  const ids: string[] = [];
  for (let done = 0; done < count;) {
    const some = Math.min(2000, count - done);
    await client.send(`${JSON.stringify(task)}\n`.repeat(some));
    for (let i = 0; i < some; i++) ids.push((await client.object()).task_id);
    done += some;
  }
  return ids;
}

for (const kind of ["memory", "sqlite"] as const) {
  Deno.test(`what a greedy client asks of ${kind} is answered behind what others submit`, async (t) => {
    const folder = Deno.makeTempDirSync();
    const url = kind === "memory" ? "memory:" : `sqlite:${folder}/sd.db`;
    const engine = (ended: EndedSink) => openEngine(url, { ...DEFAULT_LIMITS, ended });
    try {
      await using server = await TestServer.start({ workers: 1, engine });
      using filler = await server.connect();
      const held = { delay: 600_000, wait: false };
      const ids = await submit(filler, RECORDS, { op: "square", n: 2, task: held });
      for (const [what, question] of Object.entries(QUESTIONS(ids.slice(-1000)))) {
        await t.step(what, async () => {
          using greedy = await server.connect();
          using good = await server.connect();
          // A thousand cancels in each are long enough.
          const asked = "task_ids" in question ? 60 : 150;
          let answered = 0;
          await greedy.send(`${JSON.stringify(question)}\n`.repeat(asked));
          const reading = (async () => {
            for (; answered < asked; answered++) {
              assert((await greedy.object()).error === undefined);
            }
          })();
          reading.catch(() => undefined);
          // Its end comes while requests are still open: compared by order, not by time.
          assertEquals((await good.ask({ op: "square", n: 3 })).status, "queued");
          assertEquals((await good.object()).result, 9);
          assert(answered < asked, "the good client came last");
          // After it has left, its requests are dropped, and the next client finds the server idle.
          greedy[Symbol.dispose]();
          await reading.catch(() => undefined);
          assertEquals((await good.ask({ cmd: "ping" })).pong, true);
        });
      }
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

for (const kind of ["memory", "sqlite"] as const) {
  Deno.test(`the ${kind} engine reads nothing for a client that has left, and goes on for others`, async () => {
    const folder = Deno.makeTempDirSync();
    const engine = await openEngine(
      kind === "memory" ? "memory:" : `sqlite:${folder}/sd.db`,
      DEFAULT_LIMITS,
    );
    try {
      const gone = { signal: AbortSignal.abort() };
      const there = { signal: new AbortController().signal };
      await assertRejects(() => engine.list({ limit: 1, asker: gone }), SdError);
      const lists = Array.from({ length: 20 }, () => engine.list({ limit: 1, asker: there }));
      for (const { tasks } of await Promise.all(lists)) assertEquals(tasks, []);
      await assertRejects(() => engine.get(["a"], { waitReasonAt: 1, asker: gone }), SdError);
      assertEquals(await engine.get(["a"], { waitReasonAt: 1, asker: there }), [undefined]);
    } finally {
      await engine.close();
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

Deno.test("an event is encoded as JSON once for all watchers", () => {
  const watchers = new Watchers(systemClock);
  const told: PublishedEvent[] = [];
  const watcher = (): Watcher => ({ wants: () => true, take: (event) => void told.push(event) });
  for (let i = 0; i < 3; i++) watchers.add(watcher());
  watchers.publish("queued", { id: "a", op: "square", attempt: 0 });
  assertEquals(told.length, 3);
  assert(told.every((event) => event === told[0]));
  assertEquals(JSON.parse(told[0]!.json).task_id, "a");
});

Deno.test("a watch that is not read ends with an error, and uses nothing after it", async () => {
  const watchers = new Watchers(systemClock);
  const read = Promise.withResolvers<void>();
  const lines: string[] = [];
  const outbox = {
    unread: 0,
    push: (text: string) => {
      lines.push(text);
      outbox.unread += text.length;
    },
    flushed: () => read.promise,
    room: () => Promise.resolve(),
  };
  const state = new CommandState(watchers, outbox, 1000);
  state.openWatch({}, "w");
  const tell = () => watchers.publish("queued", { id: "a", op: "square", attempt: 0 });
  // The outbox takes some events, and the watch buffers some more.
  while (outbox.unread <= 64 * 1024) {
    tell();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const written = lines.length;
  while (state.buffered <= 1024 * 1024) tell();
  for (let i = 0; i < 1000; i++) {
    assert(watchers.any);
    tell();
  }
  assertEquals([watchers.any, lines.length], [false, written]);
  read.resolve();
  await new Promise((resolve) => setTimeout(resolve, 0));
  const end = JSON.parse(lines.at(-1)!);
  // The events of the buffer leave as one text.
  assertEquals([end.error.code, end.ref, lines.length], ["queue_full", "w", written + 2]);
  assertEquals(state.buffered, 0);
});

Deno.test("a watch whose buffer another one has filled reports its losses, and goes on", async () => {
  const watchers = new Watchers(systemClock);
  let read = Promise.withResolvers<void>();
  const lines: string[] = [];
  const outbox = {
    unread: 0,
    push: (text: string) => {
      lines.push(...text.trimEnd().split("\n"));
      outbox.unread += text.length;
    },
    flushed: () => read.promise,
    room: () => Promise.resolve(),
  };
  const state = new CommandState(watchers, outbox);
  state.openWatch({ op: "busy" }, "busy");
  state.openWatch({ op: "calm" }, "calm");
  const tell = (op: string) => watchers.publish("queued", { id: "a", op, attempt: 0 });
  const turn = () => new Promise((resolve) => setTimeout(resolve, 0));
  while (outbox.unread <= 64 * 1024) {
    tell("busy");
    await turn();
  }
  while (state.buffered <= 1024 * 1024) tell("busy");
  for (let i = 0; i < 3; i++) {
    tell("calm");
    await turn();
  }
  const written = lines.length;
  read.resolve();
  read = Promise.withResolvers();
  outbox.unread = 0;
  await turn();
  const calm = () =>
    lines.slice(written).map((line) => JSON.parse(line)).filter(({ ref }) => ref === "calm");
  assertEquals(calm().map(({ event, count }) => [event, count]), [["dropped", 3]]);
  read.resolve();
  outbox.unread = 0;
  await turn();
  tell("calm");
  await turn();
  assertEquals(calm().map(({ event }) => event), ["dropped", "queued"]);
  state.close();
  assertEquals([watchers.any, state.buffered], [false, 0]);
});
