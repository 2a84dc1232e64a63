/**
 * Finds the master of Redis: by Sentinels, by trying the hosts of the URL in turn, and by following a cluster to the node
 * that has our keys. Each call looks again, since a failover moves the master.
 */

import {
  ConnectionLost,
  RedisConnection,
  type RedisDialOptions,
  type RedisIdentity,
  RedisReplyError,
} from "./connection.ts";
import type { HostPort, RedisAddress } from "./url.ts";

/** A connection to the master, which can answer. */
export interface Master {
  readonly connection: RedisConnection;
  readonly identity: RedisIdentity;
}

/** Most nodes of a cluster that are asked for the place of our keys. */
const MAX_HOPS = 5;

export function prefixOf({ name }: Pick<RedisAddress, "name">): string {
  return `{sd:${name}}:`;
}

/** Rejects with `ConnectionLost`, or with an answer that refuses the user. */
export async function dialMaster(
  address: RedisAddress,
  options: RedisDialOptions,
): Promise<Master> {
  const hosts = address.master === undefined
    ? address.hosts
    : [await askSentinels(address, address.master, options)];
  return await first(hosts, (host) => dialNode(host, address, options));
}

async function dialNode(
  host: HostPort,
  address: RedisAddress,
  options: RedisDialOptions,
  hops = MAX_HOPS,
): Promise<Master> {
  const connection = await RedisConnection.dial(host, address, options);
  const place = `${host.host}:${host.port}`;
  try {
    const [identity] = await Promise.all([
      connection.identity(),
      // A node of a cluster names the one that has our keys.
      connection.call(["HLEN", `${prefixOf(address)}meta`]),
    ]);
    if (!identity.isMaster) throw new ConnectionLost(`${place} is a replica`);
    return { connection, identity };
  } catch (error) {
    const { message } = error as Error;
    connection.destroy(message);
    const [, moved, port] = /^MOVED \d+ (.*):(\d+)$/.exec(message) ?? [];
    if (moved === undefined || hops === 0) throw error;
    const next = { host: moved === "" ? host.host : moved, port: Number(port) };
    return await dialNode(next, address, options, hops - 1);
  }
}

async function askSentinels(
  address: RedisAddress,
  master: string,
  options: RedisDialOptions,
): Promise<HostPort> {
  return await first(address.hosts, async (host) => {
    const connection = await RedisConnection.dial(host, { ...address, db: 0 }, {
      name: options.name,
    });
    try {
      const found = await connection.call(["SENTINEL", "get-master-addr-by-name", master]);
      if (Array.isArray(found)) return { host: String(found[0]), port: Number(found[1]) };
      throw new ConnectionLost(`the Sentinel at ${host.host}:${host.port} knows no "${master}"`);
    } finally {
      connection.destroy("it has answered");
    }
  });
}

/** The first that succeeds; the error of a refused user before others, since it names a cure. */
async function first<T>(
  hosts: readonly HostPort[],
  dial: (host: HostPort) => Promise<T>,
): Promise<T> {
  let reason: unknown;
  for (const host of hosts) {
    try {
      return await dial(host);
    } catch (error) {
      if (!(reason instanceof RedisReplyError)) reason = error;
    }
  }
  throw reason;
}

/** A connection for small requests: dialled when it is needed, and again after it was lost. */
export class ControlLine {
  readonly #dial: () => Promise<Master>;
  #dialing: Promise<Master> | undefined;
  #master: Master | undefined;
  #isClosed = false;

  constructor(dial: () => Promise<Master>) {
    this.#dial = dial;
  }

  async master(): Promise<Master> {
    if (this.#isClosed) throw new ConnectionLost("the store is closed");
    if (this.#master?.connection.isOpen) return this.#master;
    this.#dialing ??= this.#dial().finally(() => this.#dialing = undefined);
    const master = await this.#dialing;
    if (this.#isClosed) {
      master.connection.destroy("the store is closed");
      throw new ConnectionLost("the store is closed");
    }
    return this.#master = master;
  }

  /** Ends the connection; the next request dials again. */
  drop(reason: string): void {
    this.#master?.connection.destroy(reason);
    this.#master = undefined;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.drop("the store is closed");
    await this.#dialing?.catch(() => {});
  }
}
