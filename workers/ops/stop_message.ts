/** Why a task was stopped, in words. The same for the handler's signal and for the report. */

import type { StopReason } from "../../protocol/work_message.ts";

export function stopMessage(reason: StopReason, timeoutMs: number): string {
  switch (reason) {
    case "timeout":
      return `stopped after ${timeoutMs} ms, its limit`;
    case "cancel":
      return "stopped: the task was cancelled";
    case "memory":
      return "stopped: it took more memory than a worker's share (--max-memory)";
    case "lost":
      return "stopped: the server gave the task to another worker";
  }
}
