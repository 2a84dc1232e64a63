/** `connect()` and the `Client` type, with a typed method for each op. */

import { DEFAULT_HOST, DEFAULT_PORT, parseTarget, type Target } from "../net/target.ts";
import type { Place } from "../net/server_ring.ts";
import { BaseClient } from "./base_client.ts";
import { SteadyConnection } from "./connection/steady_connection.ts";
import { RawClient } from "./raw_client.ts";
import { ServerClient } from "./server_client.ts";
import type { AnyTasks, OpCalls } from "./task/task_ops.ts";

export type { ListFilter, TaskChange, TaskPage } from "./base_client.ts";
export type { Submitted } from "./task/submitted.ts";

/** Default time to try to connect again after a loss, in ms. */
const RECONNECT_MS = 60_000;
/** Default time between pings of a quiet connection, in ms: a lost server is noticed after three, within a minute. */
const PING_MS = 15_000;

/**
 * A client of one server, with a method for each op: the ops of its task file, and the built-in ops.
 *
 * @example
 * ```ts
 * async function thumbnails(sd: Client<Tasks>, paths: string[]): Promise<string[]> {
 *   const made = await Promise.all(paths.map((path) => sd.resize({ path })));
 *   return made.map(({ path }) => path);
 * }
 * ```
 */
export type Client<Tasks extends object = AnyTasks> =
  & BaseClient<Tasks>
  & OpCalls<Tasks, keyof BaseClient>;

/** Options of `connect`. Times are in ms. */
export interface ConnectOptions {
  /**
   * How long to try to connect again after a loss; default 60000. Then every call that waits rejects with
   * `unreachable`, and the next call tries again. 0: the client ends with its connection.
   */
  reconnectMs?: number | undefined;
  /**
   * How long the connection can be quiet before it is pinged; default 15000. It counts as lost if nothing comes for
   * three times as long.
   */
  pingMs?: number | undefined;
  /** Ends the first try to connect. */
  signal?: AbortSignal | undefined;
  /** Called with the reason at each loss after which the client connects again. */
  onLost?: ((error: Error) => void) | undefined;
  /** Called when the client has connected again. */
  onBack?: (() => void) | undefined;
}

/** The address of a server. Defaults: `127.0.0.1`, 5000, no token, no TLS. */
export interface ServerAddress {
  readonly hostname?: string | undefined;
  readonly port?: number | undefined;
  /** Further servers of the same cluster, with the same token and certificates; tried in turn when one is lost. */
  readonly others?: readonly Place[] | undefined;
  /** One of the server's tokens, if it has any. */
  readonly token?: string | undefined;
  /** `true`: TLS with the certificates that the system trusts; `caCerts`, in PEM, are trusted as well. */
  readonly tls?: boolean | { readonly caCerts: readonly string[] } | undefined;
}

/**
 * Connects to a server. The first time it tries once; a connection that is lost later is made again.
 *
 * `connect<typeof import("./tasks.ts")>(…)` gives the client the types of a task file, without loading the file.
 *
 * @param address `"host:port"`, several servers of one cluster with commas, or an object with a token and TLS.
 * @param options Times in ms.
 * @throws {ClientError} `unreachable` if there is no sd server; `usage` if the address cannot be read.
 * @throws {SdError} `unauthorized` if the server wants a token, or another one; `queue_full` if it has too many
 * connections.
 * @example
 * ```ts
 * import { connect } from "@sd/sd";
 *
 * await using client = await connect<Tasks>("127.0.0.1:5000");
 * const squared = await client.square({ n: 7 }); // 49
 * ```
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
  { hostname = DEFAULT_HOST, port = DEFAULT_PORT, others, token, tls }: ServerAddress,
): Target {
  return {
    hostname,
    port,
    others,
    ...(token === undefined ? {} : { token }),
    ...(tls ? { tls: tls === true ? { caCerts: [] } : tls } : {}),
  };
}

/** Names that are never ops: `await` looks for `then` on any object, `JSON.stringify` for `toJSON`. */
const NOT_CALLED: ReadonlySet<PropertyKey> = new Set(["then", "toJSON", "default"]);

/**
 * `client.square({ n: 7 })`: a name that a client does not have is an op. This object is the end of the prototype
 * chain, which only such names reach, so that the client's own methods cost nothing more.
 */
const opsByName = new Proxy({}, {
  get(target, name, client: BaseClient): unknown {
    if (typeof name === "symbol" || name in target || NOT_CALLED.has(name)) {
      return Reflect.get(target, name, client);
    }
    return (args?: object, options?: object) => client.run(name, args, options);
  },
});

Object.setPrototypeOf(ServerClient.prototype, opsByName);
