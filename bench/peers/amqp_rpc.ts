/**
 * The RPC of RabbitMQ's own tutorial, with durable queues: `deno run -A bench/peers/amqp_rpc.ts --url amqp://…`. Persistent
 * requests go to a quorum queue with confirms, a worker process consumes them, and sends persistent replies with confirms to
 * the queue that `reply_to` names.
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

const { url: given, _: [mode] } = parseArgs(Deno.args, { string: ["url"] });
if (!given) throw new Error("name the server: --url amqp://…");
const url = String(given);
const connection = await connect(url);
const channel = await connection.createConfirmChannel();
await channel.assertQueue(REQUESTS, QUORUM);
await channel.assertQueue(REPLIES, QUORUM);
await channel.prefetch(PREFETCH);

function send(queue: string, correlationId: string, body: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.sendToQueue(
      queue,
      Buffer.from(JSON.stringify(body)),
      { persistent: true, correlationId, replyTo: REPLIES },
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
await channel.purgeQueue(REQUESTS);
await channel.purgeQueue(REPLIES);
await channel.consume(REPLIES, (message) => {
  if (!message) return;
  peer.ended(message.properties.correlationId ?? "", JSON.parse(textOf(message.content)));
  channel.ack(message);
});
using _worker = startWorker(import.meta.filename!, ["--url", url]);
await new Promise((resolve) => setTimeout(resolve, 2000));
await peer.run({
  peer: "RabbitMQ RPC, persistent",
  batch: BATCH,
  send: (ids, ns) => Promise.all(ids.map((id, i) => send(REQUESTS, id, { n: ns[i] }))),
});
_worker[Symbol.dispose]();
Deno.exit(0);
