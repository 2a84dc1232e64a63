/** A client of RabbitMQ in a test: it sends tasks, and keeps what comes to its reply queue, by correlation id. */

import { Buffer } from "node:buffer";
import amqp, { type ChannelModel, type ConfirmChannel, type Options } from "amqplib";
import { until } from "../kit/until.ts";

export interface AmqpReply {
  readonly body: string;
  readonly messageId: string;
  readonly isPersistent: boolean;
}

export interface AmqpTask extends Options.Publish {
  readonly body: string | Uint8Array;
}

export class RabbitClient implements AsyncDisposable {
  /** What came, by correlation id, in the order in which it came. */
  readonly replies = new Map<string, AmqpReply[]>();
  readonly #connection: ChannelModel;
  readonly channel: ConfirmChannel;
  replyQueue = "";

  private constructor(connection: ChannelModel, channel: ConfirmChannel) {
    this.#connection = connection;
    this.channel = channel;
  }

  /** Connects. Its reply queue is `replyQueue`, which outlives it; default: one that goes with it. */
  static async connect(url: string, replyQueue?: string): Promise<RabbitClient> {
    const connection = await amqp.connect(url);
    connection.on("error", () => {});
    const channel = await connection.createConfirmChannel();
    channel.on("error", () => {});
    const client = new RabbitClient(connection, channel);
    if (replyQueue?.startsWith("amq.")) {
      client.replyQueue = replyQueue;
    } else {
      const options = replyQueue === undefined
        ? { exclusive: true }
        : { durable: true, arguments: { "x-queue-type": "quorum" } };
      client.replyQueue = (await channel.assertQueue(replyQueue ?? "", options)).queue;
    }
    return client;
  }

  /** Begins to keep replies. */
  async listen(): Promise<void> {
    await this.channel.consume(this.replyQueue, (message) => {
      if (!message) return;
      const { correlationId, messageId, deliveryMode } = message.properties;
      const all = this.replies.get(correlationId) ?? [];
      all.push({
        body: message.content.toString(),
        messageId,
        isPersistent: deliveryMode === 2,
      });
      this.replies.set(correlationId, all);
    }, { noAck: true });
  }

  /** Sends messages to a queue; resolves once the server has them. */
  async send(queue: string, tasks: readonly AmqpTask[]): Promise<void> {
    for (const { body, ...options } of tasks) {
      this.channel.sendToQueue(queue, Buffer.from(body), { persistent: true, ...options });
    }
    await this.channel.waitForConfirms();
  }

  /** Resolves with the parsed body of the first reply to this correlation id. */
  // deno-lint-ignore no-explicit-any
  async reply(id: string): Promise<any> {
    return JSON.parse(await until(`a reply to ${id}`, () => this.replies.get(id)?.[0]?.body));
  }

  /** Resolves with every message of a queue, which is taken out, once there are `count` of them. */
  async drain(queue: string, count: number) {
    const found: { headers: Record<string, string>; body: string; id: string }[] = [];
    await until(`${count} messages in ${queue}`, async () => {
      const message = await this.channel.get(queue, { noAck: true });
      if (!message) return found.length >= count;
      const { headers = {}, messageId } = message.properties;
      found.push({ headers, body: message.content.toString("latin1"), id: messageId });
      return false;
    });
    return found;
  }

  /** Messages in a queue that are not delivered. */
  async depth(queue: string): Promise<number> {
    return (await this.channel.checkQueue(queue)).messageCount;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close().catch(() => {});
  }
}

/** Square tasks with given ids, and a reply each. */
export function squares(count: number, { prefix = "t", replyTo = "" } = {}): AmqpTask[] {
  return Array.from({ length: count }, (_, n) => ({
    body: JSON.stringify({ op: "square", n }),
    messageId: `${prefix}-${n}`,
    correlationId: `${prefix}-${n}`,
    replyTo,
  }));
}
