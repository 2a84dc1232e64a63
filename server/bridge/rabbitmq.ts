/**
 * RabbitMQ as a message server: tasks from a quorum queue, ends to the queues in `reply_to`. It consumes on one connection and
 * publishes on another, since RabbitMQ reads nothing from a connection that publishes while its memory or disk is short, not even
 * acknowledgements.
 */

import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers";
import type {
  Channel,
  ChannelModel,
  ConfirmChannel,
  ConsumeMessage,
  Message,
  Options,
} from "amqplib";
import type { SdError } from "../../protocol/errors.ts";
import type { Log } from "../log.ts";
import type { IntakeUrl } from "./intake_url.ts";
import {
  DEAD_RETRY_MS,
  type Delivery,
  MAX_REASON_CHARS,
  type MessageLink,
  type MessageServer,
  reasonOf,
  type Reply,
  type ReplyFate,
} from "./message.ts";
import { connectTo, declareIn, endConnection, openChannelOf } from "./rabbitmq_setup.ts";
import { readRoute, routeText } from "./reply_publisher.ts";

/** Longest property, and longest name of a header, in bytes. */
const MAX_SHORT_BYTES = 255;
/** Most bytes of headers that a refused message keeps. The library has room for 64 KiB, with the headers of sd. */
const MAX_HEADER_BYTES = 48 * 1024;
const MAX_HEADER_DEPTH = 4;
/** The library takes a larger number for an integer. */
const MAX_DOUBLE = 2 ** 50;
/**
 * Addresses of clients that take replies without a queue. RabbitMQ passes such a reply on and also returns it as without
 * a route, so the return says nothing.
 */
const DIRECT = "amq.rabbitmq.reply-to.";
/** The number of a refused message on its connection, by which its return is known; replies are known by their key. */
const NUMBER_HEADER = "x-sd-n";

export function rabbitmq(url: IntakeUrl, log: Log): MessageServer {
  return {
    async open(deliver) {
      const consuming = await connectTo(url, "intake");
      let publishing: ChannelModel | undefined;
      try {
        publishing = await connectTo(url, "replies");
        await declareIn(consuming, url, log);
        const link = new RabbitLink({ url, log, consuming, publishing });
        await link.start(deliver);
        return link;
      } catch (error) {
        await Promise.all([endConnection(consuming), publishing && endConnection(publishing)]);
        throw error;
      }
    },
  };
}

interface RabbitLinkOptions {
  readonly url: IntakeUrl;
  readonly log: Log;
  readonly consuming: ChannelModel;
  readonly publishing: ChannelModel;
}

/** A message to publish. `key` is how its return names it. */
interface Outgoing {
  readonly exchange: string;
  readonly routingKey: string;
  readonly key: string;
  readonly content: Buffer;
  readonly options: Options.Publish;
}

class RabbitLink implements MessageLink {
  readonly lost: Promise<string>;
  readonly #options: RabbitLinkOptions;
  readonly #lose: (reason: string) => void;
  #isOpen = true;
  #in!: Channel;
  #out!: ConfirmChannel;
  #deliver: (delivery: Delivery) => void = () => {};
  /** Set while it consumes. */
  #consumerTag: string | undefined;
  #isWanted = true;
  /** Changes of the consumer, one after the other. */
  #turn: Promise<void> = Promise.resolve();
  /** Delivery tags that are not acknowledged, in the order of their delivery. */
  readonly #open = new Set<number>();
  #settled: number[] = [];
  /** Ends the waits for confirms. */
  readonly #unconfirmed = new Set<(reason: Error) => void>();
  /** Keys of messages that came back since they have no route. RabbitMQ returns a message before it confirms it. */
  readonly #returned = new Set<string>();
  #deadCount = 0;
  readonly #deadTimers = new Set<ReturnType<typeof setTimeout>>();
  #saidDead = false;

  constructor(options: RabbitLinkOptions) {
    this.#options = options;
    const lost = Promise.withResolvers<string>();
    this.lost = lost.promise;
    this.#lose = (reason) => {
      this.#isOpen = false;
      lost.resolve(reason);
      for (const reject of this.#unconfirmed) reject(new Error(reason));
      this.#unconfirmed.clear();
    };
  }

  async start(deliver: (delivery: Delivery) => void): Promise<void> {
    const { consuming, publishing, url } = this.#options;
    this.#deliver = deliver;
    for (const connection of [consuming, publishing]) {
      connection.on(
        "close",
        (error?: Error) => this.#lose(error ? reasonOf(error) : "the connection was closed"),
      );
    }
    this.#in = await openChannelOf(consuming);
    this.#out = await publishing.createConfirmChannel();
    for (const channel of [this.#in, this.#out]) {
      channel.on("error", (error) => this.#lose(reasonOf(error)));
      // If its connection has ended, the connection has the reason.
      channel.on("close", () => setImmediate(() => this.#lose("the channel was closed")));
    }
    this.#out.on("return", ({ properties }) => {
      this.#returned.add(properties.headers?.[NUMBER_HEADER] ?? properties.messageId);
    });
    await this.#in.prefetch(url.prefetch);
    await this.#consume();
  }

  pause(): void {
    this.#isWanted = false;
    this.#adjust();
  }

  resume(): void {
    this.#isWanted = true;
    this.#adjust();
  }

  publish(replies: readonly Reply[]): Promise<ReplyFate[]> {
    return this.#send(replies.map(({ route, body, key }) => {
      const { to = "", id } = readRoute(route);
      const options: Options.Publish = {
        persistent: true,
        mandatory: !to.startsWith(DIRECT),
        contentType: "application/json",
        messageId: key,
        appId: "sd",
        ...(id === undefined || !isShort(id) ? {} : { correlationId: id }),
      };
      return {
        exchange: "",
        routingKey: isShort(to) ? to : "",
        key,
        content: Buffer.from(body),
        options,
      };
    }));
  }

  async close(): Promise<void> {
    this.#lose("the intake has ended");
    for (const timer of this.#deadTimers) clearTimeout(timer);
    this.#deadTimers.clear();
    const { consuming, publishing } = this.#options;
    await Promise.all([endConnection(consuming), endConnection(publishing)]);
  }

  /** Publishes messages; resolves once each is confirmed. One without an address is not sent. */
  #send(messages: readonly Outgoing[]): Promise<ReplyFate[]> {
    return new Promise((resolve, reject) => {
      if (!this.#isOpen) return reject(new Error("the connection is lost"));
      const fates: ReplyFate[] = messages.map(() => "nowhere");
      // One more than there are messages, until all are on their way.
      let open = messages.length + 1;
      const settled = () => {
        if (--open === 0 && this.#unconfirmed.delete(reject)) resolve(fates);
      };
      this.#unconfirmed.add(reject);
      try {
        messages.forEach(({ exchange, routingKey, key, content, options }, i) => {
          if (exchange === "" && routingKey === "") return settled();
          this.#out.publish(exchange, routingKey, content, options, (error: unknown) => {
            const isReturned = this.#returned.delete(key);
            fates[i] = error ? "refused" : isReturned ? "nowhere" : "sent";
            settled();
          });
        });
        settled();
      } catch (error) {
        this.#unconfirmed.delete(reject);
        reject(error);
      }
    });
  }

  #adjust(): void {
    this.#turn = this.#turn.then(async () => {
      if (!this.#isOpen) return;
      if (!this.#isWanted && this.#consumerTag !== undefined) {
        await this.#in.cancel(this.#consumerTag);
        this.#consumerTag = undefined;
      } else if (this.#isWanted && this.#consumerTag === undefined) {
        await this.#consume();
      }
    }).catch((error) => this.#lose(reasonOf(error)));
  }

  async #consume(): Promise<void> {
    const { source } = this.#options.url;
    const take = (message: ConsumeMessage | null) => {
      if (message) this.#took(message);
      else this.#lose(`the queue ${source} was deleted, or RabbitMQ ended the consumer`);
    };
    this.#consumerTag = (await this.#in.consume(source, take)).consumerTag;
  }

  #took(message: ConsumeMessage): void {
    if (!this.#isOpen) return;
    const { fields, properties, content } = message;
    const { url } = this.#options;
    const tag = fields.deliveryTag;
    this.#open.add(tag);
    const { messageId, replyTo, correlationId } = properties;
    this.#deliver({
      id: typeof messageId === "string" && messageId !== "" ? messageId : undefined,
      body: content,
      route: typeof replyTo === "string" && replyTo !== ""
        ? routeText(url.name, {
          to: replyTo,
          ...(typeof correlationId === "string" ? { id: correlationId } : {}),
        })
        : undefined,
      isRepeated: fields.redelivered,
      taken: () => this.#acknowledge(tag),
      refused: (reason) => this.#bury(message, reason),
    });
  }

  /** Puts a refused message aside, then acknowledges it. If that is impossible the message stays, and it is tried again. */
  #bury(message: ConsumeMessage, reason: SdError): void {
    const { url: { dead, name, source }, log } = this.#options;
    const key = `dead-${++this.#deadCount}`;
    const options = deadOptions(message, reason, key);
    const { content } = message;
    this.#send([{ exchange: dead, routingKey: source, key, content, options }]).then(
      ([fate]) => {
        if (fate === "sent") return this.#acknowledge(message.fields.deliveryTag);
        if (!this.#saidDead) {
          log.error(
            "intake",
            `${name}: refused messages cannot be put aside, since the exchange ${dead} has no queue with room; ` +
              "bind a queue to it",
          );
        }
        this.#saidDead = true;
        const timer = setTimeout(() => {
          this.#deadTimers.delete(timer);
          if (this.#isOpen) this.#bury(message, reason);
        }, DEAD_RETRY_MS);
        this.#deadTimers.add(timer);
      },
      () => {/* The connection is lost: the message comes again. */},
    );
  }

  /** Acknowledges with the others of this turn. */
  #acknowledge(tag: number): void {
    if (!this.#isOpen) return;
    if (this.#settled.push(tag) === 1) queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    const settled = this.#settled.sort((a, b) => a - b);
    this.#settled = [];
    if (!this.#isOpen) return;
    for (const tag of settled) this.#open.delete(tag);
    const [firstOpen = Infinity] = this.#open;
    const count = settled.findIndex((tag) => tag > firstOpen);
    const together = count < 0 ? settled.length : count;
    try {
      // One acknowledgement for all before the first that is still open.
      if (together > 0) this.#in.ack(messageOf(settled[together - 1]!), true);
      for (const tag of settled.slice(together)) this.#in.ack(messageOf(tag));
    } catch (error) {
      this.#lose(reasonOf(error));
    }
  }
}

/** As much of a message as an acknowledgement needs. */
function messageOf(deliveryTag: number): Message {
  return { fields: { deliveryTag } } as unknown as Message;
}

/**
 * The properties of a refused message in its new place. Left out is what RabbitMQ would act on: another user's id, a time after
 * which it is dropped, and headers that send copies elsewhere. So is what the library can read and not write again.
 */
function deadOptions(
  { properties, fields }: ConsumeMessage,
  reason: SdError,
  key: string,
): Options.Publish {
  const { contentType, contentEncoding, correlationId, replyTo, messageId, type, appId } =
    properties;
  const kept = { contentType, contentEncoding, correlationId, replyTo, messageId, type, appId };
  return {
    ...Object.fromEntries(Object.entries(kept).filter(([, value]) => isShort(value))),
    persistent: true,
    mandatory: true,
    headers: {
      ...writableHeaders(properties.headers ?? {}),
      [NUMBER_HEADER]: key,
      "x-sd-code": reason.code,
      "x-sd-reason": reason.message.slice(0, MAX_REASON_CHARS),
      "x-sd-queue": fields.routingKey,
    },
  };
}

/** Whether it is a text that fits into a property. Text that was not UTF-8 is longer here than in its message. */
function isShort(value: unknown): value is string {
  return typeof value === "string" && Buffer.byteLength(value) <= MAX_SHORT_BYTES;
}

/** The headers that the library can write, in their order, as many as there is room for. */
function writableHeaders(headers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  let room = MAX_HEADER_BYTES;
  for (const [name, value] of Object.entries(headers)) {
    const bytes = name === "CC" || name === "BCC" ? Infinity : memberBytes(name, value, 0);
    if (bytes > room) continue;
    room -= bytes;
    kept[name] = value;
  }
  return kept;
}

function memberBytes(name: string, value: unknown, depth: number): number {
  return isShort(name) ? 1 + Buffer.byteLength(name) + valueBytes(value, depth) : Infinity;
}

/** The most bytes that the library needs for a value of a header; `Infinity` if it may not be able to write it. */
function valueBytes(value: unknown, depth: number): number {
  if (typeof value === "string") return 5 + Buffer.byteLength(value);
  if (typeof value === "number") {
    return Number.isSafeInteger(value) || Math.abs(value) < MAX_DOUBLE ? 9 : Infinity;
  }
  if (typeof value === "boolean" || value === null) return 2;
  if (typeof value !== "object" || depth >= MAX_HEADER_DEPTH) return Infinity;
  if (Buffer.isBuffer(value)) return 5 + value.length;
  if (Array.isArray(value)) {
    return value.reduce((sum: number, one) => sum + valueBytes(one, depth + 1), 5);
  }
  // The library marks a type by this member; in a message it can stand for anything.
  if (Object.hasOwn(value, "!")) return isTime(value) ? 9 : Infinity;
  return Object.entries(value)
    .reduce((sum, [name, one]) => sum + memberBytes(name, one, depth + 1), 5);
}

/** Whether it is a time, as RabbitMQ puts into `x-death`. */
function isTime(value: { "!"?: unknown; value?: unknown }): boolean {
  return value["!"] === "timestamp" && Number.isSafeInteger(value.value) &&
    (value.value as number) >= 0;
}
