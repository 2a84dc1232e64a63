/** What every client of a server can do: submit tasks, get their results, ask and tell the server the rest. */

import { SdError } from "../protocol/errors.ts";
import type {
  CronAnswer,
  CronView,
  LogLine,
  OpView,
  ServerStats,
  Status,
  TaskLogView,
  TaskOptions,
  TaskView,
  Why,
} from "../protocol/task.ts";
import { abortable } from "./connection/promises.ts";
import type { Abortable, CallOptions } from "./connection/call_options.ts";
import { backup, type BeginBackup } from "./transfer.ts";
import { type ExportFilter, exportRecords, importText, type SdRecord } from "./transfer.ts";
import { followLog } from "./follow_log.ts";
import type { ImportAnswer } from "../protocol/transfer.ts";
import { EventStream } from "./watching.ts";
import { type ManyEnd, type ManyOptions, type ManyTask, submitMany } from "./submit_many.ts";
import { callOpsByName } from "./op_calls.ts";
import type { RawClient } from "./raw_client.ts";
import type { Submitted } from "./task/submitted.ts";
import type { TaskEnd } from "./task/task_end.ts";
import { checkArgumentNames, makeTaskId, taskLine } from "./task/task_line.ts";
import type { AnyTasks, ArgsOf, CallOf, OpName, ResultOf } from "./task/task_ops.ts";
import type { WatchFilter } from "./watching.ts";

/** The parts of a client, for the library and for the commands. Not exported by the package. */
// deno-lint-ignore no-explicit-any
export let rawOf: (client: BaseClient<any>) => RawClient;

/** Which tasks `list` answers with, `limit` at most (1…1000). */
export interface ListFilter {
  status?: Status;
  op?: string;
  key?: string;
  /** Submitted so many ms before now, or at this time of RFC 3339, or later. */
  since?: number | string;
  /** By when they were submitted; default `newest` first. */
  order?: "newest" | "oldest";
  limit?: number;
  /** That of the answer before, for the tasks after it. */
  cursor?: string;
}

/** There may be fewer than asked for, or none, and a cursor all the same: only `null` is the end. */
export interface TaskPage {
  tasks: TaskView[];
  /** For the next page; `null` after the last. */
  cursor: string | null;
}

export interface ServerHello {
  hello: "sd";
  version: string;
  protocol: number;
}

/**
 * Every method rejects with an `SdError` where the server refuses, and with a `ClientError` of code
 * `unreachable` where the connection is lost for good or the server does not answer.
 *
 * A lost connection is made again by itself, and what waits goes on waiting. No task is submitted
 * twice: each has an id from the start, and a line that was not acknowledged is sent again with it; of
 * a task that was acknowledged the end is asked for. A server that has lost the task since (an engine
 * that keeps nothing on disk) makes its `result` reject with `not_found`. Two limits: `delay` and
 * `expires` of a line that never arrived count from when it is sent again; and a task that ended and
 * whose record was dropped (`keep`) before its acknowledgement could be sent again runs again.
 * Commands are asked again.
 *
 * Every method takes a `signal`. A call that stands for a task (`submit`, `run`, one by the name of an op,
 * `submitMany`) cancels the task when it is aborted; one that only asks (`wait`, `get`, `list` …) does not.
 */
export class BaseClient<Tasks extends object = AnyTasks> {
  readonly #raw: RawClient;

  static {
    callOpsByName(this.prototype);
    rawOf = (client) => client.#raw;
  }

  constructor(raw: RawClient) {
    this.#raw = raw;
  }

  /** Where the server is, as `host:port`. */
  get target(): string {
    return this.#raw.target;
  }

  /**
   * Runs a task and returns its result: `client.square({ n: 7 })` is `client.run("square", { n: 7 })`, and
   * ops that have the name of one of these methods are reached here. Rejects with `TaskFailedError`, or
   * with `TaskEndedError` (cancelled or expired). Aborting it cancels the task.
   */
  async run<Op extends OpName<Tasks>>(
    op: Op,
    ...call: CallOf<Tasks, Op>
  ): Promise<ResultOf<Tasks, Op>> {
    const { id, result } = await this.submit(op, ...call);
    return await abortable(result, call[1]?.signal, () => this.#raw.abandon(id));
  }

  /**
   * Submits a task: `args` are the members that the handler gets, any JSON. Resolves once the server
   * has it safe. Times in `options` are milliseconds. Aborting it before that takes the task back, or cancels
   * it; after that the signal means nothing.
   */
  async submit<Op extends OpName<Tasks>>(
    op: Op,
    ...call: CallOf<Tasks, Op>
  ): Promise<Submitted<ResultOf<Tasks, Op>>> {
    const [args, options = {}] = call as [object?, (CallOptions & TaskOptions)?];
    return await this.#raw.submit({ ...taskLine(op, args, options), signal: options.signal });
  }

  /**
   * Submits all of `tasks` and tells how each ended, in the order in which they end; `index` says which it was.
   * It reads `tasks` only as far as there is room for, and holds no more than `inFlight` (1000) of them or of
   * their ends: a reader that is slow slows it down. A task that fails or is refused is an end like any other; a
   * server that is full is waited for. Throws `unreachable`, or what `tasks` throws. Nothing begins before it
   * is read; `break` submits nothing more and leaves what is in flight to go on; aborting cancels that.
   */
  submitMany<Op extends OpName<Tasks>>(
    tasks: ManyTasks<Tasks, Op>,
    options?: ManyOptions,
  ): AsyncGenerator<ManyEnd<ResultOf<Tasks, Op>>, void, undefined> {
    return submitMany(this.#raw, tasks as Iterable<ManyTask>, options) as AsyncGenerator<
      ManyEnd<ResultOf<Tasks, Op>>,
      void,
      undefined
    >;
  }

  /** What is known of a task. */
  async get(id: string, options?: Abortable): Promise<TaskView> {
    return await this.#raw.ask<TaskView>({ cmd: "get", task_id: id }, options);
  }

  /** The task once it is final, however long that takes. */
  async wait(id: string, options?: Abortable): Promise<TaskView> {
    return await this.#raw.wait(id, options);
  }

  /** How a task ended, once it has. */
  async end(id: string, options?: Abortable): Promise<TaskEnd> {
    return await this.#raw.end(id, options);
  }

  /** One page of tasks. */
  async list(filter: ListFilter = {}, options?: Abortable): Promise<TaskPage> {
    return await this.#raw.ask<TaskPage>({ cmd: "list", ...filter }, options);
  }

  /** Cancels a task. Resolves once it will never start, or has stopped; `conflict` if it is final. */
  async cancel(id: string, options?: Abortable): Promise<{ task_id: string; status: Status }> {
    return await this.#raw.ask({ cmd: "cancel", task_id: id }, { ...options, ms: Infinity });
  }

  /** Queues a task again that failed, was cancelled or expired. */
  async retry(id: string, options?: Abortable): Promise<{ task_id: string; status: Status }> {
    const refused = async (error: unknown, wasAskedAgain: boolean) => {
      const isConflict = error instanceof SdError && error.code === "conflict";
      if (!isConflict || !wasAskedAgain) throw error;
      // The first asking was heard, and only its answer was lost.
      const { task_id, status } = await this.get(id, options);
      return { task_id, status };
    };
    return await this.#raw.ask({ cmd: "retry", task_id: id }, { ...options, refused });
  }

  /**
   * Everything that happens to tasks from now on, or to those that are named, to be read with `for await`. It
   * survives a lost connection. Events that it missed, since the connection was away or the reader too slow (10,000
   * wait), are told by one of `dropped`, with their `count` where that is known. `break` ends it; so does
   * aborting, which throws the signal's reason.
   */
  watch(filter: WatchFilter & Abortable = {}): EventStream {
    return new EventStream(this.#raw, filter);
  }

  /** What the server counts: tasks by status, workers, connections. */
  async stats(options?: Abortable): Promise<ServerStats> {
    return await this.#raw.ask<ServerStats>({ cmd: "stats" }, options);
  }

  /** The ops that can be submitted now, and how many workers have each. */
  async ops(options?: Abortable): Promise<OpView[]> {
    return (await this.#raw.ask<{ ops: OpView[] }>({ cmd: "ops" }, options)).ops;
  }

  /** Resolves when the server has answered. */
  async ping(options?: Abortable): Promise<void> {
    await this.#raw.ask({ cmd: "ping" }, options);
  }

  /** Which release the server is, and which version of the wire it speaks. */
  async hello(token?: string, options?: Abortable): Promise<ServerHello> {
    if (token === undefined) return await this.#raw.ask<ServerHello>({ cmd: "hello" }, options);
    const hello = await this.#raw.ask<ServerHello>({ cmd: "hello", token }, options);
    this.#raw.token = token;
    return hello;
  }

  /**
   * Calls `write` with everything that the server keeps, from the beginning to the end; answers how many
   * bytes that were. `write` is synchronous, so that a slow disk slows the server's sending down. Throws
   * `bad_request` where the engine keeps no file, `conflict` where another backup is under way.
   */
  async backup(
    write: (bytes: Uint8Array) => void,
    begin?: BeginBackup,
    options?: Abortable,
  ): Promise<number> {
    return await backup(this.#raw, { write, begin, ...options });
  }

  /** The records of the server, settings first, then tasks, the oldest first. */
  exportRecords(
    filter: ExportFilter & Abortable = {},
  ): AsyncGenerator<SdRecord, void, undefined> {
    return exportRecords(this.#raw, filter);
  }

  /**
   * Takes in `text`, lines of records of 4 MiB together at most. The same record again changes nothing. Call
   * it again only once it has answered: the parts of two texts would be mixed up.
   */
  async importText(text: string, options?: Abortable): Promise<ImportAnswer> {
    return await importText(this.#raw, text, options);
  }

  /** Calls `take` for every entry, in order. Resolves once the task is final and all of it was told. */
  async followLog(
    id: string,
    take: (line: LogLine) => void,
    options?: Abortable,
  ): Promise<void> {
    await followLog(this.#raw, { id, take, ...options });
  }

  /** Closes the connection. Tasks go on; promises that wait here reject. May be called twice. */
  async close(): Promise<void> {
    await this.#raw.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Makes a recurring task: `options.cron` says when, in the zone `options.tz`. Its tasks have the ids
   * `ID:2030-01-31T02:00:00Z`, the time in UTC. With `options.id` the same call again does nothing.
   */
  async schedule<Op extends OpName<Tasks>>(
    op: Op,
    args: ArgsOf<Tasks, Op>,
    { signal, ...options }: TaskOptions & { cron: string } & Abortable,
  ): Promise<CronAnswer> {
    checkArgumentNames(args);
    // Made here, so that asking again after a lost connection makes no second one.
    const id = options.id ?? makeTaskId();
    return await this.#raw.ask<CronAnswer>({ op, ...args, task: { ...options, id } }, { signal });
  }

  /** The recurring tasks of the server, by id. */
  async crons(options?: Abortable): Promise<CronView[]> {
    return (await this.#raw.ask<{ crons: CronView[] }>({ cmd: "crons" }, options)).crons;
  }

  /** From now on a recurring task submits nothing. */
  async pauseCron(id: string, options?: Abortable): Promise<CronAnswer> {
    return await this.#raw.ask<CronAnswer>({ cmd: "pause", cron_id: id }, options);
  }

  /** A paused one goes on; what passed meanwhile is treated as its `catch_up` says. */
  async resumeCron(id: string, options?: Abortable): Promise<CronAnswer> {
    return await this.#raw.ask<CronAnswer>({ cmd: "resume", cron_id: id }, options);
  }

  /** A recurring task is no more; tasks that it has submitted go on. */
  async removeCron(id: string, options?: Abortable): Promise<CronAnswer> {
    return await this.#raw.ask<CronAnswer>({ cmd: "uncron", cron_id: id }, options);
  }

  /** What a task has said, with `ctx.log` and `console`: the newest of it that is kept. */
  async logs(id: string, options?: Abortable): Promise<TaskLogView> {
    return await this.#raw.ask<TaskLogView>({ cmd: "logs", task_id: id }, options);
  }

  /** Why a task does not run, or how it is. */
  async why(id: string, options?: Abortable): Promise<Why> {
    return await this.#raw.ask<Why>({ cmd: "why", task_id: id }, options);
  }

  /** Hands out no task of `op` any more, or none at all. What is paused then; `["*"]` is all ops. */
  async pause(op?: string, options?: Abortable): Promise<string[]> {
    const message = op === undefined ? { cmd: "pause" } : { cmd: "pause", op };
    return (await this.#raw.ask<{ paused: string[] }>(message, options)).paused;
  }

  /** Hands them out again; without `op` those of every op. What is still paused then. */
  async resume(op?: string, options?: Abortable): Promise<string[]> {
    const message = op === undefined ? { cmd: "resume" } : { cmd: "resume", op };
    return (await this.#raw.ask<{ paused: string[] }>(message, options)).paused;
  }
}

/** What `submitMany` reads. */
type ManyTasks<Tasks extends object, Op extends OpName<Tasks>> =
  | Iterable<ManyTaskOf<Tasks, Op>>
  | AsyncIterable<ManyTaskOf<Tasks, Op>>;

/** One for each op, so that its arguments are those of its op. */
type ManyTaskOf<Tasks extends object, Op extends OpName<Tasks>> = Op extends OpName<Tasks>
  ? ManyTask<Op, ArgsOf<Tasks, Op>>
  : never;
