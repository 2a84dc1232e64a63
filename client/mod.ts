/**
 * The client of sd for TypeScript and JavaScript.
 *
 * ```ts
 * import { connect } from "@sd/sd";
 *
 * await using client = await connect({ hostname: "127.0.0.1", port: 5000 });
 * const task = await client.submit("square", { n: 7 }, { timeout: 5000, attempts: 3 });
 * await task.result; // 49
 * ```
 *
 * A client outlives the server's restart: it connects again by itself, and no task is submitted twice.
 *
 * Errors: `SdError` where the server refuses, `ClientError` where there is no connection,
 * `TaskFailedError` and `TaskEndedError` where a task has no result. Each has a `code` or a `status`
 * out of a closed list. Sources: `docs/protocol.md`, `protocol/errors.ts`.
 *
 * @module
 */

export {
  Client,
  connect,
  type ConnectOptions,
  type ListFilter,
  type ServerHello,
  type Submitted,
  type TaskPage,
} from "./client.ts";
export { backup } from "./backup.ts";
export { type ExportFilter, exportRecords, importText, type SdRecord } from "./transfer.ts";
export { followLog } from "./follow_log.ts";
export { watch, type WatchFilter, type Watching } from "./watching.ts";
export { type TaskEnd, TaskEndedError, TaskFailedError } from "./task_end.ts";
export { type ClientCode, ClientError } from "../cli/client_error.ts";
export type { Target } from "../cli/target.ts";
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
