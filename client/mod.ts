/**
 * The client of sd for TypeScript and JavaScript, on Deno, Node and Bun.
 *
 * ```ts
 * import { connect } from "@sd/sd";
 *
 * await using client = await connect<typeof import("./tasks.ts")>("127.0.0.1:5000");
 * await client.square({ n: 7 }); // 49: an op of the task file, with its types
 *
 * const task = await client.submit("square", { n: 7 }, { timeout: 5000, attempts: 3 });
 * await task.result; // 49
 * ```
 *
 * A client outlives a restart of the server: it connects again by itself, and submits no task twice.
 *
 * Errors: `SdError` if the server refuses, `ClientError` if there is no connection or a call is wrong,
 * `TaskFailedError` and `TaskEndedError` if a task has no result. Each has a `code` or a `status` from a closed list.
 * More: `docs/clients.md`, `docs/protocol.md`.
 *
 * @module
 */

export {
  type Client,
  connect,
  type ConnectOptions,
  type ListFilter,
  type ServerAddress,
  type Submitted,
  type TaskChange,
  type TaskPage,
} from "./client.ts";
export type { Abortable, CallOptions } from "./connection/call_options.ts";
export type { ManyEnd, ManyOptions, ManyTask } from "./submit_many.ts";
export type { AnyTasks, ArgsOf, BuiltinTasks, OpName, ResultOf } from "./task/task_ops.ts";
export type { AsJson } from "./task/as_json.ts";
export type { BeginBackup, ExportFilter, SdRecord } from "./transfer.ts";
export type { EventStream, WatchFilter } from "./watching.ts";
export { type TaskEnd, TaskEndedError, TaskFailedError } from "./task/task_end.ts";
export { type ClientCode, ClientError } from "../net/client_error.ts";
export type { Target } from "../net/target.ts";
export {
  type ErrorBody,
  type ErrorCode,
  type FailureCode,
  type RefusalCode,
  SdError,
} from "../protocol/errors.ts";
export type {
  CatchUp,
  CronAnswer,
  CronView,
  FinalStatus,
  LogLevel,
  LogLine,
  OpView,
  Progress,
  ServerHealth,
  ServerHello,
  ServerStats,
  Status,
  StatusCounts,
  TaskLogView,
  TaskOptions,
  TaskView,
  WatchEvent,
  Why,
  WhyCode,
} from "../protocol/task.ts";
export type { ImportAnswer } from "../protocol/transfer.ts";
