/** The calls of a client for tasks, on top of those for the server; typed by the ops of a task file. */

import { SdError } from "../protocol/errors.ts";
import type {
  CronAnswer,
  LogLine,
  Status,
  TaskLogView,
  TaskOptions,
  TaskView,
  Why,
} from "../protocol/task.ts";
import type { Abortable, CallOptions } from "./connection/call_options.ts";
import { abortable } from "./connection/promises.ts";
import { followLog } from "./follow_log.ts";
import type { RawClient } from "./raw_client.ts";
import { ServerClient } from "./server_client.ts";
import { type ManyEnd, type ManyOptions, type ManyTask, submitMany } from "./submit_many.ts";
import type { Submitted } from "./task/submitted.ts";
import type { TaskEnd } from "./task/task_end.ts";
import { checkArgumentNames, makeTaskId, taskLine } from "./task/task_line.ts";
import type { AnyTasks, ArgsOf, CallOf, OpName, ResultOf } from "./task/task_ops.ts";
import { EventStream, type WatchFilter } from "./watching.ts";

/** The filter and the page of `list`. */
export interface ListFilter {
  /** Only tasks with this status. */
  status?: Status;
  /** Only tasks of this op. */
  op?: string;
  /** Only tasks with this key. */
  key?: string;
  /** Only tasks submitted in this last time, in ms, or since this RFC 3339 time. */
  since?: number | string;
  /** By time of submission; default `newest` first. */
  order?: "newest" | "oldest";
  /** Most tasks on the page, 1…1000; default 100. */
  limit?: number;
  /** The `cursor` of the page before. */
  cursor?: string;
}

/** A page of tasks. It can hold fewer than `limit`, or none, and not be the last: only `cursor: null` is the end. */
export interface TaskPage {
  tasks: TaskView[];
  /** The cursor for the next page; `null` after the last. */
  cursor: string | null;
}

/** A task and its status after a call that changed it. */
export interface TaskChange {
  task_id: string;
  status: Status;
}

/**
 * Every call rejects with an `SdError` if the server refuses. It rejects with a `ClientError` of code `unreachable` if
 * the connection is lost for good, or the server does not answer within 30 seconds.
 *
 * A lost connection is made again, and calls that wait go on waiting. **No task is submitted twice**: each has an id
 * from the start. A line that was not acknowledged is sent again with the same id; for an acknowledged task the client
 * asks for the end. A server that has lost the task (an engine without a disk) makes its `result` reject with
 * `not_found`. Two limits: `delay` and `expires` of a line that never arrived count from the second sending; and a task
 * that ended, and whose record was dropped (`keep`) before its acknowledgement could be sent again, runs again.
 *
 * Every call takes a `signal`. A call that stands for a task (`submit`, `run`, a call by the name of an op,
 * `submitMany`) cancels the task when it is aborted. All other calls leave tasks alone.
 */
export class BaseClient<Tasks extends object = AnyTasks> extends ServerClient {
  readonly #raw: RawClient;

  /** Call `connect` instead. */
  constructor(raw: RawClient) {
    super(raw);
    this.#raw = raw;
  }

  /**
   * Runs a task and returns its result. `client.square({ n: 7 })` is short for `client.run("square", { n: 7 })`; an op
   * with the name of a method can only be run with `run`.
   *
   * @param op The op.
   * @param call The arguments of its handler, and the options of the task; times in ms.
   * @returns The value that the handler returned, as JSON brings it back.
   * @throws {SdError} If the server refuses the task: see `submit`.
   * @throws {TaskFailedError} `code` `task_error`, `timeout`, `worker_crashed`, `out_of_memory` or `bad_result`.
   * @throws {TaskEndedError} If the task was cancelled, or expired.
   * @example
   * ```ts
   * const thumbnail = await client.run("resize", { path: "a.png" }, { timeout: 5000 });
   * ```
   */
  async run<Op extends OpName<Tasks>>(
    op: Op,
    ...call: CallOf<Tasks, Op>
  ): Promise<ResultOf<Tasks, Op>> {
    const { id, result } = await this.submit(op, ...call);
    return await abortable(result, call[1]?.signal, () => this.#raw.abandon(id));
  }

  /**
   * Submits a task and resolves once the server has committed it.
   *
   * An abort before that cancels the task; a later one does nothing.
   *
   * @param op The op.
   * @param call The arguments of its handler, and the options of the task; times in ms.
   * @returns The task: its `id`, its `status`, and promises of its `result` and its `end`.
   * @throws {SdError} `unknown_op` if no worker has the op; `bad_request` if an argument or an option is wrong;
   * `conflict` if another task has the id; `queue_full`, `storage_full` or `shutting_down` if the server takes no
   * task now; `line_too_long` over 1 MiB.
   * @throws {ClientError} `usage` for an argument called `op`, `cmd`, `ref` or `task`, and for a recurring task.
   * @example
   * ```ts
   * const task = await client.submit("resize", { path: "a.png" }, { attempts: 3, delay: 60_000 });
   * console.log(task.id);
   * const thumbnail = await task.result;
   * ```
   */
  async submit<Op extends OpName<Tasks>>(
    op: Op,
    ...call: CallOf<Tasks, Op>
  ): Promise<Submitted<ResultOf<Tasks, Op>>> {
    const [args, options = {}] = call as [object?, (CallOptions & TaskOptions)?];
    return await this.#raw.submit({ ...taskLine(op, args, options), signal: options.signal });
  }

  /**
   * Submits many tasks and yields the end of each, in the order in which they end.
   *
   * It reads `tasks` only as far as there is room: a slow reader, and a full server, slow it down. Nothing happens
   * before the first end is read. `break` submits nothing more and lets tasks in flight go on; an abort cancels them.
   *
   * @param tasks Any iterable, also an asynchronous one.
   * @returns Ends with the `index` of the task, counted from 0. A task that fails or is refused is an end, not an error.
   * @throws {ClientError} `unreachable`; `usage` for a wrong argument name. Also throws the errors of `tasks`, after
   * the ends of the tasks before.
   * @example
   * ```ts
   * const tasks = ["a.png", "b.png"].map((path) => ({ op: "resize" as const, args: { path } }));
   * for await (const end of client.submitMany(tasks, { inFlight: 100 })) {
   *   if (end.status === "completed") console.log(end.index, end.result);
   *   else console.warn(end.index, end.status);
   * }
   * ```
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

  /**
   * Makes a recurring task. Each of its tasks has the id `ID:2030-01-31T02:00:00Z`, with its time in UTC. The same
   * call again with the same `options.id` changes nothing.
   *
   * @param options `cron`: five or six fields, as in crontab, or `@daily`; `tz`: its time zone, default UTC; the other
   * options apply to each task.
   * @throws {SdError} `bad_request` for a wrong `cron` or `tz`; `conflict` if another recurring task has the id.
   * @example
   * ```ts
   * const { next_at } = await client.schedule("report", { month: 7 }, {
   *   id: "nightly",
   *   cron: "30 2 * * *",
   *   tz: "Europe/Madrid",
   * });
   * ```
   */
  async schedule<Op extends OpName<Tasks>>(
    op: Op,
    args: ArgsOf<Tasks, Op>,
    { signal, ...options }: TaskOptions & { cron: string } & Abortable,
  ): Promise<CronAnswer> {
    checkArgumentNames(args);
    // Made here, so that the same request after a lost connection makes no second recurring task.
    const id = options.id ?? makeTaskId();
    return await this.#raw.ask<CronAnswer>({ op, ...args, task: { ...options, id } }, { signal });
  }

  /**
   * A task: its status, times, and result or error.
   *
   * @throws {SdError} `not_found` if there is no such task, or its record was dropped.
   * @example
   * ```ts
   * const { status, attempt, progress } = await client.get("order-17");
   * ```
   */
  async get(id: string, options?: Abortable): Promise<TaskView> {
    return await this.#raw.ask<TaskView>({ cmd: "get", task_id: id }, options);
  }

  /**
   * Waits until a task is final, however long that takes.
   *
   * @returns The same as `get`.
   * @throws {SdError} `not_found` if there is no such task, or its record was dropped.
   * @example
   * ```ts
   * const { status, result } = await client.wait("order-17", { signal: AbortSignal.timeout(60_000) });
   * ```
   */
  async wait(id: string, options?: Abortable): Promise<TaskView> {
    return await this.#raw.wait(id, options);
  }

  /**
   * Waits until a task is final and returns only its end.
   *
   * @throws {SdError} `not_found` if there is no such task, or its record was dropped.
   * @example
   * ```ts
   * const end = await client.end("order-17");
   * if (end.status === "failed") console.warn(end.error.code, end.error.message);
   * ```
   */
  async end(id: string, options?: Abortable): Promise<TaskEnd> {
    return await this.#raw.end(id, options);
  }

  /**
   * One page of tasks, newest first.
   *
   * @throws {SdError} `bad_request` if the filter is wrong.
   * @example
   * ```ts
   * let cursor: string | null = null;
   * do {
   *   const page = await client.list({ status: "failed", ...(cursor && { cursor }) });
   *   for (const { task_id, error } of page.tasks) console.log(task_id, error?.message);
   *   cursor = page.cursor;
   * } while (cursor);
   * ```
   */
  async list(filter: ListFilter = {}, options?: Abortable): Promise<TaskPage> {
    return await this.#raw.ask<TaskPage>({ cmd: "list", ...filter }, options);
  }

  /**
   * Cancels a task. Resolves once the task will never start, or has stopped.
   *
   * @throws {SdError} `not_found` if there is no such task; `conflict` if it is final already.
   * @example
   * ```ts
   * await client.cancel("order-17"); // { task_id: "order-17", status: "cancelled" }
   * ```
   */
  async cancel(id: string, options?: Abortable): Promise<TaskChange> {
    return await this.#raw.ask({ cmd: "cancel", task_id: id }, { ...options, ms: Infinity });
  }

  /**
   * Queues a task again that failed, was cancelled, or expired; its attempts count from 1 again.
   *
   * @throws {SdError} `not_found` if there is no such task; `conflict` if it completed, or is not final.
   * @example
   * ```ts
   * await client.retry("order-17"); // { task_id: "order-17", status: "queued" }
   * ```
   */
  async retry(id: string, options?: Abortable): Promise<TaskChange> {
    const refused = async (error: unknown, wasAskedAgain: boolean) => {
      const isConflict = error instanceof SdError && error.code === "conflict";
      if (!isConflict || !wasAskedAgain) throw error;
      // The first request had its effect, and only its reply was lost.
      const { task_id, status } = await this.get(id, options);
      return { task_id, status };
    };
    return await this.#raw.ask({ cmd: "retry", task_id: id }, { ...options, refused });
  }

  /**
   * The reason why a task is not running, as a code for programs and a sentence for people.
   *
   * @throws {SdError} `not_found` if there is no such task.
   * @example
   * ```ts
   * const { code, why } = await client.why("order-17");
   * if (code === "no_worker") console.warn(why);
   * ```
   */
  async why(id: string, options?: Abortable): Promise<Why> {
    return await this.#raw.ask<Why>({ cmd: "why", task_id: id }, options);
  }

  /**
   * The log of a task, from `ctx.log` and `console`: the newest entries, as far as they are kept, oldest first.
   *
   * @throws {SdError} `not_found` if there is no such task.
   * @example
   * ```ts
   * const { log } = await client.logs("order-17");
   * for (const { at, level, text } of log) console.log(at, level, text);
   * ```
   */
  async logs(id: string, options?: Abortable): Promise<TaskLogView> {
    return await this.#raw.ask<TaskLogView>({ cmd: "logs", task_id: id }, options);
  }

  /**
   * Follows the log of a task until the task is final: the kept entries first, then each new one, every entry once.
   *
   * @param take Called with each entry, in order.
   * @throws {SdError} `not_found` if there is no such task.
   * @example
   * ```ts
   * await client.followLog("order-17", ({ level, text }) => console.log(level, text));
   * ```
   */
  async followLog(
    id: string,
    take: (line: LogLine) => void,
    options?: Abortable,
  ): Promise<void> {
    await followLog(this.#raw, { id, take, ...options });
  }

  /**
   * The events of tasks from now on, for `for await`. `break` ends the watch, and so does an abort, which throws the
   * reason of the signal.
   *
   * The watch goes on after a lost connection. A `dropped` event stands for events that were missed meanwhile, or
   * because the reader was too slow (10,000 events wait for it); it has their `count` if that is known.
   *
   * @param filter Only the events of one task or one op; default: of all tasks.
   * @throws {SdError} `conflict` if the client has more than 16 watches.
   * @example
   * ```ts
   * for await (const { event, task_id, error } of client.watch({ op: "resize" })) {
   *   if (event === "failed") console.warn(task_id, error?.message);
   * }
   * ```
   */
  watch(filter: WatchFilter & Abortable = {}): EventStream {
    return new EventStream(this.#raw, filter);
  }
}

/** The tasks that `submitMany` reads. */
type ManyTasks<Tasks extends object, Op extends OpName<Tasks>> =
  | Iterable<ManyTaskOf<Tasks, Op>>
  | AsyncIterable<ManyTaskOf<Tasks, Op>>;

/** A type for each op, so that the arguments belong to the op. */
type ManyTaskOf<Tasks extends object, Op extends OpName<Tasks>> = Op extends OpName<Tasks>
  ? ManyTask<Op, ArgsOf<Tasks, Op>>
  : never;
