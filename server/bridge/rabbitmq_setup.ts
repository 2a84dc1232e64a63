/**
 * Connections to RabbitMQ: how they begin and end, and what they find there. A queue that exists is used as it is. A missing
 * one is created as a quorum queue with a dead-letter exchange.
 */

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import amqp, { type Channel, type ChannelModel } from "amqplib";
import type { Log } from "../log.ts";
import type { IntakeUrl } from "./intake_url.ts";

/** Heartbeat of both connections, in s: a server that is silent for two of them is lost. */
const HEARTBEAT_S = 5;
/** Longest wait for a connection, in ms. */
const CONNECT_MS = 10_000;
/** Longest wait for the end of a connection in good order, in ms. */
const CLOSE_MS = 3000;
/** Bytes that go to the socket together at most, unless one frame has more. */
const WRITE_BYTES = 64 * 1024;
/** RabbitMQ's answer for a queue or an exchange that does not exist. */
const NOT_FOUND = 404;

/** Connects with the credentials of the URL; `use` is for the operator of RabbitMQ. */
export async function connectTo(url: IntakeUrl, use: string): Promise<ChannelModel> {
  const { hostname, port, isTls, username = "guest", password = "guest", vhost } = url;
  const connecting = amqp.connect({
    protocol: isTls ? "amqps" : "amqp",
    hostname,
    port,
    username,
    password,
    vhost: encodeURIComponent(vhost),
    heartbeat: HEARTBEAT_S,
  }, {
    timeout: CONNECT_MS,
    noDelay: true,
    clientProperties: { connection_name: `sd ${use} ${url.source}` },
  });
  const connection = await connecting.catch((error: Error) => {
    // The library does not read the reason, which comes after a login that succeeded.
    if (!/ConnectionOpenOk/.test(error.message)) throw error;
    throw new Error(`there is no virtual host "${vhost}", or the user may not use it`, {
      cause: error,
    });
  });
  // Its end is known by "close"; without a listener the error would end the process.
  connection.on("error", () => {});
  const { stream } = connection.connection as Inside;
  if (stream) gatherWrites(stream);
  return connection;
}

/** What is written in one turn goes to the socket together: the library writes each message alone, with a system call. */
export function gatherWrites(stream: Pick<Socket, "write" | "end" | "writableNeedDrain">): void {
  const [write, end] = [stream.write.bind(stream), stream.end.bind(stream)];
  let frames: Uint8Array[] = [];
  let bytes = 0;
  const flush = (): boolean => {
    if (frames.length === 0) return !stream.writableNeedDrain;
    const whole = frames.length === 1 ? frames[0]! : Buffer.concat(frames, bytes);
    frames = [];
    bytes = 0;
    return write(whole);
  };
  Object.assign(stream, {
    write(frame: Uint8Array): boolean {
      if (frames.push(frame) === 1) queueMicrotask(flush);
      bytes += frame.length;
      return bytes < WRITE_BYTES ? !stream.writableNeedDrain : flush();
    },
    end(): void {
      flush();
      end();
    },
  });
}

/**
 * Closes a connection in good order if it can. If both sides close at the same time the library waits for ever, so the
 * socket is ended after a while.
 */
export async function endConnection(connection: ChannelModel): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    const { stream, heartbeater } = connection.connection as Inside;
    heartbeater?.clear();
    stream?.destroy();
    late.resolve();
  }, CLOSE_MS);
  // One that is closed already rejects.
  await Promise.race([connection.close().catch(() => {}), late.promise]);
  clearTimeout(timer);
}

/** Parts of a connection of the library that it does not publish. */
interface Inside {
  readonly stream?: Socket;
  readonly heartbeater?: { clear(): void };
}

/** Makes the queue, and the place for refused messages, if they do not exist. */
export async function declareIn(connection: ChannelModel, url: IntakeUrl, log: Log): Promise<void> {
  const { source: queue, dead } = url;
  const quorum = { durable: true, arguments: { "x-queue-type": "quorum" } };
  if (!await exists(connection, (channel) => channel.checkExchange(dead))) {
    const channel = await openChannelOf(connection);
    await channel.assertExchange(dead, "fanout", { durable: true });
    await channel.assertQueue(dead, quorum);
    await channel.bindQueue(dead, dead, "");
    await channel.close();
    log.info("intake", `${url.name}: created the exchange and queue ${dead} for refused messages`);
  }
  if (await exists(connection, (channel) => channel.checkQueue(queue))) return;
  const channel = await openChannelOf(connection);
  await channel.assertQueue(queue, { ...quorum, deadLetterExchange: dead });
  await channel.close();
  log.info("intake", `${url.name}: created the quorum queue ${queue}`);
}

/** Asks on a channel of its own: RabbitMQ closes the channel for a no. */
async function exists(
  connection: ChannelModel,
  ask: (channel: Channel) => Promise<unknown>,
): Promise<boolean> {
  const channel = await openChannelOf(connection);
  try {
    await ask(channel);
  } catch (error) {
    if ((error as { code?: number }).code === NOT_FOUND) return false;
    throw error;
  }
  await channel.close();
  return true;
}

export async function openChannelOf(connection: ChannelModel): Promise<Channel> {
  const channel = await connection.createChannel();
  channel.on("error", () => {});
  return channel;
}
