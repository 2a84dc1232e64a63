/** The URLs of `--intake`: what they mean, and that no password of them is shown. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { ClientError } from "../../../../net/client_error.ts";
import { readIntakes } from "../../../../server/bridge/intake_url.ts";

const read = (url: string, variable?: string) =>
  readIntakes([url], { variable, file: undefined })[0]!;

Deno.test("a URL names the message server, the queue, and what has a default", () => {
  const plain = read("amqp://localhost?queue=q");
  assertEquals([plain.port, plain.vhost, plain.prefetch, plain.dead], [5672, "/", 1000, "q.dead"]);
  const all = read("amqps://u%40x:p%3Aw@[::1]:99/my%2Fhost?queue=a.b&prefetch=7&dead=d");
  assertEquals([all.hostname, all.port, all.isTls], ["::1", 99, true]);
  assertEquals([all.username, all.password, all.vhost], ["u@x", "p:w", "my/host"]);
  assertEquals([all.source, all.prefetch, all.dead, all.name], [
    "a.b",
    7,
    "d",
    "amqp:my/host/a.b",
  ]);
  const stream = read("nats://h?stream=S&subject=tasks.*&consumer=c&synced=yes");
  assertEquals([stream.kind, stream.source, stream.subject, stream.consumer, stream.dead], [
    "nats",
    "S",
    "tasks.*",
    "c",
    "dead.S",
  ]);
  assertEquals([stream.isSynced, read("nats://h?stream=S").isSynced], [true, false]);
});

Deno.test("the shown URL and every error are without the password", async () => {
  const secret = "open-sesame";
  const { shown, password } = read(`amqp://user:${secret}@host/v?queue=q`);
  assertEquals([password, shown], [secret, "amqp://host/v?queue=q"]);
  for (
    const url of [
      `amqp://user:${secret}@host/v`,
      `amqp://user:${secret}@host/v?queue=q&qeue=1`,
      `amqp://user:${secret}@host/v?queue=q&prefetch=x`,
      `amqp://user:${secret}@host/v?queue=a b`,
      `http://user:${secret}@host/?queue=q`,
      `amqp://user:${secret}@:0:0/?queue=q`,
      `nats://user:${secret}@host?stream=a.b`,
      `amqp://user:${secret}%ZZ@host/v?queue=q`,
      `amqp://user:12/${secret}@host/v?queue=q`,
      `amqp://user:12?${secret}@host/v?queue=q`,
      `amqp://user:12?queue=q#${secret}@host/v`,
    ]
  ) {
    const error = assertThrows(() => read(url), ClientError);
    assert(!error.message.includes(secret) && !error.hint?.includes(secret), error.message);
  }
  assertEquals(read("amqp://user@host?queue=q", secret).password, secret);
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, `${secret}\n`);
    const [one] = readIntakes(["nats://u@h?stream=S"], { variable: undefined, file });
    assertEquals(one!.password, secret);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("two intakes cannot be the same queue", () => {
  assertThrows(
    () => readIntakes(["amqp://a?queue=q", "amqp://b?queue=q"]),
    ClientError,
    "twice",
  );
  assertEquals(readIntakes(["amqp://a?queue=q", "amqp://a/v?queue=q"]).length, 2);
});
