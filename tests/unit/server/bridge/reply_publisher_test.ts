/** Ends on their way out: each at least once, in order, and no address holds up another. */

import { assertEquals } from "@std/assert";
import type { MessageLink, Reply, ReplyFate } from "../../../../server/bridge/message.ts";
import { readRoute, ReplyPublisher, routeText } from "../../../../server/bridge/reply_publisher.ts";
import { MemoryOutbox } from "../../../../server/engine/outbox.ts";
import type { FinishedTask } from "../../../../server/task/task_events.ts";
import { until } from "../../../kit/until.ts";

const silent = { info() {}, warn() {}, error() {}, bug() {} };

function end(id: string, to: string, by = "me"): FinishedTask {
  return {
    id,
    op: "square",
    status: "cancelled",
    attempt: 0,
    result: undefined,
    error: undefined,
    route: routeText(by, { to }),
  };
}

/** A connection whose server answers as the test says. */
class FakeLink implements MessageLink {
  readonly #lost = Promise.withResolvers<string>();
  readonly lost = this.#lost.promise;
  readonly sent: string[] = [];
  readonly refusing = new Set<string>();

  pause(): void {}
  resume(): void {}

  publish(replies: readonly Reply[]): Promise<ReplyFate[]> {
    return Promise.resolve(replies.map(({ route, body }) => {
      const to = readRoute(route).to!;
      if (this.refusing.has(to)) return "refused";
      this.sent.push(`${to} ${JSON.parse(body).task_id}`);
      return to === "nowhere" ? "nowhere" : "sent";
    }));
  }

  lose(): void {
    this.#lost.resolve("cut");
  }

  close(): Promise<void> {
    this.lose();
    return Promise.resolve();
  }
}

function stage() {
  const outbox = new MemoryOutbox();
  const counts = { taken: 0, rejected: 0, replied: 0, dropped: 0 };
  const publisher = new ReplyPublisher({ outbox, name: "me", counts, log: silent });
  publisher.start();
  return { outbox, counts, publisher };
}

Deno.test("ends wait for a connection, go in their order, and leave the outbox once they are sent", async () => {
  const { outbox, counts, publisher } = stage();
  outbox.add([end("a", "q"), end("b", "q")]);
  const link = new FakeLink();
  publisher.attach(link);
  outbox.add([end("c", "nowhere"), end("d", "q")]);
  outbox.add([end("e", "q", "another intake")]);
  await until("all are sent", () => link.sent.length === 4);
  await publisher.idle();
  assertEquals(link.sent, ["q a", "q b", "nowhere c", "q d"]);
  assertEquals([counts.replied, counts.dropped], [3, 1]);
  assertEquals((await outbox.read(0, 10)).map(({ body }) => JSON.parse(body).task_id), ["e"]);
  publisher.close();
});

Deno.test("an address that takes nothing waits alone, and in its order", async () => {
  const { outbox, publisher } = stage();
  const link = new FakeLink();
  link.refusing.add("full");
  publisher.attach(link);
  outbox.add([end("a", "full"), end("b", "q")]);
  await until("the other is sent", () => link.sent.length === 1);
  outbox.add([end("c", "full"), end("d", "q")]);
  await until("the other is sent", () => link.sent.length === 2);
  link.refusing.clear();
  await until("all are sent", () => link.sent.length === 4);
  assertEquals(link.sent, ["q b", "q d", "full a", "full c"]);
  publisher.close();
});

Deno.test("an end whose connection is lost is published over the next one", async () => {
  const { outbox, publisher } = stage();
  const first = new FakeLink();
  first.publish = () => Promise.reject(new Error("cut"));
  publisher.attach(first);
  outbox.add([end("a", "q")]);
  const extra = publisher.send(routeText("me", { to: "q" }), '{"task_id":"x"}');
  first.lose();
  await publisher.idle();
  const second = new FakeLink();
  publisher.attach(second);
  await extra;
  await until("both are sent", () => second.sent.length === 2);
  publisher.close();
});

Deno.test("an end that was left behind goes out, also if its next try comes while others are published", async () => {
  const { outbox, publisher } = stage();
  const link = new FakeLink();
  link.refusing.add("full");
  publisher.attach(link);
  outbox.add([end("a", "full"), end("b", "q")]);
  await until("the other is sent", () => link.sent.length === 1);
  const publish = link.publish.bind(link);
  const asked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  link.publish = async (replies) => {
    asked.resolve();
    await gate.promise;
    return await publish(replies);
  };
  outbox.add([end("c", "q")]);
  await asked.promise;
  link.refusing.clear();
  publisher.attach(link);
  gate.resolve();
  await until("all are sent", () => link.sent.length === 3);
  assertEquals(link.sent, ["q b", "q c", "full a"]);
  assertEquals(await outbox.read(0, 10), []);
  publisher.close();
});

Deno.test("an end does not wait for the confirms of those before it", async () => {
  const { outbox, counts, publisher } = stage();
  const link = new FakeLink();
  const confirm = Promise.withResolvers<void>();
  const publish = link.publish.bind(link);
  link.publish = async (replies) => {
    const fates = await publish(replies);
    await confirm.promise;
    return fates;
  };
  publisher.attach(link);
  outbox.add([end("a", "q")]);
  await until("the first is sent", () => link.sent.length === 1);
  outbox.add([end("b", "q")]);
  await until("the second is sent", () => link.sent.length === 2);
  confirm.resolve();
  await publisher.idle();
  assertEquals([link.sent, counts.replied], [["q a", "q b"], 2]);
  assertEquals(await outbox.read(0, 10), []);
  publisher.close();
});
