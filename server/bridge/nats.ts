/**
 * NATS JetStream as a message server: tasks from a durable pull consumer of a work-queue stream, ends to the subjects in
 * the header `Reply-To`. A missing stream or consumer is created; one that exists is used as it is.
 *
 * NATS acknowledges a message before it is on its disk, unless the server is set to `sync_interval: always`. The protocol
 * does not show that setting, so the operator confirms it by `&synced=yes`; otherwise the log warns at the start.
 */

import {
  AckPolicy,
  type ConsumerMessages,
  jetstream,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  jetstreamManager,
  type JsMsg,
  RetentionPolicy,
} from "@nats-io/jetstream";
import { connect, headers, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
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
import { readRoute, routeText } from "./reply_publisher.ts";

/** Time that a message may stay here without a sign, in ms; then it is delivered again. */
const ACK_WAIT_MS = 10_000;
/** Time between two signs for messages that wait here, in ms. */
const WORKING_MS = 3000;
/** Time between two pings, in ms: a server that answers none of two is lost. */
const PING_MS = 5000;
const CONNECT_MS = 10_000;
/** Longest wait for the last acknowledgements, in ms. */
const FLUSH_MS = 2000;
/** How long it is known whether a stream takes a subject, in ms, and for how many subjects. */
const FOUND_MS = 60_000;
const MAX_FOUND = 1000;
/** Most messages that a consumer may have here at a time. */
const MAX_PENDING = 10_000;
/** Subjects of clients that wait for a reply, which no stream keeps. */
const INBOX = "_INBOX.";
/** Room for what the library adds to the headers of a message: their frame, and `Nats-Msg-Id`. */
const LIBRARY_BYTES = 512;
/** A header name that can be written. */
const HEADER_NAME = /^[!-9;-~]+$/;
const encoder = new TextEncoder();
const STREAM_NOT_FOUND = 10059;
const CONSUMER_NOT_FOUND = 10014;
/**
 * A subject to which an end may go. A subject that begins with `$` is a command to NATS, and sd may have rights that the
 * sender of a task has not: with an end as its body, `$JS.API.STREAM.PURGE.S` empties the stream S.
 */
const SUBJECT = /^(?!\$)[^\s.*>]+(?:\.[^\s.*>]+)*$/;

/** Whether the warning about the disk was logged, by intake. */
const warned = new Set<string>();

export function nats(url: IntakeUrl, log: Log): MessageServer {
  return {
    async open(deliver) {
      const connection = await connect({
        servers: `${url.hostname.includes(":") ? `[${url.hostname}]` : url.hostname}:${url.port}`,
        name: `sd intake ${url.source}`,
        reconnect: false,
        timeout: CONNECT_MS,
        pingInterval: PING_MS,
        maxPingOut: 2,
        ...(url.isTls ? { tls: {} } : {}),
        ...(url.username === undefined
          ? (url.password === undefined ? {} : { token: url.password })
          : { user: url.username, pass: url.password ?? "" }),
      });
      try {
        const manager = await jetstreamManager(connection);
        await declare(manager, url, log);
        const { created } = await manager.streams.info(url.source);
        const idPrefix = `${url.source.replace(/[^\w.:-]/g, "-")}.${
          Date.parse(created).toString(36)
        }.`;
        const link = new NatsLink({ url, log, connection, manager, idPrefix });
        await link.start(deliver);
        return link;
      } catch (error) {
        await connection.close();
        throw error;
      }
    },
  };
}

/** Makes the stream, the consumer, and the stream of refused messages, if they do not exist. */
async function declare(manager: JetStreamManager, url: IntakeUrl, log: Log): Promise<void> {
  const { source: stream, consumer, subject, dead, prefetch, name } = url;
  if (!await exists(STREAM_NOT_FOUND, () => manager.streams.info(stream))) {
    const subjects = [subject ?? stream];
    await manager.streams.add({ name: stream, subjects, retention: RetentionPolicy.Workqueue });
    log.info("intake", `${name}: created the stream ${stream} for the subject ${subjects[0]}`);
  }
  if (!await exists(STREAM_NOT_FOUND, () => manager.streams.find(dead), /no stream/)) {
    await manager.streams.add({ name: `${stream}_dead`, subjects: [dead] });
    log.info("intake", `${name}: created the stream ${stream}_dead for refused messages`);
  }
  if (!await exists(CONSUMER_NOT_FOUND, () => manager.consumers.info(stream, consumer))) {
    await manager.consumers.add(stream, {
      durable_name: consumer,
      ack_policy: AckPolicy.Explicit,
      ack_wait: ACK_WAIT_MS * 1e6,
      max_deliver: -1,
      max_ack_pending: prefetch,
      ...(subject === undefined ? {} : { filter_subject: subject }),
    });
  }
  const { config } = await manager.consumers.info(stream, consumer);
  if (config.deliver_subject !== undefined || config.ack_policy !== AckPolicy.Explicit) {
    throw new Error(
      `the consumer ${consumer} of ${stream} is no pull consumer with explicit acknowledgements; name another by &consumer=`,
    );
  }
  const pending = config.max_ack_pending ?? 0;
  if (pending < 1 || pending > MAX_PENDING) {
    throw new Error(
      `the consumer ${consumer} of ${stream} has max_ack_pending ${pending}; set it to ${prefetch}, at most to ${MAX_PENDING}`,
    );
  }
  if (url.isSynced || warned.has(name)) return;
  warned.add(name);
  log.warn(
    "intake",
    `${name}: NATS acknowledges messages before they are on its disk, so a power failure there can lose some; ` +
      "set sync_interval: always in its jetstream block, then add &synced=yes to --intake",
  );
}

async function exists(
  missing: number,
  ask: () => Promise<unknown>,
  text?: RegExp,
): Promise<boolean> {
  try {
    await ask();
    return true;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === missing) return false;
    if (text?.test(reasonOf(error))) return false;
    throw error;
  }
}

interface NatsLinkOptions {
  readonly url: IntakeUrl;
  readonly log: Log;
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  /** Before the number of a message without an id: another stream of the same name, made later, has another. */
  readonly idPrefix: string;
}

class NatsLink implements MessageLink {
  readonly lost: Promise<string>;
  readonly #lose: (reason: string) => void;
  readonly #options: NatsLinkOptions;
  readonly #js: JetStreamClient;
  #deliver: (delivery: Delivery) => void = () => {};
  #messages: ConsumerMessages | undefined;
  #isOpen = true;
  #closed: Promise<void> | undefined;
  /** Messages that wait here. */
  readonly #open = new Set<JsMsg>();
  #workingTimer: ReturnType<typeof setInterval> | undefined;
  readonly #deadTimers = new Set<ReturnType<typeof setTimeout>>();
  #saidDead = false;
  /** Whether a stream takes a subject, and until when that is known. */
  readonly #found = new Map<string, { readonly isKept: Promise<boolean>; until: number }>();

  constructor(options: NatsLinkOptions) {
    this.#options = options;
    this.#js = jetstream(options.connection);
    const lost = Promise.withResolvers<string>();
    this.lost = lost.promise;
    this.#lose = (reason) => {
      this.#isOpen = false;
      clearInterval(this.#workingTimer);
      lost.resolve(reason);
    };
  }

  async start(deliver: (delivery: Delivery) => void): Promise<void> {
    this.#deliver = deliver;
    void this.#options.connection.closed().then((error) =>
      this.#lose(error ? reasonOf(error) : "the connection was closed")
    );
    this.#workingTimer = setInterval(() => {
      for (const message of this.#open) message.working();
    }, WORKING_MS);
    await this.#consume();
  }

  /** NATS delivers no more than `max_ack_pending` messages that are not acknowledged, so nothing has to stop. */
  pause(): void {}

  resume(): void {}

  async publish(replies: readonly Reply[]): Promise<ReplyFate[]> {
    const fates = await Promise.all(replies.map((reply) => this.#publish(reply)));
    // A message without a stream has no acknowledgement; the server has it once it has answered a ping.
    await this.#options.connection.flush();
    if (!this.#isOpen) throw new Error("the connection is lost");
    return fates;
  }

  /** A second call waits for the first: once the connection is closed, a flush would wait for ever. */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#lose("the intake has ended");
    for (const timer of this.#deadTimers) clearTimeout(timer);
    this.#deadTimers.clear();
    this.#messages?.stop();
    // Another server takes them at once.
    for (const message of this.#open) message.nak();
    const { connection } = this.#options;
    if (connection.isClosed()) return;
    // Acknowledgements on their way are sent first. A drain would wait for the consumer, which may be ending already.
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, FLUSH_MS);
    await Promise.race([connection.flush().catch(() => {}), late.promise]);
    clearTimeout(timer);
    await connection.close();
  }

  async #publish({ route, body, key }: Reply): Promise<ReplyFate> {
    const { to = "", id } = readRoute(route);
    if (!SUBJECT.test(to)) return "nowhere";
    const sent = headers();
    if (id !== undefined) sent.set("Correlation-Id", id);
    if (encoder.encode(body).length + headerBytes(sent) > this.#most) {
      const { url: { name }, log } = this.#options;
      log.warn("intake", `${name}: an end is larger than max_payload of NATS, and is dropped`);
      return "nowhere";
    }
    if (to.startsWith(INBOX) || !await this.#isKept(to)) {
      this.#options.connection.publish(to, body, { headers: sent });
      return "sent";
    }
    try {
      const taskId = /^{"task_id":"([^"]*)"/.exec(body)?.[1] ?? "";
      await this.#js.publish(to, body, { msgID: `${taskId}:${key}`, headers: sent });
      return "sent";
    } catch (error) {
      if (!this.#isOpen) throw error;
      this.#found.delete(to);
      return "refused";
    }
  }

  /** The most bytes of a message with its headers. */
  get #most(): number {
    return this.#options.connection.info?.max_payload ?? Infinity;
  }

  /** Whether a stream keeps what is published to the subject. */
  /** Whether a stream has the subject. Ends that ask meanwhile share the answer, and so keep their order. */
  #isKept(subject: string): Promise<boolean> {
    const known = this.#found.get(subject);
    if (known && known.until > performance.now()) return known.isKept;
    const { manager } = this.#options;
    const isKept = exists(STREAM_NOT_FOUND, () => manager.streams.find(subject), /no stream/);
    if (this.#found.size >= MAX_FOUND) this.#found.clear();
    const found = { isKept, until: Infinity };
    this.#found.set(subject, found);
    isKept.then(() => found.until = performance.now() + FOUND_MS, () => {
      if (this.#found.get(subject) === found) this.#found.delete(subject);
    });
    return isKept;
  }

  async #consume(): Promise<void> {
    const { source, consumer: name, prefetch } = this.#options.url;
    const consumer = await this.#js.consumers.get(source, name);
    const messages = await consumer.consume({
      max_messages: prefetch,
      abort_on_missing_resource: true,
      callback: (message) => this.#took(message),
    });
    this.#messages = messages;
    void messages.closed().then((error) => {
      this.#lose(error ? reasonOf(error) : `the consumer ${name} of ${source} has ended`);
    });
  }

  #took(message: JsMsg): void {
    if (!this.#isOpen) return;
    const { url, idPrefix } = this.#options;
    this.#open.add(message);
    const own = message.headers;
    const to = own?.get("Reply-To") ?? "";
    const correlationId = own?.get("Correlation-Id") ?? "";
    this.#deliver({
      id: own?.get("Nats-Msg-Id") || idPrefix + message.seq,
      body: message.data,
      route: to === "" ? undefined : routeText(url.name, {
        to,
        ...(correlationId === "" ? {} : { id: correlationId }),
      }),
      isRepeated: message.redelivered,
      taken: () => {
        this.#open.delete(message);
        if (this.#isOpen) message.ack();
      },
      refused: (reason) => this.#bury(message, reason),
    });
  }

  /** Puts a refused message aside, then ends it. If that is impossible the message stays, and it is tried again. */
  #bury(message: JsMsg, reason: SdError): void {
    const { url: { dead, name }, log, idPrefix } = this.#options;
    const { data, headers } = deadCopy(message, reason, this.#most);
    const options = { msgID: `${idPrefix}${message.seq}.dead`, headers };
    this.#js.publish(dead, data, options).then(() => {
      this.#open.delete(message);
      if (this.#isOpen) message.term();
    }, (error) => {
      if (!this.#isOpen) return;
      if (!this.#saidDead) {
        log.error(
          "intake",
          `${name}: refused messages cannot be put aside, since no stream keeps ${dead}: ${
            reasonOf(error)
          }`,
        );
      }
      this.#saidDead = true;
      const timer = setTimeout(() => {
        this.#deadTimers.delete(timer);
        if (this.#isOpen) this.#bury(message, reason);
      }, DEAD_RETRY_MS);
      this.#deadTimers.add(timer);
    });
  }
}

/** A refused message as it goes to its new place, in at most `most` bytes: without its headers, or cut, if it must be. */
function deadCopy(
  message: JsMsg,
  reason: SdError,
  most: number,
): { data: Uint8Array; headers: MsgHdrs } {
  const { data } = message;
  for (const own of [true, false]) {
    const headers = deadHeaders(message, reason, own);
    if (data.length + headerBytes(headers) <= most) return { data, headers };
  }
  const headers = deadHeaders(message, reason, false);
  headers.set("X-Sd-Bytes", String(data.length));
  return { data: data.subarray(0, Math.max(0, most - headerBytes(headers))), headers };
}

/** The headers of a refused message in its new place; those are left out that NATS acts on, or cannot be written. */
function deadHeaders(message: JsMsg, reason: SdError, own: boolean): MsgHdrs {
  const kept = headers();
  for (const [name, values] of own ? message.headers ?? [] : []) {
    if (name.startsWith("Nats-") || !HEADER_NAME.test(name)) continue;
    for (const value of values) if (!/[\r\n]/.test(value)) kept.append(name, value);
  }
  const id = message.headers?.get("Nats-Msg-Id");
  if (id && id.length <= MAX_REASON_CHARS) kept.set("X-Sd-Message-Id", id);
  kept.set("X-Sd-Code", reason.code);
  kept.set("X-Sd-Reason", reason.message.replace(/[\r\n]+/g, " ").slice(0, MAX_REASON_CHARS));
  kept.set("X-Sd-Subject", message.subject);
  return kept;
}

/** The most bytes that headers take in a message; the library adds some. */
function headerBytes(all: MsgHdrs): number {
  let bytes = LIBRARY_BYTES;
  for (const [name, values] of all) {
    for (const value of values) bytes += encoder.encode(`${name}: ${value}\r\n`).length;
  }
  return bytes;
}
