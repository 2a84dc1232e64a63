/**
 * The RPC of RabbitMQ's own tutorial, with durable queues: `deno run -A bench/peers/amqp_rpc.ts --url amqp://…`. Persistent
 * requests go to a quorum queue with confirms, a worker process consumes them, and sends persistent replies with confirms to
 * the queue that `reply_to` names. With `--sd QUEUE` the requests are tasks for an sd that takes them from that queue.
 */

import { parseArgs } from "@std/cli/parse-args";
import { connect } from "amqplib";
import { Buffer } from "node:buffer";
import { Peer, startWorker } from "./rpc.ts";

const REQUESTS = "bench.squares";
const REPLIES = "bench.squares.replies";
const BATCH = 200;
const PREFETCH = 1000;
const QUORUM = { durable: true, arguments: { "x-queue-type": "quorum" } };

const { url: given, sd, _: [mode] } = parseArgs(Deno.args, { string: ["url", "sd"] });
if (!given) throw new Error("name the server: --url amqp://…");
const url = String(given);
const connection = await connect(url);
const channel = await connection.createConfirmChannel();
await channel.assertQueue(REPLIES, QUORUM);
await channel.prefetch(PREFETCH);

const requests = sd ? String(sd) : REQUESTS;
if (!sd) await channel.assertQueue(REQUESTS, QUORUM);

function send(queue: string, correlationId: string, body: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.sendToQueue(
      queue,
      Buffer.from(JSON.stringify(body)),
      { persistent: true, correlationId, messageId: correlationId, replyTo: REPLIES },
      (error: unknown) => error ? reject(error) : resolve(),
    );
  });
}

const textOf = (body: Uint8Array) => new TextDecoder().decode(body);

if (mode === "worker") {
  await channel.consume(REQUESTS, async (message) => {
    if (!message) return;
    const { replyTo, correlationId } = message.properties;
    const { n } = JSON.parse(textOf(message.content)) as { n: number };
    await send(replyTo ?? "", correlationId ?? "", n * n);
    channel.ack(message);
  });
  await new Promise(() => {});
}

const peer = new Peer();
await channel.purgeQueue(REPLIES);
await channel.consume(REPLIES, (message) => {
  if (!message) return;
  const reply = JSON.parse(textOf(message.content));
  peer.ended(message.properties.correlationId ?? "", sd ? reply.result : reply);
  channel.ack(message);
});
using _worker = sd ? undefined : startWorker(import.meta.filename!, ["--url", url]);
await new Promise((resolve) => setTimeout(resolve, 2000));
await peer.run({
  peer: sd ? "sd behind RabbitMQ" : "RabbitMQ RPC, persistent",
  batch: BATCH,
  send: (ids, ns) =>
    Promise.all(ids.map((id, i) => send(requests, id, { op: "square", n: ns[i] }))),
});
_worker?.[Symbol.dispose]();
Deno.exit(0);
