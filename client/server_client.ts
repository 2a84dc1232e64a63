/**
 * The calls of a client that concern the server as a whole: what it is, its ops, its recurring tasks, everything it
 * keeps. `base_client.ts` adds the calls for tasks.
 */

import type {
  CronAnswer,
  CronView,
  OpView,
  ServerHealth,
  ServerHello,
  ServerStats,
} from "../protocol/task.ts";
import type { ImportAnswer } from "../protocol/transfer.ts";
import type { Abortable } from "./connection/call_options.ts";
import type { RawClient } from "./raw_client.ts";
import {
  backup,
  type BeginBackup,
  type ExportFilter,
  exportRecords,
  importText,
  type SdRecord,
} from "./transfer.ts";

/** The parts of a client, for the rest of the library and the commands. Not exported by the package. */
export let rawOf: (client: ServerClient) => RawClient;

export class ServerClient {
  readonly #raw: RawClient;

  static {
    rawOf = (client) => client.#raw;
  }

  /** Call `connect` instead. */
  constructor(raw: RawClient) {
    this.#raw = raw;
  }

  /**
   * The server's address, as `host:port`.
   *
   * @example
   * ```ts
   * console.log(client.target); // 127.0.0.1:5000
   * ```
   */
  get target(): string {
    return this.#raw.target;
  }

  /**
   * Checks that the server answers.
   *
   * @throws {ClientError} `unreachable` if it does not answer within 30 seconds.
   * @example
   * ```ts
   * await client.ping({ signal: AbortSignal.timeout(1000) });
   * ```
   */
  async ping(options?: Abortable): Promise<void> {
    await this.#raw.ask({ cmd: "ping" }, options);
  }

  /**
   * The server's release and wire version; with a `token`, also a new token for this client.
   *
   * @param token One of the server's tokens. The client uses it from now on, also when it connects again.
   * @throws {SdError} `unauthorized` if the server does not have the token.
   * @example
   * ```ts
   * const { version, protocol } = await client.hello();
   * console.log(`sd ${version}, wire version ${protocol}`);
   * ```
   */
  async hello(token?: string, options?: Abortable): Promise<ServerHello> {
    if (token === undefined) return await this.#raw.ask<ServerHello>({ cmd: "hello" }, options);
    const hello = await this.#raw.ask<ServerHello>({ cmd: "hello", token }, options);
    this.#raw.token = token;
    return hello;
  }

  /**
   * Whether the server takes new clients, and its role in a cluster.
   *
   * @example
   * ```ts
   * const { ok, draining } = await client.health();
   * if (draining) console.warn("the server is about to stop");
   * ```
   */
  async health(options?: Abortable): Promise<ServerHealth> {
    return await this.#raw.ask<ServerHealth>({ cmd: "health" }, options);
  }

  /**
   * Counts of the server: tasks by status, workers, connections; and faults that its operator should mend.
   *
   * @example
   * ```ts
   * const { tasks, workers } = await client.stats();
   * console.log(`${tasks.queued} queued, ${workers.running} of ${workers.workers} workers busy`);
   * ```
   */
  async stats(options?: Abortable): Promise<ServerStats> {
    return await this.#raw.ask<ServerStats>({ cmd: "stats" }, options);
  }

  /**
   * The ops that can be submitted now, each with its options and its number of workers.
   *
   * @example
   * ```ts
   * for (const { op, workers } of await client.ops()) console.log(op, workers);
   * ```
   */
  async ops(options?: Abortable): Promise<OpView[]> {
    return (await this.#raw.ask<{ ops: OpView[] }>({ cmd: "ops" }, options)).ops;
  }

  /**
   * Pauses an op: its queued tasks do not start until `resume`. Running tasks go on.
   *
   * @param op The op; without it, all ops.
   * @returns The ops that are paused now; `["*"]` if all are.
   * @example
   * ```ts
   * await client.pause("resize"); // ["resize"]
   * ```
   */
  async pause(op?: string, options?: Abortable): Promise<string[]> {
    const message = op === undefined ? { cmd: "pause" } : { cmd: "pause", op };
    return (await this.#raw.ask<{ paused: string[] }>(message, options)).paused;
  }

  /**
   * Ends the pause of an op.
   *
   * @param op The op; without it, all ops.
   * @returns The ops that are still paused; `["*"]` if all are.
   * @throws {SdError} `conflict` if all ops are paused and only one is resumed.
   * @example
   * ```ts
   * await client.resume("resize"); // []
   * ```
   */
  async resume(op?: string, options?: Abortable): Promise<string[]> {
    const message = op === undefined ? { cmd: "resume" } : { cmd: "resume", op };
    return (await this.#raw.ask<{ paused: string[] }>(message, options)).paused;
  }

  /**
   * The recurring tasks of the server, in the order of their ids.
   *
   * @example
   * ```ts
   * for (const { cron_id, next_at } of await client.crons()) console.log(cron_id, next_at);
   * ```
   */
  async crons(options?: Abortable): Promise<CronView[]> {
    return (await this.#raw.ask<{ crons: CronView[] }>({ cmd: "crons" }, options)).crons;
  }

  /**
   * Pauses a recurring task: it submits nothing until `resumeCron`.
   *
   * @throws {SdError} `not_found` if there is no such recurring task.
   * @example
   * ```ts
   * await client.pauseCron("nightly"); // { cron_id: "nightly", status: "paused" }
   * ```
   */
  async pauseCron(id: string, options?: Abortable): Promise<CronAnswer> {
    return await this.#raw.ask<CronAnswer>({ cmd: "pause", cron_id: id }, options);
  }

  /**
   * Ends the pause of a recurring task. Its `catch_up` decides about the times that passed meanwhile.
   *
   * @throws {SdError} `not_found` if there is no such recurring task.
   * @example
   * ```ts
   * const { next_at } = await client.resumeCron("nightly");
   * ```
   */
  async resumeCron(id: string, options?: Abortable): Promise<CronAnswer> {
    return await this.#raw.ask<CronAnswer>({ cmd: "resume", cron_id: id }, options);
  }

  /**
   * Removes a recurring task. Tasks that it has submitted go on.
   *
   * @throws {SdError} `not_found` if there is no such recurring task.
   * @example
   * ```ts
   * await client.removeCron("nightly"); // { cron_id: "nightly", status: "removed" }
   * ```
   */
  async removeCron(id: string, options?: Abortable): Promise<CronAnswer> {
    return await this.#raw.ask<CronAnswer>({ cmd: "uncron", cron_id: id }, options);
  }

  /**
   * Reads everything that the server keeps, as records for `importText`: settings first, then tasks, oldest first.
   *
   * @param filter Only tasks of a status or an op, and then no settings; default: everything.
   * @throws {SdError} `bad_request` if the filter is wrong.
   * @example
   * ```ts
   * for await (const record of client.exportRecords({ status: "queued" })) {
   *   console.log(JSON.stringify(record));
   * }
   * ```
   */
  exportRecords(
    filter: ExportFilter & Abortable = {},
  ): AsyncGenerator<SdRecord, void, undefined> {
    return exportRecords(this.#raw, filter);
  }

  /**
   * Adds exported records to the server. A record that is there already changes nothing.
   *
   * Await each call before the next one: the server would mix the parts of two texts.
   *
   * @param text Records as JSON, one a line, up to 4 Mi characters.
   * @returns How many records were added, and which were not, with the reasons.
   * @throws {SdError} `bad_request` if the text is too long; `storage_full` or `queue_full` if there is no room.
   * @example
   * ```ts
   * const records = await Array.fromAsync(client.exportRecords());
   * const text = records.map((record) => JSON.stringify(record)).join("\n");
   * const { imported, bad } = await client.importText(text);
   * ```
   */
  async importText(text: string, options?: Abortable): Promise<ImportAnswer> {
    return await importText(this.#raw, text, options);
  }

  /**
   * Copies the server's database, from its first byte to its last.
   *
   * @param write Called with each piece, in order. It is synchronous, so that a slow disk slows the server down.
   * @param begin Called once before the first `write`, with the size in bytes and the server's own files, which a
   * backup must not overwrite. An error that it throws ends the backup.
   * @returns The number of bytes.
   * @throws {SdError} `bad_request` if the server's engine keeps no file; `conflict` while another backup runs.
   * @throws {ClientError} `unreachable` if the connection is lost: the part that was written is of no use.
   * @example
   * ```ts
   * const pieces: Uint8Array[] = [];
   * const bytes = await client.backup((piece) => pieces.push(piece));
   * ```
   */
  async backup(
    write: (bytes: Uint8Array) => void,
    begin?: BeginBackup,
    options?: Abortable,
  ): Promise<number> {
    return await backup(this.#raw, { write, begin, ...options });
  }

  /**
   * Closes the connection. Tasks go on; calls that wait reject with `unreachable`. A second call does nothing.
   *
   * @example
   * ```ts
   * await client.close();
   * ```
   */
  async close(): Promise<void> {
    await this.#raw.close();
  }

  /** Closes the connection at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
