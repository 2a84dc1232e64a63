/**
 * Sends tasks to sd through RabbitMQ, and prints their results.
 *
 * Needs amqplib: npm install amqplib. sd must run with
 *     sd serve --intake 'amqp://guest@127.0.0.1/?queue=sd.tasks'
 *
 * usage: node producer.mjs [COUNT] [URL] [QUEUE]
 */

import amqp from "amqplib";
import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import process from "node:process";

const [, , count = "5", url = "amqp://guest:guest@127.0.0.1/", queue = "sd.tasks"] = process.argv;

const connection = await amqp.connect(url);
const channel = await connection.createConfirmChannel();
const { queue: replyTo } = await channel.assertQueue("", { exclusive: true });

/** The number of each task that has no reply yet, by id. */
const waiting = new Map();
const done = new Promise((resolve) => {
  channel.consume(replyTo, ({ properties, content }) => {
    const n = waiting.get(properties.correlationId);
    // The reply came before: each comes at least once.
    if (!waiting.delete(properties.correlationId)) return;
    const end = JSON.parse(content.toString());
    if (end.status === "completed") process.stdout.write(`${n} -> ${end.result}\n`);
    else process.stdout.write(`${n}: ${end.status} ${JSON.stringify(end.error)}\n`);
    if (waiting.size === 0) resolve();
  }, { noAck: true });
});

for (let n = 0; n < Number(count); n++) {
  // The id of the task: send a message again under the same id and it still runs once.
  const messageId = `node-${randomUUID()}`;
  waiting.set(messageId, n);
  channel.sendToQueue(queue, Buffer.from(JSON.stringify({ op: "square", n })), {
    messageId,
    replyTo,
    correlationId: messageId,
    contentType: "application/json",
    persistent: true,
  });
}
// RabbitMQ has all of them.
await channel.waitForConfirms();
await done;
await connection.close();
