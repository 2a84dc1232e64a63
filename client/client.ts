/** A client of one server: submits tasks, gets their results, asks and tells the server the rest. */

import { ClientError } from "../cli/client_error.ts";
import type { Target } from "../cli/target.ts";
import { formatDuration } from "../protocol/duration.ts";
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
import { Connection } from "./connection.ts";
import { refusalOf } from "./refusal.ts";
import { Submission } from "./submission.ts";
import { endOf, resultOf, type TaskEnd } from "./task_end.ts";
import { within } from "./within.ts";

/** A server that has not answered a question for so long is not going to. */
const ANSWER_MS = 30_000;
const RESERVED = ["op", "cmd", "ref", "task"];

/** A task that the server has taken. */
export interface Submitted {
  readonly id: string;
  /** When it was taken: `queued`, `delayed`, or that of a task that had its id already. */
  readonly status: Status;
  /**
   * What the handler returned. Rejects with `TaskFailedError`, with `TaskEndedError` (cancelled or
   * expired), or with `ClientError` code `unreachable` when the connection is lost. It may be left
   * alone: it never causes an unhandled rejection.
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

/**
 * Connects to the server at `target`, and gives it the token where there is one. Throws `ClientError` with
 * code `unreachable`, or `SdError` with code `unauthorized`.
 */
export async function connect(target: Target): Promise<Client> {
  const client = new Client(await Connection.open(target));
  if (target.token === undefined) return client;
  try {
    await client.hello(target.token);
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}

/**
 * Every method rejects with an `SdError` where the server refuses, and with a `ClientError` of code
 * `unreachable` where the connection is lost or the server does not answer.
 */
export class Client {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Where the server is, as `host:port`. */
  get target(): string {
    return this.#connection.target;
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
    const json = JSON.stringify(options ? { op, ...args, task: options } : { op, ...args });
    return await this.submitJson(json, { wait: options?.wait ?? true });
  }

  /**
   * Submits a line as it stands: the text of an object with `op`. `wait` says whether its `task`
   * leaves that option true.
   */
  async submitJson(json: string, { wait }: { wait: boolean }): Promise<Submitted> {
    // No turn is given away where there is room: what is called first is sent first.
    while (this.#connection.room) await this.#connection.room;
    const submission = new Submission(wait);
    this.#connection.send(json, submission);
    const { id, status } = await submission.acknowledged;
    return new SubmittedTask({
      id,
      status,
      end: wait ? () => submission.end : () => this.end(id),
    });
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
    return await this.#ask({ cmd: "retry", task_id: id });
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
    const message = token === undefined ? { cmd: "hello" } : { cmd: "hello", token };
    return await this.#ask<ServerHello>(message);
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
    return await this.#ask<CronAnswer>({ op, ...args, task: options });
  }

  /** Makes the one that this line asks for: the text of an object with `op`. */
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

  /** A command with many replies: `take` is given each of them, and says which is the last. */
  async replies(
    message: JsonObject & { cmd: string },
    take: (reply: JsonObject) => boolean,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#connection.send(JSON.stringify(message), {
      take({ ref: _ref, ...reply }) {
        try {
          const isRefusal = reply.error !== undefined && reply.event === undefined;
          if (isRefusal) reject(refusalOf(reply));
          else if (!take(reply)) return false;
          resolve();
        } catch (error) {
          reject(error);
        }
        return true;
      },
      fail: reject,
    });
    await promise;
  }

  async #setPaused(cmd: "pause" | "resume", op: string | undefined): Promise<string[]> {
    const message = op === undefined ? { cmd } : { cmd, op };
    const { paused } = await this.#ask<{ paused: string[] }>(message);
    return paused;
  }

  async #ask<Answer>(message: JsonObject, answerMs = ANSWER_MS): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<JsonObject>();
    this.#connection.send(JSON.stringify(message), {
      take(reply) {
        if (reply.error !== undefined && reply.task_id === undefined) reject(refusalOf(reply));
        else resolve(reply);
        return true;
      },
      fail: reject,
    });
    const { ref: _ref, ...answer } = await within(promise, {
      ms: answerMs,
      late: () => this.#silent(answerMs),
    });
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
