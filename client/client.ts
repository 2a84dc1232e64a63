/** A client of one server: submits tasks, gets their results, asks and tells the server the rest. */

import { ClientError } from "../cli/client_error.ts";
import type { Target } from "../cli/target.ts";
import { formatDuration } from "../protocol/duration.ts";
import { SdError } from "../protocol/errors.ts";
import type { JsonObject } from "../protocol/message.ts";
import type {
  CronAnswer,
  CronView,
  OpView,
  ServerStats,
  Status,
  TaskOptions,
  TaskView,
  Why,
} from "../protocol/task.ts";
import { Question } from "./question.ts";
import { SteadyConnection } from "./steady_connection.ts";
import { ReplyStream } from "./reply_stream.ts";
import { Submission } from "./submission.ts";
import { endOf, resultOf, type TaskEnd } from "./task_end.ts";
import { type SubmittedLine, TaskExchange, type TaskListener } from "./task_exchange.ts";
import { newTaskId } from "./task_id.ts";

/** A server that has not answered a question for so long is not going to. */
const ANSWER_MS = 30_000;
const RECONNECT_MS = 60_000;
const RESERVED = ["op", "cmd", "ref", "task"];

/** A task that the server has taken. */
export interface Submitted {
  readonly id: string;
  /** When it was taken: `queued`, `delayed`, or that of a task that had its id already. */
  readonly status: Status;
  /**
   * What the handler returned. Rejects with `TaskFailedError`, with `TaskEndedError` (cancelled or
   * expired), with `ClientError` code `unreachable` when the connection is lost for good, or with
   * `SdError` code `not_found` when the server came back without the task, which may have run. It
   * may be left alone: it never causes an unhandled rejection.
   */
  readonly result: Promise<unknown>;
  /** The same, told instead of thrown. */
  readonly end: Promise<TaskEnd>;
}

/** Which tasks `list` answers with: newest first, `limit` at most (1…1000). */
export interface ListFilter {
  status?: Status;
  op?: string;
  limit?: number;
  /** That of the answer before, for the tasks after it. */
  cursor?: string;
}

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

export interface ConnectOptions {
  /**
   * How long to try to connect again after the connection was lost, in ms; default 60000. Then
   * everything that waits rejects with `unreachable`, and the next call begins to try anew. 0: a lost
   * connection is the end of the client.
   */
  reconnectMs?: number;
  /** Called at each loss that is not the end, with its reason. */
  onLost?: (error: Error) => void;
  /** Called when the connection is there again. */
  onBack?: () => void;
}

/**
 * Connects to the server at `target`, and gives it the token where there is one. The first time it
 * tries once. Throws `ClientError` with code `unreachable`, or `SdError` with code `unauthorized`.
 */
export async function connect(target: Target, options: ConnectOptions = {}): Promise<Client> {
  const { reconnectMs = RECONNECT_MS, onLost, onBack } = options;
  return new Client(await SteadyConnection.open({ target, reconnectMs, onLost, onBack }));
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
 */
export class Client {
  readonly #connection: SteadyConnection;

  constructor(connection: SteadyConnection) {
    this.#connection = connection;
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
   * Submits a task: `args` are the members that the handler gets, any JSON. Resolves once the server
   * has it safe. Times in `options` are milliseconds.
   */
  async submit(op: string, args: JsonObject = {}, options?: TaskOptions): Promise<Submitted> {
    checkArgs(args);
    if (options?.cron !== undefined) {
      throw new ClientError("usage", "a recurring task has no result to wait for", {
        hint: "make it with schedule(op, args, options)",
      });
    }
    const id = options?.id ?? newTaskId();
    const json = JSON.stringify({ op, ...args, task: { ...options, id } });
    return await this.submitJson(json, { id, wait: options?.wait ?? true });
  }

  /**
   * Submits a line as it stands: the text of an object with `op`. `id` is the one in its `task`; a
   * line without rejects when the connection is lost before the acknowledgement, since nobody knows
   * whether it was taken. `wait` says whether its `task` leaves that option true.
   */
  async submitJson(
    json: string,
    { id, wait }: { id?: string | undefined; wait: boolean },
  ): Promise<Submitted> {
    // No turn is given away where there is room: what is called first is sent first.
    while (this.#connection.room) await this.#connection.room;
    const submission = new Submission({ json, id, wait });
    this.#connection.send(json, submission);
    const acknowledged = await submission.acknowledged;
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
  async get(id: string): Promise<TaskView> {
    return await this.#ask<TaskView>({ cmd: "get", task_id: id });
  }

  /** The task once it is final, however long that takes. */
  async wait(id: string): Promise<TaskView> {
    return await this.#ask<TaskView>({ cmd: "wait", task_id: id }, Infinity);
  }

  /** How a task ended, once it has. */
  async end(id: string): Promise<TaskEnd> {
    const view = await this.wait(id);
    const end = endOf(view);
    if (!end) throw new ClientError("unreachable", `the server called ${view.status} final`);
    return end;
  }

  /** One page of tasks. */
  async list(filter: ListFilter = {}): Promise<TaskPage> {
    return await this.#ask<TaskPage>({ cmd: "list", ...filter });
  }

  /** Cancels a task. Resolves once it will never start, or has stopped; `conflict` if it is final. */
  async cancel(id: string): Promise<{ task_id: string; status: Status }> {
    return await this.#ask({ cmd: "cancel", task_id: id }, Infinity);
  }

  /** Queues a task again that failed, was cancelled or expired. */
  async retry(id: string): Promise<{ task_id: string; status: Status }> {
    const question = this.#question({ cmd: "retry", task_id: id });
    try {
      return await this.#answer(question);
    } catch (error) {
      const isConflict = error instanceof SdError && error.code === "conflict";
      if (!isConflict || !question.wasAskedAgain) throw error;
      // The first asking was heard, and only its answer was lost.
      const { task_id, status } = await this.get(id);
      return { task_id, status };
    }
  }

  /** What the server counts: tasks by status, workers, connections. */
  async stats(): Promise<ServerStats> {
    return await this.#ask<ServerStats>({ cmd: "stats" });
  }

  /** The ops that can be submitted now, and how many workers have each. */
  async ops(): Promise<OpView[]> {
    const { ops } = await this.#ask<{ ops: OpView[] }>({ cmd: "ops" });
    return ops;
  }

  /** Resolves when the server has answered. */
  async ping(): Promise<void> {
    await this.#ask({ cmd: "ping" });
  }

  /** Which release the server is, and which version of the wire it speaks. */
  async hello(token?: string): Promise<ServerHello> {
    if (token === undefined) return await this.#ask<ServerHello>({ cmd: "hello" });
    const hello = await this.#ask<ServerHello>({ cmd: "hello", token });
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
  async schedule(
    op: string,
    args: JsonObject,
    options: TaskOptions & { cron: string },
  ): Promise<CronAnswer> {
    checkArgs(args);
    // Made here, so that asking again after a lost connection makes no second one.
    const id = options.id ?? newTaskId();
    return await this.#ask<CronAnswer>({ op, ...args, task: { ...options, id } });
  }

  /** Makes the one that this line asks for: the text of an object with `op`, an id in its `task`. */
  async scheduleJson(json: string): Promise<CronAnswer> {
    return await this.#ask<CronAnswer>(JSON.parse(json) as JsonObject);
  }

  /** The recurring tasks of the server, by id. */
  async crons(): Promise<CronView[]> {
    const { crons } = await this.#ask<{ crons: CronView[] }>({ cmd: "crons" });
    return crons;
  }

  /** From now on a recurring task submits nothing. */
  async pauseCron(id: string): Promise<CronAnswer> {
    return await this.#ask<CronAnswer>({ cmd: "pause", cron_id: id });
  }

  /** A paused one goes on; what passed meanwhile is treated as its `catch_up` says. */
  async resumeCron(id: string): Promise<CronAnswer> {
    return await this.#ask<CronAnswer>({ cmd: "resume", cron_id: id });
  }

  /** A recurring task is no more; tasks that it has submitted go on. */
  async removeCron(id: string): Promise<CronAnswer> {
    return await this.#ask<CronAnswer>({ cmd: "uncron", cron_id: id });
  }

  /** Why a task does not run, or how it is. */
  async why(id: string): Promise<Why> {
    return await this.#ask<Why>({ cmd: "why", task_id: id });
  }

  /** Hands out no task of `op` any more, or none at all. What is paused then; `["*"]` is all ops. */
  async pause(op?: string): Promise<string[]> {
    return await this.#setPaused("pause", op);
  }

  /** Hands them out again; without `op` those of every op. What is still paused then. */
  async resume(op?: string): Promise<string[]> {
    return await this.#setPaused("resume", op);
  }

  /** A command that has no method of its own here, and one reply. */
  async command<Answer>(message: JsonObject & { cmd: string }): Promise<Answer> {
    return await this.#ask<Answer>(message);
  }

  /** A command with many replies: `take` is given each, and says which is the last. Not asked again. */
  async replies(
    message: JsonObject & { cmd: string },
    take: (reply: JsonObject) => boolean,
  ): Promise<void> {
    const stream = new ReplyStream(take);
    this.#connection.send(JSON.stringify(message), stream);
    await stream.ended;
  }

  async #setPaused(cmd: "pause" | "resume", op: string | undefined): Promise<string[]> {
    const message = op === undefined ? { cmd } : { cmd, op };
    const { paused } = await this.#ask<{ paused: string[] }>(message);
    return paused;
  }

  async #ask<Answer>(message: JsonObject, answerMs = ANSWER_MS): Promise<Answer> {
    return await this.#answer<Answer>(this.#question(message, answerMs));
  }

  #question(message: JsonObject, ms = ANSWER_MS): Question {
    const isAway = () => this.#connection.lostBy !== undefined;
    const question = new Question(message, { ms, late: () => this.#silent(ms), isAway });
    this.#connection.send(question.json, question);
    return question;
  }

  async #answer<Answer>(question: Question): Promise<Answer> {
    const { ref: _ref, ...answer } = await question.answer;
    return answer as Answer;
  }

  #silent(ms: number): ClientError {
    const message = `${this.target} has not answered for ${formatDuration(ms)}`;
    return new ClientError("unreachable", message, { hint: "see what the server's log says" });
  }
}

function checkArgs(args: JsonObject): void {
  for (const name of RESERVED) {
    if (Object.hasOwn(args, name)) {
      throw new ClientError("usage", `an argument of a task cannot be called ${name}`);
    }
  }
}

/** Asks for the end when somebody first wants it, so that who only submits pays for nothing. */
class SubmittedTask implements Submitted {
  readonly id: string;
  readonly status: Status;
  readonly #startEnd: () => Promise<TaskEnd>;
  #end: Promise<TaskEnd> | undefined;
  #result: Promise<unknown> | undefined;

  constructor(task: { id: string; status: Status; end: () => Promise<TaskEnd> }) {
    this.id = task.id;
    this.status = task.status;
    this.#startEnd = task.end;
  }

  get end(): Promise<TaskEnd> {
    this.#end ??= handled(this.#startEnd());
    return this.#end;
  }

  get result(): Promise<unknown> {
    this.#result ??= handled(this.end.then(resultOf));
    return this.#result;
  }
}

/** `promise`, whose rejection counts as seen even where nobody awaits it. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
