/** A client of one server: how it is had, and what it is when the ops of a task file are known. */

import { DEFAULT_HOST, DEFAULT_PORT, parseTarget, type Target } from "../net/target.ts";
import { BaseClient } from "./base_client.ts";
import { SteadyConnection } from "./connection/steady_connection.ts";
import { RawClient } from "./raw_client.ts";
import type { AnyTasks, OpCalls } from "./task/task_ops.ts";

export type { ListFilter, ServerHello, TaskPage } from "./base_client.ts";
export type { Submitted } from "./task/submitted.ts";

const RECONNECT_MS = 60_000;
/** A server that is gone is noticed after three of these, within a minute. */
const PING_MS = 15_000;

/** A client, with a method for each op: of its task file, and of those that every server has. */
export type Client<Tasks extends object = AnyTasks> =
  & BaseClient<Tasks>
  & OpCalls<Tasks, keyof BaseClient>;

export interface ConnectOptions {
  /**
   * How long to try to connect again after the connection was lost, in ms; default 60000. Then
   * everything that waits rejects with `unreachable`, and the next call begins to try anew. 0: a lost
   * connection is the end of the client.
   */
  reconnectMs?: number | undefined;
  /**
   * How long the connection may be quiet before it is pinged, in ms; default 15000. When nothing at all has come
   * for three times as long, it is lost.
   */
  pingMs?: number | undefined;
  /** Gives the first try up. */
  signal?: AbortSignal | undefined;
  /** Called at each loss that is not the end, with its reason. */
  onLost?: ((error: Error) => void) | undefined;
  /** Called when the connection is there again. */
  onBack?: (() => void) | undefined;
}

/** Where a server is, as `connect` takes it; what is left away is `127.0.0.1`, 5000, no token, no TLS. */
export interface ServerAddress {
  readonly hostname?: string | undefined;
  readonly port?: number | undefined;
  /** One of the server's tokens, where it has any. */
  readonly token?: string | undefined;
  /** Speak TLS and trust what the system trusts, and `caCerts` besides, in PEM. */
  readonly tls?: boolean | { readonly caCerts: readonly string[] } | undefined;
}

/**
 * Connects to the server at `address`, which may be written `"host:port"`, and gives it the token where there
 * is one. The first time it tries once. Throws `ClientError` with code `unreachable`, or `SdError` with code
 * `unauthorized`. With `connect<typeof import("./tasks.ts")>(…)` the client knows the ops of that task file.
 */
export async function connect<Tasks extends object = AnyTasks>(
  address: ServerAddress | string = {},
  options: ConnectOptions = {},
): Promise<Client<Tasks>> {
  const { reconnectMs = RECONNECT_MS, pingMs = PING_MS, signal, onLost, onBack } = options;
  signal?.throwIfAborted();
  const target = typeof address === "string" ? parseTarget(address) : targetAt(address);
  const connection = await SteadyConnection.open({
    target,
    reconnectMs,
    pingMs,
    signal,
    onLost,
    onBack,
  });
  return new BaseClient<Tasks>(new RawClient(connection)) as Client<Tasks>;
}

function targetAt(
  { hostname = DEFAULT_HOST, port = DEFAULT_PORT, token, tls }: ServerAddress,
): Target {
  return {
    hostname,
    port,
    ...(token === undefined ? {} : { token }),
    ...(tls ? { tls: tls === true ? { caCerts: [] } : tls } : {}),
  };
}
