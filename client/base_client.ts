/** What every client of a server can do: submit tasks, get their results, ask and tell the server the rest. */

import { ClientError } from "../net/client_error.ts";
import { SdError } from "../protocol/errors.ts";
import type { JsonObject } from "../protocol/message.ts";
import type {
  CronAnswer,
  CronView,
  OpView,
  ServerStats,
  Status,
  TaskLogView,
  TaskOptions,
  TaskView,
  Why,
} from "../protocol/task.ts";
import { abortable } from "./connection/abortable.ts";
import { Asker, type AskOptions } from "./connection/asker.ts";
import type { Abortable, CallOptions } from "./connection/call_options.ts";
import { EventStream } from "./event_stream.ts";
import { type ManyEnd, type ManyOptions, type ManyTask, submitMany } from "./submit_many.ts";
import { callOpsByName } from "./op_calls.ts";
import { ReplyStream } from "./connection/reply_stream.ts";
import type { SteadyConnection } from "./connection/steady_connection.ts";
import { Submission } from "./task/submission.ts";
import { type Submitted, SubmittedTask } from "./task/submitted.ts";
import { endOf, type TaskEnd } from "./task/task_end.ts";
import { type SubmittedLine, TaskExchange, type TaskListener } from "./task/task_exchange.ts";
import { newTaskId } from "./task/task_id.ts";
import type { AnyTasks, ArgsOf, CallOf, OpName, ResultOf } from "./task/task_ops.ts";
import type { WatchFilter } from "./watching.ts";

const RESERVED = ["op", "cmd", "ref", "task"];

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
  readonly #connection: SteadyConnection;
  readonly #asker: Asker;

  static {
    callOpsByName(this.prototype);
  }

  constructor(connection: SteadyConnection) {
    this.#connection = connection;
    this.#asker = new Asker(connection);
  }

  /** Where the server is, as `host:port`. */
  get target(): string {
    return this.#connection.target;
  }

  /** Why there is no connection just now; `undefined` where there is one. */
  get lostBy(): Error | undefined {
    return this.#connection.lostBy;
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
    return await abortable(result, call[1]?.signal, () => this.#abandon(id));
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
    const [args, { signal, ...options } = {}] = call as [object?, (CallOptions & TaskOptions)?];
    checkArgs(args);
    if (options.cron !== undefined) {
      throw new ClientError("usage", "a recurring task has no result to wait for", {
        hint: "make it with schedule(op, args, options)",
      });
    }
    const { id = newTaskId(), wait = true } = options;
    const json = JSON.stringify({ op, ...args, task: { ...options, id } });
    return await this.submitJson(json, { id, wait, signal });
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
    return submitMany(this, tasks as Iterable<ManyTask>, options) as AsyncGenerator<
      ManyEnd<ResultOf<Tasks, Op>>,
      void,
      undefined
    >;
  }

  /**
   * Submits a line as it stands: the text of an object with `op`. `id` is the one in its `task`; a
   * line without rejects when the connection is lost before the acknowledgement, since nobody knows
   * whether it was taken. `wait` says whether its `task` leaves that option true.
   */
  async submitJson<Result = unknown>(
    json: string,
    { id, wait, signal }: { id?: string | undefined; wait: boolean } & Abortable,
  ): Promise<Submitted<Result>> {
    signal?.throwIfAborted();
    // No turn is given away where there is room: what is called first is sent first.
    while (this.#connection.room) await abortable(this.#connection.room, signal);
    const submission = new Submission({ json, id, wait });
    const ref = this.#connection.send(json, submission);
    const acknowledged = await abortable(submission.acknowledged, signal, () => {
      if (this.#connection.withdraw(ref)) return;
      submission.acknowledged.then((task) => this.#abandon(task.id), () => undefined);
    });
    return new SubmittedTask({
      ...acknowledged,
      end: wait ? () => submission.end : () => this.end(acknowledged.id),
    });
  }

  /**
   * Submits a line as `submitJson` does, at once, and tells `listener` instead of promising: for who submits
   * a million. Who does awaits `room` before each.
   */
  submitLine(line: SubmittedLine, listener: TaskListener): void {
    this.#connection.send(line.json, new TaskExchange(line, listener));
  }

  /** Await it before sending many: it resolves when there is room. `undefined` where there is. */
  get room(): Promise<void> | undefined {
    return this.#connection.room;
  }

  /** What is known of a task. */
  async get(id: string, options?: Abortable): Promise<TaskView> {
    return await this.#ask<TaskView>({ cmd: "get", task_id: id }, options);
  }

  /** The task once it is final, however long that takes. */
  async wait(id: string, options?: Abortable): Promise<TaskView> {
    return await this.#ask<TaskView>({ cmd: "wait", task_id: id }, { ...options, ms: Infinity });
  }

  /** How a task ended, once it has. */
  async end(id: string, options?: Abortable): Promise<TaskEnd> {
    const view = await this.wait(id, options);
    const end = endOf(view);
    if (!end) throw new ClientError("unreachable", `the server called ${view.status} final`);
    return end;
  }

  /** One page of tasks. */
  async list(filter: ListFilter = {}, options?: Abortable): Promise<TaskPage> {
    return await this.#ask<TaskPage>({ cmd: "list", ...filter }, options);
  }

  /** Cancels a task. Resolves once it will never start, or has stopped; `conflict` if it is final. */
  async cancel(id: string, options?: Abortable): Promise<{ task_id: string; status: Status }> {
    return await this.#ask({ cmd: "cancel", task_id: id }, { ...options, ms: Infinity });
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
    return await this.#ask({ cmd: "retry", task_id: id }, { ...options, refused });
  }

  /**
   * Everything that happens to tasks from now on, or to those that are named, to be read with `for await`. It
   * survives a lost connection. Events that it missed, since the connection was away or the reader too slow (10,000
   * wait), are told by one of `dropped`, with their `count` where that is known. `break` ends it; so does
   * aborting, which throws the signal's reason.
   */
  watch(filter: WatchFilter & Abortable = {}): EventStream {
    return new EventStream(this, filter);
  }

  /** What the server counts: tasks by status, workers, connections. */
  async stats(options?: Abortable): Promise<ServerStats> {
    return await this.#ask<ServerStats>({ cmd: "stats" }, options);
  }

  /** The ops that can be submitted now, and how many workers have each. */
  async ops(options?: Abortable): Promise<OpView[]> {
    return (await this.#ask<{ ops: OpView[] }>({ cmd: "ops" }, options)).ops;
  }

  /** Resolves when the server has answered. */
  async ping(options?: Abortable): Promise<void> {
    await this.#ask({ cmd: "ping" }, options);
  }

  /** Which release the server is, and which version of the wire it speaks. */
  async hello(token?: string, options?: Abortable): Promise<ServerHello> {
    if (token === undefined) return await this.#ask<ServerHello>({ cmd: "hello" }, options);
    const hello = await this.#ask<ServerHello>({ cmd: "hello", token }, options);
    this.#connection.token = token;
    return hello;
  }

  /** Closes the connection. Tasks go on; promises that wait here reject. May be called twice. */
  async close(): Promise<void> {
    await this.#connection.close();
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
    checkArgs(args);
    // Made here, so that asking again after a lost connection makes no second one.
    const id = options.id ?? newTaskId();
    return await this.#ask<CronAnswer>({ op, ...args, task: { ...options, id } }, { signal });
  }

  /** Makes the one that this line asks for: the text of an object with `op`, an id in its `task`. */
  async scheduleJson(json: string, options?: Abortable): Promise<CronAnswer> {
    return await this.#ask<CronAnswer>(JSON.parse(json) as JsonObject, options);
  }

  /** The recurring tasks of the server, by id. */
  async crons(options?: Abortable): Promise<CronView[]> {
    return (await this.#ask<{ crons: CronView[] }>({ cmd: "crons" }, options)).crons;
  }

  /** From now on a recurring task submits nothing. */
  async pauseCron(id: string, options?: Abortable): Promise<CronAnswer> {
    return await this.#ask<CronAnswer>({ cmd: "pause", cron_id: id }, options);
  }

  /** A paused one goes on; what passed meanwhile is treated as its `catch_up` says. */
  async resumeCron(id: string, options?: Abortable): Promise<CronAnswer> {
    return await this.#ask<CronAnswer>({ cmd: "resume", cron_id: id }, options);
  }

  /** A recurring task is no more; tasks that it has submitted go on. */
  async removeCron(id: string, options?: Abortable): Promise<CronAnswer> {
    return await this.#ask<CronAnswer>({ cmd: "uncron", cron_id: id }, options);
  }

  /** What a task has said, with `ctx.log` and `console`: the newest of it that is kept. */
  async logs(id: string, options?: Abortable): Promise<TaskLogView> {
    return await this.#ask<TaskLogView>({ cmd: "logs", task_id: id }, options);
  }

  /** Why a task does not run, or how it is. */
  async why(id: string, options?: Abortable): Promise<Why> {
    return await this.#ask<Why>({ cmd: "why", task_id: id }, options);
  }

  /** Hands out no task of `op` any more, or none at all. What is paused then; `["*"]` is all ops. */
  async pause(op?: string, options?: Abortable): Promise<string[]> {
    const message = op === undefined ? { cmd: "pause" } : { cmd: "pause", op };
    return (await this.#ask<{ paused: string[] }>(message, options)).paused;
  }

  /** Hands them out again; without `op` those of every op. What is still paused then. */
  async resume(op?: string, options?: Abortable): Promise<string[]> {
    const message = op === undefined ? { cmd: "resume" } : { cmd: "resume", op };
    return (await this.#ask<{ paused: string[] }>(message, options)).paused;
  }

  /**
   * A command that has no method of its own here, and one reply, which comes within `options.ms`;
   * `Infinity` waits as long as it takes.
   */
  async command<Answer>(
    message: JsonObject & { cmd: string },
    options?: AskOptions,
  ): Promise<Answer> {
    return await this.#ask<Answer>(message, options);
  }

  /**
   * A command with many replies: `take` is given each, and says which is the last. Where the connection is lost
   * that is the end, unless `resumes` says that the command is to be asked anew.
   */
  async replies(
    message: JsonObject & { cmd: string },
    take: (reply: JsonObject) => boolean,
    { resumes = () => false }: { resumes?: () => boolean } = {},
  ): Promise<void> {
    const json = JSON.stringify(message);
    const stream = new ReplyStream({ json, take, resumes });
    this.#connection.send(json, stream);
    await stream.ended;
  }

  async #ask<Answer>(message: JsonObject, options?: AskOptions): Promise<Answer> {
    return await this.#asker.ask<Answer>(message, options);
  }

  /** Its caller has gone: it may have ended just now, or the server be gone as well. */
  #abandon(id: string): void {
    this.cancel(id).catch(() => undefined);
  }
}

/** What `submitMany` reads. */
export type ManyTasks<Tasks extends object, Op extends OpName<Tasks>> =
  | Iterable<ManyTaskOf<Tasks, Op>>
  | AsyncIterable<ManyTaskOf<Tasks, Op>>;

/** One for each op, so that its arguments are those of its op. */
type ManyTaskOf<Tasks extends object, Op extends OpName<Tasks>> = Op extends OpName<Tasks>
  ? ManyTask<Op, ArgsOf<Tasks, Op>>
  : never;

function checkArgs(args: object = {}): void {
  for (const name of RESERVED) {
    if (Object.hasOwn(args, name)) {
      throw new ClientError("usage", `an argument of a task cannot be called ${name}`);
    }
  }
}
