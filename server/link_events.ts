/**
 * Events of work links, and the parts of the server that take them: progress, log lines, room for tasks, and worker
 * processes that join and leave. `server.ts` gives these functions to its door; the ends of runs go to `ResultReports`.
 */

import type { Dispatcher } from "./dispatch/dispatcher.ts";
import type { OpDirectory } from "./dispatch/op_directory.ts";
import type { SchemaChecks } from "./dispatch/schema_checks.ts";
import type { LeasedTask } from "./engine/engine.ts";
import type { Log } from "./log.ts";
import type { TaskEvents } from "./task/task_events.ts";
import { logLine } from "./task/task_log.ts";
import type { TcpDoorOptions } from "./tcp/door.ts";
import type { WorkLink } from "./tcp/link/work_link.ts";

/** Name of the server's own pool on its work link. */
export const LOCAL_POOL = "local";
/** Most suspects that a line of the log names. */
const MAX_SUSPECTS = 10;

/** The functions that a work link calls with its events. */
export function linkEvents({ events, dispatcher, ops, schemas, log, onOwnPool, endOwn }: {
  readonly events: TaskEvents;
  readonly dispatcher: Dispatcher;
  readonly ops: OpDirectory;
  readonly schemas: SchemaChecks;
  readonly log: Log;
  readonly onOwnPool: () => void;
  /** Kills an own worker process; another takes its place. */
  readonly endOwn: (pid: number) => void;
}): TcpDoorOptions["links"] {
  return {
    progressed(task, progress) {
      if (events.watchers.any) events.watchers.tell("progress", task, { progress });
    },
    said(task, entries) {
      if (events.watchers.any) events.watchers.tell("log", task, { log: entries.map(logLine) });
    },
    hasRoom: () => dispatcher.kick(),
    attached(link: WorkLink) {
      ops.add(link);
      schemas.joined(link);
      dispatcher.attach(link);
      if (link.pool === LOCAL_POOL) onOwnPool();
      else if (!link.isSingle) {
        log.info("server", `worker process ${link.pid} joined with ${link.workers} workers`);
      }
    },
    forged(link: WorkLink, what: string, tasks: readonly LeasedTask[]) {
      log.warn("security", tellForged(link.pid, what, tasks));
    },
    detached(link: WorkLink) {
      dispatcher.detach(link);
      ops.remove(link);
      schemas.left(link);
      if (link.isSingle) return;
      if (link.pool !== LOCAL_POOL) log.info("server", `worker process ${link.pid} left`);
      // A frozen process would not see that its link has ended.
      else if (link.isCutOff) endOwn(link.pid);
    },
  };
}

/** Names the tasks, so that the operator can find the one whose code has done it. */
function tellForged(pid: number, what: string, tasks: readonly LeasedTask[]): string {
  const named = tasks.slice(0, MAX_SUSPECTS).map(({ op, id }) => `${op} ${id}`);
  const more = tasks.length - named.length;
  return `task code of worker process ${pid} has reached for its work link (${what}); ` +
    "nothing of that is believed, the link is cut, and what ran there runs again; " +
    (tasks.length === 0
      ? "it held no task then"
      : `suspects: ${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`);
}
